import { isUtf8 } from 'node:buffer'

const json = 'application/json'
const text = 'text/plain; charset=utf-8'
export const octets = 'application/octet-stream'
/** A kept payload may hold this much memory beyond its own; else it is copied out of its chunk. */
const strayMaxBytes = 4096
export const nothing = new Uint8Array(0)

/** MQTT 3 does not say what a payload is, so it is what it looks like. */
export function contentTypeOf(payload: Uint8Array): string {
  if (payload.length === 0 || !isUtf8(payload)) return octets
  // Cheaper than a parser that throws; none of these begin JSON.
  if (!mayBeginJson(payload[0]!)) return text
  try {
    JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString())
    return json
  } catch {
    return text
  }
}

/** White space, a quote, a sign, a digit, or the first letter of `true`, `false`, `null`. */
const mayBeginJson = (byte: number): boolean =>
  byte === 0x7b ||
  byte === 0x5b ||
  byte === 0x22 ||
  byte === 0x2d ||
  (byte >= 0x30 && byte <= 0x39) ||
  byte === 0x74 ||
  byte === 0x66 ||
  byte === 0x6e ||
  byte === 0x20 ||
  byte === 0x0a ||
  byte === 0x0d ||
  byte === 0x09

/** The payload, without holding a whole chunk for the sake of a few bytes. */
export function own(payload: Uint8Array): Uint8Array {
  if (payload.length === 0) return nothing
  return payload.buffer.byteLength - payload.length > strayMaxBytes
    ? new Uint8Array(payload)
    : payload
}
