import { isUtf8 } from 'node:buffer'
import { jsonMaxDepth, type SentBody, scanJson } from './json.ts'

export const jsonMediaType = 'application/json'

const nothing = new Uint8Array(0)
const noMember = new Uint8Array(0)

/** The three fields of a command that carry its payload. */
interface Carried {
  readonly payload?: unknown
  readonly payloadBase64?: string
  readonly contentType?: string
}

export type PayloadRead =
  | { readonly payload: Uint8Array; readonly contentType: string }
  | { readonly path: string; readonly message: string }

/** A command's payload in bytes: JSON as it was written, base64 as what it stands for. */
export function readPayload(body: Carried, sent: SentBody | undefined): PayloadRead {
  if (body.payloadBase64 !== undefined) {
    if (body.payload !== undefined)
      return { path: '/payloadBase64', message: 'stands beside payload; send one of the two' }
    return {
      payload: Buffer.from(body.payloadBase64, 'base64'),
      contentType: body.contentType ?? 'application/octet-stream',
    }
  }
  if (body.contentType !== undefined)
    return { path: '/contentType', message: 'goes with payloadBase64; payload is always JSON' }
  if (body.payload === undefined) return { payload: nothing, contentType: jsonMediaType }
  const payload =
    sent !== undefined && sent.end > sent.start
      ? sent.bytes.subarray(sent.start, sent.end)
      : Buffer.from(JSON.stringify(body.payload))
  return { payload, contentType: jsonMediaType }
}

/**
 * A payload as a member of JSON text, with its leading comma: `,"payload":…` where it is JSON, else
 * `,"payloadBase64":"…","contentType":"…"`; nothing for an empty one. What claims to be JSON and
 * is not, or is too deep for others to read, is carried as bytes: a device must not be able to
 * break the page it stands on.
 */
export function payloadMember(payload: Uint8Array, contentType: string): string {
  if (payload.length === 0) return ''
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  if (claimsJson(contentType)) {
    const text = jsonText(bytes)
    if (text !== undefined) return `,"payload":${text}`
  }
  return `,"payloadBase64":"${bytes.toString('base64')}","contentType":${JSON.stringify(contentType)}`
}

const claimsJson = (contentType: string): boolean =>
  contentType === jsonMediaType || /^application\/json\s*(?:;|$)/i.test(contentType)

function jsonText(bytes: Buffer): string | undefined {
  if (scanJson(bytes, noMember, jsonMaxDepth) === undefined) return undefined
  if (!isUtf8(bytes)) return undefined
  const text = bytes.toString('utf8')
  try {
    JSON.parse(text)
  } catch {
    return undefined
  }
  // In JSON a line end can only stand between tokens; in an event stream it would end the event.
  return /[\r\n]/.test(text) ? text.replace(/[\r\n]+/g, ' ') : text
}
