import { isUtf8 } from 'node:buffer'
import type { Said } from './problem.ts'

/** Nesting of a JSON body. Deeper is refused before anything parses it. */
export const jsonMaxDepth = 64

/** Why a body is not read, as a problem of whoever listens. */
export interface JsonFault {
  readonly problem: 'too-deep' | 'malformed-json'
  readonly said: Said
}

/** A JSON body as it came, with where the value of its top-level `payload` stands. */
export interface SentBody {
  readonly bytes: Buffer
  /** From `start` up to `end`; both 0 when there is none that can be cut out. */
  readonly start: number
  readonly end: number
}

const quote = 0x22
const backslash = 0x5c

/**
 * One pass over JSON text, before it is parsed: how deep it is, and where the value of one
 * top-level member stands, so that it can be carried as it was written. JSON.parse and stringify
 * would change large numbers and repeated names.
 *
 *     { "name" : "open" , "payload" :  {"door": 7}  , "ttl" : 30 }
 *     depth 1                        ^start      ^end
 *
 * Text that is not JSON gives something, never harm: whoever asks parses it next.
 * @returns undefined when it is deeper than `maxDepth`.
 */
export function scanJson(
  bytes: Uint8Array,
  member: Uint8Array,
  maxDepth: number,
): { start: number; end: number } | undefined {
  const length = bytes.length
  let depth = 0
  let start = 0
  let end = 0
  let inside = false
  let nameComes = false
  let named = false
  for (let i = 0; i < length; i++) {
    const byte = bytes[i]
    if (byte === quote) {
      const first = i + 1
      let escaped = false
      for (i++; i < length && bytes[i] !== quote; i++) {
        if (bytes[i] === backslash) {
          i++
          escaped = true
        }
      }
      if (nameComes && depth === 1) {
        // An escape may spell the same name; then the parsed value is the only honest one.
        if (escaped) return { start: 0, end: 0 }
        named = sameText(bytes, first, i, member)
        nameComes = false
      }
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > maxDepth) return undefined
      nameComes = depth === 1 && byte === 0x7b
    } else if (byte === 0x7d || byte === 0x5d) {
      if (depth === 1 && inside) {
        end = i
        inside = false
      }
      depth--
    } else if (depth === 1) {
      if (byte === 0x2c) {
        if (inside) end = i
        inside = false
        nameComes = true
      } else if (byte === 0x3a && named) {
        start = i + 1
        inside = true
        named = false
      }
    }
  }
  while (start < end && isSpace(bytes[start])) start++
  while (start < end && isSpace(bytes[end - 1])) end--
  return { start, end }
}

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

function sameText(bytes: Uint8Array, from: number, to: number, text: Uint8Array): boolean {
  if (to - from !== text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text[i]) return false
  return true
}

const payloadMember = Buffer.from('payload')

/** JSON from outside: whatever is wrong with it is said, nothing is thrown. */
export function readJson(bytes: Buffer): { value: unknown; sent: SentBody } | JsonFault {
  const found = scanJson(bytes, payloadMember, jsonMaxDepth)
  if (found === undefined)
    return { problem: 'too-deep', said: { detail: `more than ${jsonMaxDepth} levels` } }
  if (!isUtf8(bytes)) return { problem: 'malformed-json', said: { detail: 'not UTF-8' } }
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return { value, sent: { bytes, start: found.start, end: found.end } }
  } catch (error) {
    return { problem: 'malformed-json', said: { detail: short((error as Error).message) } }
  }
}

const short = (text: string): string => (text.length > 200 ? `${text.slice(0, 200)}…` : text)
