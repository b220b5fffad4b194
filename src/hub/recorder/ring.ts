import type { TraceEntry } from '../../contract/index.ts'
import { byPlace, channelId, commandId } from '../../contract/index.ts'
import type { Connection, Origin, Track } from './known.ts'

/** Slots that are made at once, when the first of them is written. */
const chunkSlots = 1024

/** Of one slot without its payload, what the names it keeps alive take included. */
const slotBytes = 256

/** Names that are held once. */
const namesMax = 1024

export type Way = 0 | 1 | 2
export const wayIn = 0
export const wayOut = 1
export const state = 2
const ways = ['in', 'out', 'state'] as const

/*
 * An entry lies side by side, since each line of the processor's cache that is touched costs:
 *
 *     numbers   at | id | before | offset | sequence | epoch, bytes | size, way | -      8 × 8 bytes
 *     texts     origin | type | channel | command | name | reason | about
 *
 * `before`: the place of the entry before it of the same device, counted from 1; 0: none.
 * `size`: bytes of the payload, plus 1; 0: none.
 */
const stride = 8
const atField = 0
const idField = 1
const beforeField = 2
const offsetField = 3
const sequenceField = 4
/** Among halves, of which there are twice as many. */
const epochHalf = 10
const bytesHalf = 11
const sizeHalf = 12
const wayHalf = 13

const texts = 7

class Chunk {
  readonly numbers: Float64Array
  readonly halves: Uint32Array
  readonly texts: unknown[]
  readonly heads: Uint8Array

  constructor(slots: number, payloadMaxBytes: number) {
    this.numbers = new Float64Array(slots * stride)
    this.halves = new Uint32Array(this.numbers.buffer)
    this.texts = new Array(slots * texts).fill(undefined)
    this.heads = new Uint8Array(slots * payloadMaxBytes)
  }
}

/**
 * The last entries, of all devices together; each knows where the one before it of its device is.
 *
 *     slots | 8 d1 | 9 d2 | 4 d1 | 5 d2 | 6 d1 | 7 d1 |      d1.last = 8 ─▶ 7 ─▶ 6 ─▶ (4 may be gone)
 *                          ^ next to be written over
 *
 * Nobody is told of what is written over: whoever has a place asks whether it is still there.
 */
export class Ring {
  readonly slots: number
  readonly #payloadMaxBytes: number
  readonly #chunks: Chunk[] = []
  /** The one that is written, and where. */
  #chunk: Chunk | undefined
  #slot = 0
  #index = 0
  /** Entries ever written; the last one's place. */
  #written = 0
  readonly #names = new Map<string, string>()
  #lastName = ''

  /** @param maxBytes about; below one slot nothing is kept. */
  constructor(maxBytes: number, payloadMaxBytes: number) {
    this.slots = Math.floor(maxBytes / (slotBytes + payloadMaxBytes))
    this.#payloadMaxBytes = payloadMaxBytes
  }

  /** The place of the last one; so many were written. */
  get newest(): number {
    return this.#written
  }

  get oldest(): number {
    return this.#written === 0 ? 0 : Math.max(1, this.#written - this.slots + 1)
  }

  /** Each argument by itself: an object for each entry would cost more than its writing. @returns its place. */
  write(
    id: number,
    atMs: number,
    origin: Origin,
    way: Way,
    type: string,
    bytes: number,
    channel: string | undefined,
    command: string | undefined,
    epoch: number,
    offset: number,
    sequence: number,
    name: string | undefined,
    payload: Uint8Array | undefined,
    reason: string | undefined,
    about: string | undefined,
  ): number {
    if (this.#index === chunkSlots || this.#slot === this.slots || this.#chunk === undefined)
      this.#turn()
    const chunk = this.#chunk!
    const i = this.#index
    this.#index = i + 1
    this.#slot++
    const { numbers, halves, texts: refs } = chunk
    const n = i * stride
    numbers[n + atField] = atMs
    numbers[n + idField] = id
    const { track } = origin
    numbers[n + beforeField] = track === undefined ? 0 : track.last
    numbers[n + offsetField] = offset
    numbers[n + sequenceField] = sequence
    const h = n << 1
    halves[h + epochHalf] = epoch
    halves[h + bytesHalf] = bytes
    halves[h + sizeHalf] = payload === undefined ? 0 : payload.length + 1
    halves[h + wayHalf] = way
    const t = i * texts
    refs[t] = origin
    refs[t + 1] = type
    refs[t + 2] = channel === undefined ? undefined : this.#shared(channel)
    refs[t + 3] = command
    refs[t + 4] = name === undefined ? undefined : this.#shared(name)
    refs[t + 5] = reason
    refs[t + 6] = about
    if (payload !== undefined) this.#copy(payload, chunk.heads, i * this.#payloadMaxBytes)
    return ++this.#written
  }

  /** Is this place not written over yet? */
  has(place: number): boolean {
    return place > 0 && place > this.#written - this.slots
  }

  before(place: number): number {
    return this.#number(place, beforeField)
  }

  idAt(place: number): number {
    return this.#number(place, idField)
  }

  atMs(place: number): number {
    return this.#number(place, atField)
  }

  connectionAt(place: number): Connection | undefined {
    return this.#originAt(place).connection
  }

  trackAt(place: number): Track | undefined {
    return this.#originAt(place).track
  }

  read(place: number): TraceEntry {
    const [chunk, i] = this.#at(place)
    const numbers = chunk.numbers.subarray(i * stride)
    const halves = chunk.halves.subarray(i * stride * 2)
    const [origin, type, channel_, command, name, reason, about] = chunk.texts.slice(
      i * texts,
      (i + 1) * texts,
    ) as [Origin, string, ...(string | undefined)[]]
    const { connection, track } = origin
    const channel = channel_ ?? origin.channel
    const lies = command === byPlace && track !== undefined && channel !== undefined
    const id = lies
      ? commandId(
          channelId(track.app, track.device, channel),
          halves[epochHalf]!,
          numbers[offsetField]!,
        )
      : command || undefined
    const payloadBytes = halves[sizeHalf]! - 1
    const from = i * this.#payloadMaxBytes
    return {
      id: numbers[idField]!,
      atMs: numbers[atField]!,
      way: ways[halves[wayHalf]!]!,
      type,
      ...(connection && { connection: connection.token, protocol: connection.protocol }),
      ...text('channel', channel),
      ...text('command', id),
      ...number('epoch', halves[epochHalf]!),
      ...number('offset', numbers[offsetField]!),
      ...number('sequence', numbers[sequenceField]!),
      ...text('name', name),
      ...number('bytes', halves[bytesHalf]!),
      ...text('reason', reason),
      ...text('about', about),
      ...(payloadBytes >= 0 && {
        payload: {
          bytes: payloadBytes,
          head: chunk.heads.slice(from, from + Math.min(payloadBytes, this.#payloadMaxBytes)),
        },
      }),
    }
  }

  /** Names repeat; every request brings a text of its own, which need not live as long as the ring. */
  #shared(name: string): string {
    if (name === this.#lastName) return this.#lastName
    const known = this.#names.get(name)
    if (known === undefined) {
      if (this.#names.size >= namesMax) this.#names.clear()
      this.#names.set(name, name)
    }
    this.#lastName = known ?? name
    return this.#lastName
  }

  /** Never a view: a payload may lie in a large buffer of its connection. */
  #copy(payload: Uint8Array, heads: Uint8Array, from: number): void {
    const { length } = payload
    const max = this.#payloadMaxBytes
    if (length > max) heads.set(payload.subarray(0, max), from)
    else if (length > loopMaxBytes) heads.set(payload, from)
    else for (let j = 0; j < length; j++) heads[from + j] = payload[j]!
  }

  /** The next slot lies in another chunk, perhaps in the first again. */
  #turn(): void {
    if (this.#slot === this.slots) this.#slot = 0
    const number = Math.floor(this.#slot / chunkSlots)
    let chunk = this.#chunks[number]
    if (chunk === undefined) {
      const left = this.slots - this.#slot
      chunk = new Chunk(Math.min(chunkSlots, left), this.#payloadMaxBytes)
      this.#chunks.push(chunk)
    }
    this.#chunk = chunk
    this.#index = 0
  }

  #originAt(place: number): Origin {
    const [chunk, i] = this.#at(place)
    return chunk.texts[i * texts] as Origin
  }

  #number(place: number, which: number): number {
    const [chunk, i] = this.#at(place)
    return chunk.numbers[i * stride + which]!
  }

  #at(place: number): readonly [Chunk, number] {
    const slot = (place - 1) % this.slots
    return [this.#chunks[Math.floor(slot / chunkSlots)]!, slot % chunkSlots]
  }
}

/** Up to here a loop is quicker than a call. */
const loopMaxBytes = 24

const text = <N extends string>(name: N, value: string | undefined) =>
  value === undefined ? undefined : ({ [name]: value } as { [name in N]: string })

const number = <N extends string>(name: N, value: number) =>
  value === 0 ? undefined : ({ [name]: value } as { [name in N]: number })
