import type { AppId, ChannelId, Position } from '../../contract/index.ts'
import { channelParts } from '../../contract/index.ts'
import type { Entry } from './command-record.ts'
import { encodeCommand, noBytes } from './command-record.ts'
import type { Database, Part } from './database.ts'
import {
  channelBeforeNumber,
  lastScheduledKey,
  placedKey,
  ripeKey,
  scheduledKey,
  scheduledOf,
  under,
} from './keys.ts'
import { decodeNumber, encodeNumber, encodePlaced } from './schedule-record.ts'
import type { Store } from './store.ts'
import type { Waiting } from './timetable.ts'
import { Timetable } from './timetable.ts'

/** How many one step of the scan at start brings, at most. */
const scanStep = 1_000

/** A channel with commands that wait, or of which something is not durable yet. */
interface Plan {
  readonly channel: ChannelId
  /** Last number given; undefined where it must be read from the store. */
  last: number | undefined
  readonly waiting: Map<number, Waiting>
  /** The commit that holds its last change. */
  changedIn: number
}

/**
 * Commands that wait for their time:
 *
 *     keep ──▶ y/… the command, q/… when it is due ──place──▶ p/… where it lies in the mailbox
 *              in memory: when, and nothing else
 *
 * Their numbers follow the clock, and grow where it does not. So a store that was put back does not
 * give again what it gave after the copy was taken; it would be another command under an old id.
 */
export class Schedule implements Part {
  readonly #database: Database
  readonly #plans = new Map<ChannelId, Plan>()
  readonly #timetable = new Timetable()
  #total = 0
  readonly #totalOf = new Map<AppId, number>()
  #fresh: Waiting[] = []
  #writing: Waiting[] = []
  #dirty: Plan[] = []
  #writingPlans: Plan[] = []

  constructor(database: Database) {
    this.#database = database
  }

  /** Commands that wait. */
  get total(): number {
    return this.#total
  }

  totalOf(app: AppId): number {
    return this.#totalOf.get(app) ?? 0
  }

  count(channel: ChannelId): number {
    return this.#plans.get(channel)?.waiting.size ?? 0
  }

  get(channel: ChannelId, scheduled: number): Waiting | undefined {
    return this.#plans.get(channel)?.waiting.get(scheduled)
  }

  /** Whether all that changed in this channel's schedule is durable. */
  isDurable(channel: ChannelId): boolean {
    const plan = this.#plans.get(channel)
    return plan === undefined || plan.changedIn <= this.#database.durable
  }

  /** When the first that is durable is due. */
  nextMs(): number {
    return this.#timetable.first?.notBeforeMs ?? Number.POSITIVE_INFINITY
  }

  /** Durable ones that are due, earliest first. */
  dueBy(nowMs: number, max: number): Waiting[] {
    return this.#timetable.dueBy(nowMs, max)
  }

  /** The number of the next one. Throws when the store cannot be read. */
  number(channel: ChannelId, nowMs: number): number {
    const plan = this.#use(channel)
    plan.last ??= this.#stored(channel)
    plan.last = Math.max(plan.last + 1, Math.floor(nowMs))
    return plan.last
  }

  /** Part of a commit; its offset is its number. */
  keep(channel: ChannelId, entry: Entry): void {
    const { offset: scheduled } = entry
    const notBeforeMs = entry.more?.notBeforeMs ?? entry.acceptedAtMs
    this.#database.put(
      scheduledKey(channel, scheduled),
      encodeCommand(entry, entry.payload ?? noBytes),
    )
    this.#database.put(ripeKey(channel, scheduled), encodeNumber(notBeforeMs))
    this.#database.put(lastScheduledKey(channel), encodeNumber(scheduled))
    const keptIn = this.#database.commit
    const waiting: Waiting = { channel, scheduled, notBeforeMs, keptIn, heapIndex: -1 }
    this.#use(channel).waiting.set(scheduled, waiting)
    this.#fresh.push(waiting)
    this.#waits(channel, 1)
  }

  /** Part of a commit: it waits no more, it lies there now. */
  place(waiting: Waiting, position: Position, acceptedAtMs: number): void {
    const { channel, scheduled } = waiting
    this.#database.del(scheduledKey(channel, scheduled))
    this.#database.del(ripeKey(channel, scheduled))
    const { epoch, offset } = position
    this.#database.put(placedKey(channel, scheduled), encodePlaced({ epoch, offset, acceptedAtMs }))
    this.#use(channel).waiting.delete(scheduled)
    this.#timetable.remove(waiting)
    this.#waits(channel, -1)
  }

  encode(): void {
    this.#writing = this.#fresh
    this.#writingPlans = this.#dirty
    this.#fresh = []
    this.#dirty = []
  }

  synced(): void {
    for (const waiting of this.#writing) {
      // Placed meanwhile, before anybody was told of it.
      if (this.get(waiting.channel, waiting.scheduled) === waiting) this.#timetable.add(waiting)
    }
    this.#writing = []
    for (const plan of this.#writingPlans) {
      const isOver = plan.waiting.size === 0 && plan.changedIn <= this.#database.durable
      if (isOver) this.#plans.delete(plan.channel)
    }
    this.#writingPlans = []
  }

  drop(): void {
    this.#plans.clear()
    this.#timetable.clear()
    this.#total = 0
    this.#totalOf.clear()
    this.#fresh = []
    this.#writing = []
    this.#dirty = []
    this.#writingPlans = []
  }

  async load(store: Store): Promise<void> {
    const iterator = store.iterator(under('q'))
    try {
      for (;;) {
        const entries = await iterator.nextv(scanStep)
        if (entries.length === 0) return
        for (const [key, value] of entries) this.#hold(key, decodeNumber(value))
      }
    } finally {
      await iterator.close()
    }
  }

  #hold(key: string, notBeforeMs: number): void {
    const scheduled = scheduledOf(key)
    const { channel, waiting: all } = this.#plan(channelBeforeNumber(key))
    const waiting: Waiting = { channel, scheduled, notBeforeMs, keptIn: 0, heapIndex: -1 }
    all.set(scheduled, waiting)
    this.#timetable.add(waiting)
    this.#waits(channel, 1)
  }

  #waits(channel: ChannelId, change: 1 | -1): void {
    const { app } = channelParts(channel)
    const ofApp = this.totalOf(app) + change
    if (ofApp === 0) this.#totalOf.delete(app)
    else this.#totalOf.set(app, ofApp)
    this.#total += change
  }

  /** To be changed. */
  #use(channel: ChannelId): Plan {
    const plan = this.#plan(channel)
    const { commit } = this.#database
    if (plan.changedIn !== commit) {
      plan.changedIn = commit
      this.#dirty.push(plan)
      this.#database.changed()
    }
    return plan
  }

  #plan(channel: ChannelId): Plan {
    let plan = this.#plans.get(channel)
    if (plan === undefined) {
      plan = { channel, last: undefined, waiting: new Map(), changedIn: 0 }
      this.#plans.set(channel, plan)
    }
    return plan
  }

  #stored(channel: ChannelId): number {
    const value = this.#database.store.getSync(lastScheduledKey(channel))
    return value === undefined ? 0 : decodeNumber(value)
  }
}
