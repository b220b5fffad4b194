import type { DeviceChannel } from '../channel.ts'
import type { Outbox, SendFailure, Slot } from '../outbox.ts'
import type { Uplink } from '../storage.ts'
import { problemOf } from './causes.ts'
import type { Answer, Asking } from './requests.ts'

const json = 'application/json'
const octets = 'application/octet-stream'

/** Events of one request, and bytes of their payloads. The gateway takes more of both. */
const linesMax = 64
const linesMaxBytes = 48 * 1024
const newline = 0x0a

/** The next to go, written now: one, or as many events as go into one request. */
export function takeNext(outbox: Outbox, nowMs: number, alone: boolean): readonly Slot[] {
  const slots: Slot[] = []
  let bytes = 0
  for (;;) {
    const slot = outbox.peek(linesMax)
    if (slot === undefined) return slots
    bytes += slot.uplink.payload.length
    const joins = !alone && bytes <= linesMaxBytes && isLine(slot.uplink)
    if (!joins && slots.length > 0) return slots
    outbox.written(nowMs)
    slots.push(slot)
    if (!joins) return slots
  }
}

/** Can it be part of a line? */
const isLine = ({ kind, payload, binary }: Uplink): boolean =>
  kind === 'event' && payload.length > 0 && (binary || !payload.includes(newline))

/** Events as one request: kept together, or none. */
export function reportsOf(channel: DeviceChannel, slots: readonly Slot[]): Asking {
  const lines = slots.map(({ uplink }) => lineOf(channel.outbox.uplinkEpoch, uplink))
  return {
    ...{ method: 'POST', path: `events?channel=${channel.name}` },
    headers: { 'content-type': 'application/x-ndjson' },
    body: Buffer.from(lines.join('')),
  }
}

function lineOf(epoch: number, uplink: Uplink): string {
  if (uplink.kind !== 'event') throw new Error('a reply goes alone')
  const { name, payload, binary, sequence } = uplink
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  const carried = binary
    ? `"payloadBase64":"${bytes.toString('base64')}","contentType":"${octets}"`
    : `"payload":${bytes.toString('utf8')}`
  return `{"type":${JSON.stringify(name)},"stamp":"${epoch}.${sequence}",${carried}}\n`
}

/** An uplink as a request. */
export function reportOf(device: string, channel: DeviceChannel, uplink: Uplink): Asking {
  const stamp = { 'pike-stamp': `${channel.outbox.uplinkEpoch}.${uplink.sequence}` }
  if (uplink.kind === 'event')
    return eventOf(channel, uplink.name, uplink.payload, uplink.binary, stamp)
  const { epoch, offset, status, reason, payload, binary } = uplink
  const id = `${device}:${channel.name}:${epoch.toString(36)}:${offset}`
  const carried = binary
    ? `,"payloadBase64":"${Buffer.from(payload).toString('base64')}"`
    : payload.length === 0
      ? ''
      : `,"payload":${Buffer.from(payload).toString('utf8')}`
  const said = JSON.stringify({ status, reason })
  return {
    ...{ method: 'POST', path: `replies/${id}`, headers: { ...stamp, 'content-type': json } },
    body: Buffer.from(`${said.slice(0, -1)}${carried}}`),
  }
}

export const eventOf = (
  channel: DeviceChannel,
  name: string,
  payload: Uint8Array,
  binary: boolean,
  stamp: Readonly<Record<string, string>> = {},
): Asking => ({
  method: 'POST',
  path: `events/${encodeURIComponent(name)}?channel=${channel.name}`,
  headers: { ...stamp, 'content-type': binary ? octets : json },
  body: payload,
})

/**
 * What becomes of an uplink by its answer. 'over': the gateway has it, or knows no command that it could
 * belong to. `never`: it could not be taken, and why. 'refused': not it, but who sends it; so it is for whatever a
 * proxy says, since nobody behind it has seen it.
 */
export function verdictOf(kind: Uplink['kind'], answer: Answer): Verdict {
  const { status } = answer
  if (status === 204) return 'over'
  if (status === 413) return { never: 'too-large' }
  const type = problemOf(answer.text)?.type
  if (type === undefined) return 'refused'
  // A reply to what nobody knows, or a stamp of long ago, must not be sent for ever.
  if (type === 'unknown-command' || type === 'stale-stamp') {
    if (kind === 'reply') return 'over'
    return { never: type === 'stale-stamp' ? type : 'refused' }
  }
  if (type === 'unknown-channel') return { never: type }
  return status === 400 ? { never: 'refused' } : 'refused'
}

type Verdict = 'over' | 'refused' | { readonly never: SendFailure }
