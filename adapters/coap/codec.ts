import { generate, parse } from 'coap-packet'
import { codeText } from './codes.ts'

export type MessageType = 'con' | 'non' | 'ack' | 'rst'

export interface Option {
  readonly number: number
  readonly value: Buffer
}

/** One CoAP message as it is on the wire, RFC 7252 §3. */
export interface Message {
  readonly type: MessageType
  readonly code: number
  readonly messageId: number
  readonly token: Buffer
  readonly options: readonly Option[]
  readonly payload: Buffer
}

/** 'ignored': says nothing, asks for nothing. 'reset': answer with a reset of that message id. */
export type Decoded =
  | { readonly kind: 'message'; readonly message: Message }
  | { readonly kind: 'ignored' }
  | { readonly kind: 'reset'; readonly messageId: number }

const ignored: Decoded = { kind: 'ignored' }
const types: readonly MessageType[] = ['con', 'non', 'ack', 'rst']
const nothing = Buffer.alloc(0)
/** A token, RFC 7252 §3; its lengths 9 to 15 are reserved. */
export const tokenMaxBytes = 8
/** Longest option of all registered ones is 1,034 bytes; a datagram of ours carries fewer than these. */
const optionsMax = 64
const optionNumberMax = 65_535

/** The library names options; we go by their numbers. */
const numbers = new Map<string, number>([
  ['If-Match', 1],
  ['Uri-Host', 3],
  ['ETag', 4],
  ['If-None-Match', 5],
  ['Observe', 6],
  ['Uri-Port', 7],
  ['Location-Path', 8],
  ['OSCORE', 9],
  ['Uri-Path', 11],
  ['Content-Format', 12],
  ['Max-Age', 14],
  ['Uri-Query', 15],
  ['Hop-Limit', 16],
  ['Accept', 17],
  ['Q-Block1', 19],
  ['Location-Query', 20],
  ['Block2', 23],
  ['Block1', 27],
  ['Size2', 28],
  ['Q-Block2', 31],
  ['Proxy-Uri', 35],
  ['Proxy-Scheme', 39],
  ['Size1', 60],
  ['No-Response', 258],
  ['OCF-Accept-Content-Format-Version', 2049],
  ['OCF-Content-Format-Version', 2053],
])

/**
 * The library is asked only about datagrams that are well formed: it takes lengths at their word and
 * throws where they lie.
 */
export function decode(bytes: Buffer): Decoded {
  if (bytes.length < 4 || bytes[0]! >> 6 !== 1) return ignored // RFC 7252 §3: silently
  const type = types[(bytes[0]! >> 4) & 3]!
  const messageId = bytes.readUInt16BE(2)
  if (!isWellFormed(bytes)) {
    // RFC 7252 §4.2, §4.3: only a confirmable message is rejected aloud.
    return type === 'con' ? { kind: 'reset', messageId } : ignored
  }
  const number = bytes[1]!
  if (number === 0) {
    const message = { type, code: 0, messageId, token: nothing, options: [], payload: nothing }
    return { kind: 'message', message }
  }
  const parsed = parse(bytes)
  const options: Option[] = []
  for (const { name, value } of parsed.options) {
    options.push({ number: numbers.get(name as string) ?? Number(name), value })
  }
  const { token, payload } = parsed
  return { kind: 'message', message: { type, code: number, messageId, token, options, payload } }
}

export function encode(message: Message): Buffer {
  const { type, code, messageId, token, payload } = message
  const options: { name: string; value: Buffer }[] = []
  for (const { number, value } of message.options) options.push({ name: String(number), value })
  return generate(
    {
      code: codeText(code),
      confirmable: type === 'con',
      ack: type === 'ack',
      reset: type === 'rst',
      messageId,
      token,
      options,
      payload,
    },
    datagramMaxBytes,
  )
}

/** What one UDP datagram can carry. */
const datagramMaxBytes = 65_507

/**
 *      0               1               2               3
 *     |Ver| T |  TKL  |     Code      |          Message ID           |
 *     | token (TKL bytes) | options ... | 0xff | payload, not empty    |
 */
function isWellFormed(bytes: Buffer): boolean {
  const tokenLength = bytes[0]! & 15
  const code = bytes[1]!
  if (code === 0) return bytes.length === 4 && tokenLength === 0 // RFC 7252 §4.1
  const kind = code >> 5
  if (kind === 1 || kind === 6 || kind === 7) return false // reserved, RFC 7252 §4.2
  if (tokenLength > tokenMaxBytes || 4 + tokenLength > bytes.length) return false
  let at = 4 + tokenLength
  let number = 0
  let count = 0
  while (at < bytes.length) {
    const head = bytes[at++]!
    if (head === 0xff) return at < bytes.length // a marker and no payload is an error, §3
    const delta = extended(bytes, at, head >> 4)
    if (delta === undefined) return false
    at += delta.took
    const length = extended(bytes, at, head & 15)
    if (length === undefined) return false
    at += length.took + length.value
    number += delta.value
    if (at > bytes.length || number > optionNumberMax || ++count > optionsMax) return false
  }
  return true
}

interface Extended {
  readonly value: number
  readonly took: number
}

const short: readonly Extended[] = Array.from({ length: 13 }, (_, value) => ({ value, took: 0 }))

/** A delta or length of RFC 7252 §3.1: 13 and 14 say how many bytes more, 15 is reserved. */
function extended(bytes: Buffer, at: number, nibble: number): Extended | undefined {
  if (nibble < 13) return short[nibble]
  if (nibble === 13 && at < bytes.length) return { value: bytes[at]! + 13, took: 1 }
  if (nibble === 14 && at + 1 < bytes.length) {
    return { value: bytes.readUInt16BE(at) + 269, took: 2 }
  }
  return undefined
}

// Options' values.

/** As few bytes as it needs, RFC 7252 §3.2. */
export function uint(value: number): Buffer {
  if (value === 0) return nothing
  if (value < 0x100) return Buffer.from([value])
  if (value < 0x1_0000) return Buffer.from([value >> 8, value & 255])
  if (value < 0x100_0000) return Buffer.from([value >> 16, (value >> 8) & 255, value & 255])
  const bytes = Buffer.allocUnsafe(value < 0x1_0000_0000 ? 4 : 6)
  bytes.writeUIntBE(value, 0, bytes.length)
  return bytes
}

/** undefined: too long to be one. */
export function uintOf(value: Buffer, maxBytes = 4): number | undefined {
  if (value.length > maxBytes) return undefined
  return value.length === 0 ? 0 : value.readUIntBE(0, value.length)
}

export const uintOption = (number: number, value: number): Option => ({
  number,
  value: uint(value),
})

export const textOption = (number: number, text: string): Option => ({
  number,
  value: Buffer.from(text),
})

/** The first of a number. */
export function optionOf(options: readonly Option[], number: number): Buffer | undefined {
  for (const one of options) if (one.number === number) return one.value
  return undefined
}
