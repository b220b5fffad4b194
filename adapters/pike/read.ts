import { isUtf8 } from 'node:buffer'
import { channelNumberMax, epochMax, textMaxBytes } from './frames.ts'

/**
 * The elements of the encoding, read from one whole frame: numbers, bytes, text.
 *
 *     | type/flags | length | body ....................... |
 *                             ^ at                         ^ end
 *
 * One cursor serves all decoders: a frame is read in one go, and nobody else runs meanwhile.
 * After the first thing that is wrong, `wrong()` says what; what is read then means nothing.
 */
let buffer: Uint8Array = new Uint8Array(0)
let at = 0
let end = 0
let fault: string | undefined

const empty = new Uint8Array(0)

export function open(bytes: Uint8Array, from: number, to: number): void {
  buffer = bytes
  at = from
  end = to
  fault = undefined
}

/** Hold no peer's bytes longer than the reading takes. @returns what was wrong, if anything. */
export function finish(): string | undefined {
  buffer = empty
  return fault ?? (at === end ? undefined : 'bytes after the last field')
}

export const wrong = (): string | undefined => fault
export const atEnd = (): boolean => at >= end || fault !== undefined

export function fail(text: string): void {
  fault ??= text
}

/** Unsigned LEB128, the shortest form only, at most 8 bytes and 2^53-1. */
export function number(): number {
  if (at >= end) return cutShort()
  const first = buffer[at++]!
  if (first < 0x80) return first
  let value = first & 0x7f
  let scale = 0x80
  for (let i = 1; i < 8; i++) {
    if (at >= end) return cutShort()
    const byte = buffer[at++]!
    value += (byte & 0x7f) * scale
    if (byte < 0x80) {
      if (byte === 0) fail('a number not in its shortest form')
      if (value > Number.MAX_SAFE_INTEGER) fail('a number over 2^53-1')
      return value
    }
    scale *= 0x80
  }
  fail('a number over 8 bytes')
  return 0
}

function cutShort(): number {
  fail('the frame ends within a field')
  return 0
}

export function numberUpTo(max: number, what: string): number {
  const value = number()
  if (value > max) fail(`${what} over ${max}`)
  return value
}

/** Offsets of commands and sequences start at 1. */
export function positive(what: string): number {
  const value = number()
  if (value === 0) fail(`${what} 0`)
  return value
}

export function epoch(): number {
  const value = number()
  if (value === 0 || value > epochMax) fail('an epoch outside 1 to 2^32-1')
  return value
}

/** The channel number where the channel flag is set; 0 is said by leaving the flag away. */
export function channel(flagged: boolean): number {
  if (!flagged) return 0
  const value = numberUpTo(channelNumberMax, 'channel number')
  if (value === 0) fail('channel 0 with the channel flag')
  return value
}

/** The next octets, as a view. */
export function octets(length: number): Uint8Array {
  if (length > end - at) {
    fail('the frame ends within a field')
    return empty
  }
  at += length
  return buffer.subarray(at - length, at)
}

export const bytes = (): Uint8Array => octets(number())
/** All that is left, as a view. */
export const rest = (): Uint8Array => octets(end - at)

export const text = (): string => textOf(number())

export function textOf(length: number): string {
  if (length > textMaxBytes) {
    fail(`text over ${textMaxBytes} bytes`)
    return ''
  }
  if (length > end - at) {
    fail('the frame ends within a field')
    return ''
  }
  const from = at
  at += length
  let hash = length
  for (let i = from; i < at; i++) {
    const byte = buffer[i]!
    if (byte >= 0x80 || byte === 0) return odd(from)
    hash = (hash * 31 + byte) | 0
  }
  return ascii(from, length, hash & (recentMax - 1))
}

/** Text that is not plain ASCII. */
function odd(from: number): string {
  const view = buffer.subarray(from, at)
  if (!isUtf8(view)) {
    fail('text that is not UTF-8')
    return ''
  }
  if (view.includes(0)) {
    fail('text with U+0000')
    return ''
  }
  return Buffer.from(view.buffer, view.byteOffset, view.length).toString('utf8')
}

/**
 * Texts repeat: names of events, of devices. The last one of each hash is kept, for speed and so
 * that ten thousand decoders share one string. A peer can at most push others' texts out.
 */
const recentMax = 512
const recentMaxBytes = 64
const recent: (string | undefined)[] = new Array<string | undefined>(recentMax).fill(undefined)

function ascii(from: number, length: number, slot: number): string {
  const known = recent[slot]
  if (known !== undefined && known.length === length) {
    let i = 0
    while (i < length && known.charCodeAt(i) === buffer[from + i]) i++
    if (i === length) return known
  }
  const made = Buffer.from(buffer.buffer, buffer.byteOffset + from, length).toString('latin1')
  if (length <= recentMaxBytes) recent[slot] = made
  return made
}
