import { isUtf8 } from 'node:buffer'
import { type Code, code } from './packets.ts'

/**
 * The elements of MQTT's encoding (§1.5), read from one whole packet.
 *
 *     | type/flags | length | variable header, payload ....|
 *                             ^ at                          ^ end
 *
 * One cursor serves all: a packet is read in one go, and nobody else runs meanwhile. After the first
 * thing that is wrong `wrong()` says what; what is read then means nothing.
 */
let buffer: Uint8Array = new Uint8Array(0)
let at = 0
let end = 0
let fault: { code: Code; text: string } | undefined

const empty = new Uint8Array(0)

export function open(bytes: Uint8Array, from: number, to: number): void {
  buffer = bytes
  at = from
  end = to
  fault = undefined
}

/** Hold no peer's bytes longer than the reading takes. @returns what was wrong, if anything. */
export function finish(): { code: Code; text: string } | undefined {
  buffer = empty
  if (fault === undefined && at !== end) malformed('bytes after the last field')
  return fault
}

export const wrong = (): boolean => fault !== undefined
export const left = (): number => (fault === undefined ? end - at : 0)

export function fail(why: Code, text: string): void {
  fault ??= { code: why, text }
}
export const malformed = (text: string): void => fail(code.malformed, text)
export const disallowed = (text: string): void => fail(code.protocolError, text)

function cutShort(): number {
  malformed('the packet ends within a field')
  return 0
}

export function uint8(): number {
  return at < end ? buffer[at++]! : cutShort()
}

export function uint16(): number {
  if (end - at < 2) return cutShort()
  at += 2
  return buffer[at - 2]! * 0x100 + buffer[at - 1]!
}

export function uint32(): number {
  if (end - at < 4) return cutShort()
  const high = uint16()
  return high * 0x1_0000 + uint16()
}

/** §1.5.5: the shortest form only, at most four bytes. */
export function varint(): number {
  let value = 0
  let scale = 1
  for (let i = 0; i < 4; i++) {
    if (at >= end) return cutShort()
    const byte = buffer[at++]!
    value += (byte & 0x7f) * scale
    if (byte < 0x80) {
      if (byte === 0 && i > 0) malformed('a number not in its shortest form')
      return value
    }
    scale *= 0x80
  }
  malformed('a number over four bytes')
  return 0
}

/** A packet id is never 0 [MQTT-2.2.1-3]. */
export function packetId(): number {
  const id = uint16()
  if (id === 0) disallowed('packet id 0')
  return id
}

/** As a view. */
export function bytes(): Uint8Array {
  const length = uint16()
  if (length > end - at) {
    cutShort()
    return empty
  }
  at += length
  return buffer.subarray(at - length, at)
}

/** All that is left, as a view. */
export function rest(): Uint8Array {
  const all = buffer.subarray(at, end)
  at = end
  return all
}

/** What follows, up to there. @returns the end before, for {@link widen}. */
export function narrow(length: number): number {
  const before = end
  if (length > end - at) cutShort()
  else end = at + length
  return before
}

export function widen(to: number): void {
  end = to
}

/** Text without U+0000 (§1.5.4). */
export function text(): string {
  const view = bytes()
  for (let i = 0; i < view.length; i++) {
    const byte = view[i]!
    if (byte >= 0x80 || byte === 0) return odd(view)
  }
  return Buffer.from(view.buffer, view.byteOffset, view.length).toString('latin1')
}

/** Checked like text, made to none. */
export function skipText(): void {
  const view = bytes()
  if (!isUtf8(view) || view.includes(0)) odd(view)
}

function odd(view: Uint8Array): string {
  if (!isUtf8(view)) {
    malformed('text that is not UTF-8') // [MQTT-1.5.4-1]
    return ''
  }
  if (view.includes(0)) {
    malformed('text with U+0000') // [MQTT-1.5.4-2]
    return ''
  }
  return Buffer.from(view.buffer, view.byteOffset, view.length).toString('utf8')
}
