import { readFileSync } from 'node:fs'
import { FrameDecoder, FrameEncoder } from '../../../adapters/pike/codec.ts'
import type { Frame } from '../../../adapters/pike/frames.ts'

export interface Valid {
  readonly name: string
  readonly bindingsMax?: number
  readonly taught?: readonly string[]
  readonly hex: string
  readonly frame: unknown
  readonly decodeOnly?: boolean
}
export interface Stream {
  readonly name: string
  readonly bindingsMax: number
  readonly hex: string
  readonly frames: readonly unknown[]
  readonly decodeOnly?: boolean
}
export interface Malformed {
  readonly name: string
  readonly hex: string
  readonly reason: string
  readonly bindingsMax?: number
  readonly taught?: readonly string[]
  readonly frameMaxBytes?: number
}
export interface AuthVector {
  readonly name: string
  readonly app: string
  readonly device: string
  readonly secret: string
  readonly kdf: 'hkdf' | 'scrypt'
  readonly clientKey: string
  readonly storedKey: string
  readonly serverKey: string
  readonly hello: string
  readonly challenge: string
  readonly proof: string
  readonly serverProof: string
  readonly proofFrame: string
}
export interface SessionLine {
  readonly from: 'client' | 'server'
  readonly hex: string
  readonly frame: unknown
}
export interface SessionVector {
  readonly secret: string
  readonly clientBindingsMax: number
  readonly serverBindingsMax: number
  readonly frames: readonly SessionLine[]
}

const load = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../vectors/pike/${file}`, import.meta.url), 'utf8'))
const list = <T>(file: string): readonly T[] => (load(file) as { vectors: readonly T[] }).vectors

export const valid = list<Valid>('valid.json')
export const streams = list<Stream>('streams.json')
export const malformed = list<Malformed>('malformed.json')
export const auth = list<AuthVector>('auth.json')
export const session = load('session.json') as SessionVector

const byteFields = new Set(['payload', 'nonce', 'proof', 'value'])

/** A frame of ours in the words of the vectors. */
export function neutral(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (value === undefined) return null
  if (Array.isArray(value)) return value.map(neutral)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, neutral(item)]))
}

/** A frame of the vectors as ours. */
export function frameOf(value: unknown): Frame {
  return revive('', value) as Frame
}

function revive(key: string, value: unknown): unknown {
  if (value === null) return undefined
  if (key === 'payloads') return (value as string[]).map((item) => Buffer.from(item, 'hex'))
  if (Array.isArray(value)) return value.map((item) => revive('', item))
  if (typeof value === 'string') return byteFields.has(key) ? Buffer.from(value, 'hex') : value
  if (typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value as object).map(([k, v]) => [k, revive(k, v)]))
}

interface Context {
  readonly bindingsMax?: number | undefined
  readonly taught?: readonly string[] | undefined
  readonly frameMaxBytes?: number | undefined
}

const lesson = (name: string): Frame => ({
  type: 'event',
  channelNumber: 0,
  sequence: undefined,
  name,
  payload: new Uint8Array(0),
  binary: false,
})

/** An encoder and a decoder that have been taught what the vector asks for. */
export function pair({ bindingsMax = 0, taught = [], frameMaxBytes = 65_536 }: Context): {
  encoder: FrameEncoder
  decoder: FrameDecoder
} {
  const encoder = new FrameEncoder()
  encoder.bindingsMax = bindingsMax
  const decoder = new FrameDecoder({ frameMaxBytes, bindingsMax })
  for (const name of taught) decoder.push(encoder.encode(lesson(name)), () => {})
  return { encoder, decoder }
}
