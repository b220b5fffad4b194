import type { Found, HistoryQuery, Offset } from '../../contract/index.ts'
import { appOf } from './appending.ts'
import type { Channel } from './channel.ts'
import { decodeCommand } from './command-record.ts'
import { openCommand } from './commands.ts'
import type { Pointer } from './event-record.ts'
import { decodePointer, withLate } from './event-record.ts'
import type { LevelEvents } from './events.ts'
import { commandKey, historyKey, offsetOf } from './keys.ts'
import type { Store, StoreIterator } from './store.ts'
import { iterate } from './store.ts'

const readStep = 64

/** Some of a device's commands, newest first by acceptance. */
export interface Lane {
  /** In the cursor. */
  readonly name: string
  /** All at or above it has been looked at. */
  readonly below: number
  readonly head: { readonly acceptedAtMs: number } | undefined
  /** Have the next one at hand, if there is one. @returns how many were passed over for it. */
  fill(): Promise<number>
  /** The next one, if it is to be shown here and its outcome is still kept. */
  take(): Promise<Found | undefined>
  close(): Promise<void>
}

/** What lanes read from. */
export interface Reading {
  readonly store: Store
  readonly snapshot: ReturnType<Store['snapshot']>
  readonly events: LevelEvents
  readonly status: HistoryQuery['status']
}

type Candidate = { readonly offset: Offset; readonly acceptedAtMs: number } & (
  | { readonly value: Buffer; readonly pointer?: undefined }
  | { readonly pointer: Pointer }
)

/** One channel, backwards; what was scheduled is in another lane. */
export class ChannelLane implements Lane {
  readonly name: string
  below: Offset
  readonly #reading: Reading
  readonly #channel: Channel
  readonly #open: Side<Candidate> | undefined
  readonly #ended: Side<Candidate> | undefined

  constructor(reading: Reading, channel: Channel, below: Offset) {
    this.name = channel.id
    this.below = below
    this.#reading = reading
    this.#channel = channel
    const { store, snapshot, status } = reading
    const { id, floor } = channel
    const backwards = { snapshot, reverse: true }
    if (status === undefined || status === 'open') {
      const range = { gte: commandKey(id, floor), lt: commandKey(id, below) }
      this.#open = new Side(iterate(store, { ...range, ...backwards }), openCandidate)
    }
    if (status !== 'open') {
      const range = { gte: historyKey(id, 0), lt: historyKey(id, below) }
      this.#ended = new Side(iterate(store, { ...range, ...backwards }), endedCandidate)
    }
  }

  get head(): Candidate | undefined {
    return this.#newer()?.head
  }

  async fill(): Promise<number> {
    const open = (await this.#open?.fill()) ?? 0
    return open + ((await this.#ended?.fill()) ?? 0)
  }

  async take(): Promise<Found | undefined> {
    const candidate = this.#newer()!.take()
    this.below = candidate.offset
    const { offset, pointer } = candidate
    const channel = this.#channel
    return pointer === undefined
      ? openAt(channel, offset, candidate.value)
      : endedAt(this.#reading, channel.id, pointer)
  }

  async close(): Promise<void> {
    await this.#open?.iterator.close()
    await this.#ended?.iterator.close()
  }

  #newer(): Side<Candidate> | undefined {
    const open = this.#open?.head
    const ended = this.#ended?.head
    if (open === undefined) return ended === undefined ? undefined : this.#ended
    return ended === undefined || open.offset > ended.offset ? this.#open : this.#ended
  }
}

/** One range of keys, backwards, some at a time. */
export class Side<C> {
  readonly iterator: StoreIterator
  readonly #candidate: (offset: Offset, value: Buffer) => C | undefined
  #ready: [string, Buffer][] = []
  #over = false
  head: C | undefined

  /** `candidate` answers undefined for what is passed over. */
  constructor(
    iterator: StoreIterator,
    candidate: (offset: Offset, value: Buffer) => C | undefined,
  ) {
    this.iterator = iterator
    this.#candidate = candidate
  }

  async fill(): Promise<number> {
    let passedOver = 0
    while (this.head === undefined && !this.#over) {
      if (this.#ready.length === 0) {
        this.#ready = (await this.iterator.nextv(readStep)).reverse()
        this.#over = this.#ready.length === 0
      }
      const entry = this.#ready.pop()
      if (entry === undefined) break
      this.head = this.#candidate(offsetOf(entry[0]), entry[1])
      if (this.head === undefined) passedOver += 1
    }
    return passedOver
  }

  take(): C {
    const head = this.head!
    this.head = undefined
    return head
  }
}

/** What an open command's record says, and what this process knows beside it. */
export function openAt(
  channel: Channel,
  offset: Offset,
  value: Buffer,
): Extract<Found, { readonly kind: 'open' }> {
  const entry = decodeCommand(offset, value)
  entry.sentAtMs ??= channel.live?.open.get(offset)?.sentAtMs
  return { kind: 'open', command: openCommand(channel, entry, entry.payload) }
}

/** The ended command to which this is the way, if it is asked for and still kept. */
export async function endedAt(
  { events, status }: Reading,
  channel: string,
  pointer: Pointer,
): Promise<Found | undefined> {
  if (status !== undefined && status !== pointer.status) return undefined
  const event = await events.at(appOf(channel), pointer.sequence)
  if (event?.kind !== 'command.ended') return undefined
  return { kind: 'ended', command: withLate(event.ended, pointer) }
}

function openCandidate(offset: Offset, value: Buffer): Candidate | undefined {
  const { acceptedAtMs, more } = decodeCommand(offset, value)
  return more?.scheduled === undefined ? { offset, acceptedAtMs, value } : undefined
}

function endedCandidate(offset: Offset, value: Buffer): Candidate | undefined {
  const pointer = decodePointer(value)
  if (pointer.scheduled) return undefined
  return { offset, acceptedAtMs: pointer.acceptedAtMs, pointer }
}
