import type { ChannelId, Found } from '../../contract/index.ts'
import type { Channel } from './channel.ts'
import { decodePointer } from './event-record.ts'
import type { Lane, Reading } from './history-lane.ts'
import { endedAt, openAt, Side } from './history-lane.ts'
import { commandKey, historyKey, placedKey, scheduledKey } from './keys.ts'
import type { Placed } from './schedule-record.ts'
import { asOpen, decodePlaced, decodeScheduled } from './schedule-record.ts'
import { iterate } from './store.ts'

interface Candidate {
  readonly scheduled: number
  readonly acceptedAtMs: number
  /** Where it lies; undefined while it waits. */
  readonly placed: Placed | undefined
  readonly value: Buffer
}

/** What was scheduled in one channel, waiting, placed or ended, by number, backwards. */
export class ScheduledLane implements Lane {
  readonly name: string
  below: number
  readonly #reading: Reading
  readonly #id: ChannelId
  readonly #channel: Channel | undefined
  readonly #waiting: Side<Candidate>
  readonly #placed: Side<Candidate>

  constructor(
    reading: Reading,
    id: ChannelId,
    channel: Channel | undefined,
    name: string,
    below: number,
  ) {
    this.name = name
    this.below = below
    this.#reading = reading
    this.#id = id
    this.#channel = channel
    const { store, snapshot } = reading
    const backwards = { snapshot, reverse: true }
    const waiting = { gte: scheduledKey(id, 0), lt: scheduledKey(id, below) }
    this.#waiting = new Side(iterate(store, { ...waiting, ...backwards }), (scheduled, value) => {
      const { acceptedAtMs } = decodeScheduled(id, scheduled, value)
      return { scheduled, acceptedAtMs, placed: undefined, value }
    })
    const placed = { gte: placedKey(id, 0), lt: placedKey(id, below) }
    this.#placed = new Side(iterate(store, { ...placed, ...backwards }), (scheduled, value) => {
      const where = decodePlaced(value)
      return { scheduled, acceptedAtMs: where.acceptedAtMs, placed: where, value }
    })
  }

  get head(): Candidate | undefined {
    return this.#newer()?.head
  }

  async fill(): Promise<number> {
    return (await this.#waiting.fill()) + (await this.#placed.fill())
  }

  async take(): Promise<Found | undefined> {
    const { scheduled, placed, value } = this.#newer()!.take()
    this.below = scheduled
    const { status } = this.#reading
    if (placed !== undefined) return this.#at(placed)
    if (status !== undefined && status !== 'open') return undefined
    return { kind: 'open', command: asOpen(decodeScheduled(this.#id, scheduled, value)) }
  }

  async close(): Promise<void> {
    await this.#waiting.iterator.close()
    await this.#placed.iterator.close()
  }

  async #at({ offset }: Placed): Promise<Found | undefined> {
    const { store, snapshot, status } = this.#reading
    const keys = [commandKey(this.#id, offset), historyKey(this.#id, offset)]
    const [value, pointer] = await store.getMany(keys, { snapshot })
    if (pointer !== undefined) return endedAt(this.#reading, this.#id, decodePointer(pointer))
    if (value === undefined || this.#channel === undefined) return undefined
    return status === undefined || status === 'open'
      ? openAt(this.#channel, offset, value)
      : undefined
  }

  #newer(): Side<Candidate> | undefined {
    const waiting = this.#waiting.head
    const placed = this.#placed.head
    if (waiting === undefined) return placed === undefined ? undefined : this.#placed
    const isNewer = placed === undefined || waiting.scheduled > placed.scheduled
    return isNewer ? this.#waiting : this.#placed
  }
}
