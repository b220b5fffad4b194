import type { ChannelId, Found, HistoryPage, HistoryQuery, Offset } from '../../contract/index.ts'
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

/** Commands looked at for one page, of the asked status or not: then it ends, however short. */
const pageMaxLooked = 10_000
const readStep = 64

interface Source {
  readonly store: Store
  readonly events: LevelEvents
  readonly channel: (id: ChannelId) => Channel | undefined
  /** The channels of the device. */
  readonly ids: readonly ChannelId[]
}

/**
 * Commands of all channels of a device, newest first: each channel is read backwards, open and
 * ended side by side, and the one with the newest acceptance gives the next.
 *
 *     main    m  …  9  .  .  6        ╲
 *             h  …  .  8  7  .  5  4   ╲  newest of all
 *     urgent  m  …  3                  ╱
 *             h  …  .  2  1           ╱
 *
 * The cursor names, for each channel, the offset below which to go on.
 */
export async function historyPage(source: Source, query: HistoryQuery): Promise<HistoryPage> {
  const below = query.after === undefined ? undefined : parseCursor(query.after)
  if (query.after !== undefined && below === undefined) return { items: [], next: undefined }
  const snapshot = source.store.snapshot()
  const lanes: Lane[] = []
  try {
    for (const id of source.ids) {
      const channel = source.channel(id)
      // A channel that is newer than the first page is not in the others.
      const bound = below === undefined ? (channel?.durableTop ?? 0) + 1 : below.get(id)
      if (channel === undefined || bound === undefined) continue
      const lane = new Lane(source.store, snapshot, channel, bound, query.status)
      lanes.push(lane)
      await lane.fill()
    }
    const items: Found[] = []
    let looked = 0
    while (items.length < query.limit && looked < pageMaxLooked) {
      const lane = newest(lanes)
      if (lane === undefined) break
      looked += 1
      const found = await lane.take(source)
      if (found !== undefined) items.push(found)
      await lane.fill()
    }
    const next = newest(lanes) === undefined ? undefined : makeCursor(lanes)
    return { items, next }
  } finally {
    for (const lane of lanes) await lane.close()
    await snapshot.close()
  }
}

type Candidate = { readonly offset: Offset; readonly acceptedAtMs: number } & (
  | { readonly value: Buffer; readonly pointer?: undefined }
  | { readonly pointer: Pointer }
)

/** One channel, backwards. */
class Lane {
  readonly channel: Channel
  /** All at or above it has been looked at. */
  below: Offset
  readonly #open: Side | undefined
  readonly #ended: Side | undefined
  readonly #status: HistoryQuery['status']

  constructor(
    store: Store,
    snapshot: ReturnType<Store['snapshot']>,
    channel: Channel,
    below: Offset,
    status: HistoryQuery['status'],
  ) {
    this.channel = channel
    this.below = below
    this.#status = status
    const { id, floor } = channel
    const reading = { snapshot, reverse: true }
    if (status === undefined || status === 'open') {
      const range = { gte: commandKey(id, floor), lt: commandKey(id, below) }
      this.#open = new Side(iterate(store, { ...range, ...reading }), openCandidate)
    }
    if (status !== 'open') {
      const range = { gte: historyKey(id, 0), lt: historyKey(id, below) }
      this.#ended = new Side(iterate(store, { ...range, ...reading }), endedCandidate)
    }
  }

  get head(): Candidate | undefined {
    return this.#newer()?.head
  }

  /** Have the next one at hand, if there is one. */
  async fill(): Promise<void> {
    await this.#open?.fill()
    await this.#ended?.fill()
  }

  /** The next one, if it is of the status asked for and its outcome is still kept. */
  async take({ events }: Source): Promise<Found | undefined> {
    const candidate = this.#newer()!.take()
    this.below = candidate.offset
    const { channel } = this
    if (candidate.pointer === undefined) {
      const entry = decodeCommand(candidate.offset, candidate.value)
      const held = channel.live?.open.get(candidate.offset)
      entry.sentAtMs ??= held?.sentAtMs
      return { kind: 'open', command: openCommand(channel, entry, entry.payload) }
    }
    const { status, sequence } = candidate.pointer
    if (this.#status !== undefined && this.#status !== status) return undefined
    const event = await events.at(appOf(channel.id), sequence)
    if (event?.kind !== 'command.ended') return undefined
    return { kind: 'ended', command: withLate(event.ended, candidate.pointer) }
  }

  async close(): Promise<void> {
    await this.#open?.iterator.close()
    await this.#ended?.iterator.close()
  }

  #newer(): Side | undefined {
    const open = this.#open?.head
    const ended = this.#ended?.head
    if (open === undefined) return ended === undefined ? undefined : this.#ended
    return ended === undefined || open.offset > ended.offset ? this.#open : this.#ended
  }
}

/** One range of keys, backwards, some at a time. */
class Side {
  readonly iterator: StoreIterator
  readonly #candidate: (offset: Offset, value: Buffer) => Candidate
  #ready: [string, Buffer][] = []
  #over = false
  head: Candidate | undefined

  constructor(iterator: StoreIterator, candidate: (offset: Offset, value: Buffer) => Candidate) {
    this.iterator = iterator
    this.#candidate = candidate
  }

  async fill(): Promise<void> {
    if (this.head !== undefined || this.#over) return
    if (this.#ready.length === 0) {
      this.#ready = (await this.iterator.nextv(readStep)).reverse()
      this.#over = this.#ready.length === 0
    }
    const entry = this.#ready.pop()
    if (entry !== undefined) this.head = this.#candidate(offsetOf(entry[0]), entry[1])
  }

  take(): Candidate {
    const head = this.head!
    this.head = undefined
    return head
  }
}

const openCandidate = (offset: Offset, value: Buffer): Candidate => ({
  offset,
  acceptedAtMs: decodeCommand(offset, value).acceptedAtMs,
  value,
})

function endedCandidate(offset: Offset, value: Buffer): Candidate {
  const pointer = decodePointer(value)
  return { offset, acceptedAtMs: pointer.acceptedAtMs, pointer }
}

function newest(lanes: readonly Lane[]): Lane | undefined {
  let best: Lane | undefined
  for (const lane of lanes) {
    if (lane.head === undefined) continue
    if (best === undefined || lane.head.acceptedAtMs > best.head!.acceptedAtMs) best = lane
  }
  return best
}

const makeCursor = (lanes: readonly Lane[]): string =>
  Buffer.from(JSON.stringify(lanes.map((lane) => [lane.channel.id, lane.below]))).toString(
    'base64url',
  )

/** @returns undefined for text that is no cursor of ours. */
function parseCursor(text: string): Map<ChannelId, Offset> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (!Array.isArray(parsed)) return undefined
    const below = new Map<ChannelId, Offset>()
    for (const pair of parsed) {
      if (!Array.isArray(pair)) return undefined
      const [id, offset] = pair as readonly unknown[]
      if (typeof id !== 'string' || !Number.isSafeInteger(offset) || Number(offset) < 0) {
        return undefined
      }
      below.set(id, Number(offset))
    }
    return below
  } catch {
    return undefined
  }
}
