import type {
  AppId,
  ChannelId,
  EventId,
  EventPage,
  EventQuery,
  Events,
  KeptEvent,
  NewEvent,
  Offset,
  Settled,
} from '../../contract/index.ts'
import type { AppState, Apps } from './apps.ts'
import type { Database, Part } from './database.ts'
import { scheduledOf } from './ended-record.ts'
import { EventPurge, keptBytes } from './event-purge.ts'
import type { Pointer } from './event-record.ts'
import { decodeEvent, encodeEvent } from './event-record.ts'
import { eventKey, sequenceOf } from './keys.ts'
import { RecentEvents } from './recent.ts'
import type { Status } from './status.ts'

/** Events looked at for one page, matching or not: then the page ends, however short. */
const pageMaxLooked = 4_096
const readStep = 128

export class LevelEvents implements Events, Part {
  readonly #database: Database
  readonly #status: Status
  readonly #apps: Apps
  readonly #recent: RecentEvents
  readonly #purging: EventPurge
  readonly #surprised: (error: unknown) => void
  readonly #listeners = new Set<Listener>()
  #fresh: KeptEvent[] = []
  #freshSequences: number[] = []
  #writing: KeptEvent[] = []
  /** Those of them that are no reports. */
  #freshOthers: KeptEvent[] = []
  #writingOthers: KeptEvent[] = []

  constructor(
    database: Database,
    status: Status,
    apps: Apps,
    recentMax: number,
    surprised: (error: unknown) => void,
  ) {
    this.#database = database
    this.#status = status
    this.#apps = apps
    this.#recent = new RecentEvents(recentMax, (app, sequence, value) =>
      this.#decodedAt(app, sequence, value),
    )
    this.#surprised = surprised
    this.#purging = new EventPurge(database, status, apps, (app, value) =>
      this.#decoded(app, start, value),
    )
  }

  get recentCount(): number {
    return this.#recent.size
  }

  append(events: readonly NewEvent[], settled?: (outcome: Settled) => void): void {
    if (this.#status.ready) for (const event of events) this.keep(event)
    if (settled !== undefined) this.#database.after(settled)
  }

  /** Part of a commit: the next event of its app. @returns its sequence. */
  keep(event: NewEvent): number {
    const state = this.#apps.number(event.app)
    const sequence = state.top
    const value = encodeEvent(event)
    state.logBytes += keptBytes(value)
    this.#database.put(eventKey(event.app, sequence), value)
    // Whoever reads sees only what is durable by now.
    this.#recent.push(event.app, sequence, value)
    const kept = { ...event, id: state.idOfTop() }
    this.#fresh.push(kept)
    if (event.kind !== 'event') this.#freshOthers.push(kept)
    this.#freshSequences.push(sequence)
    return sequence
  }

  async read(app: AppId, query: EventQuery): Promise<EventPage> {
    if (!this.#status.ready) throw this.#status.unavailable()
    const state = this.#apps.get(app)
    const after = this.#start(state, query.after)
    if (after === undefined) return { kind: 'gone', oldest: state?.idOf(state.oldest - 1) ?? start }
    if (state === undefined || after >= state.durableTop) {
      return {
        kind: 'page',
        items: [],
        next: query.after ?? state?.idOf(after) ?? start,
        caughtUp: true,
      }
    }
    const page = new PageBuilder(query)
    let looked = after
    const last = Math.min(state.durableTop, after + pageMaxLooked)
    while (looked < last && !page.done) {
      const event = this.#recent.get(app, looked + 1)
      if (event === undefined) break
      page.look(event)
      looked += 1
    }
    if (looked < last && !page.done) {
      looked = await this.#status.reading(() => this.#readStored(state, page, looked, last))
    }
    const { items } = page
    return {
      kind: 'page',
      items,
      next: state.idOf(looked),
      caughtUp: looked >= state.durableTop,
    }
  }

  async latest(app: AppId): Promise<EventId> {
    if (!this.#status.ready) throw this.#status.unavailable()
    const state = this.#apps.get(app)
    return state?.idOf(state.durableTop) ?? start
  }

  async find(app: AppId, id: EventId): Promise<KeptEvent | undefined> {
    return this.#status.reading(async () => {
      const state = this.#apps.get(app)
      const sequence = state?.sequenceOf(id)
      if (state === undefined || sequence === undefined) return undefined
      // A cursor may name a place in another epoch than the event there.
      if (sequence < state.oldest || state.idOf(sequence) !== id) return undefined
      return this.at(app, sequence)
    })
  }

  /** The event of this sequence, if it is still kept. */
  async at(app: AppId, sequence: number): Promise<KeptEvent | undefined> {
    const recent = this.#recent.get(app, sequence)
    if (recent !== undefined) return recent
    const value = await this.#database.store.get(eventKey(app, sequence))
    return value === undefined ? undefined : this.#decodedAt(app, sequence, value)
  }

  /** The way to an end that is part of the commit that gathers now. */
  endingOf(channel: ChannelId, offset: Offset): Pointer | undefined {
    for (let at = this.#fresh.length - 1; at >= 0; at--) {
      const event = this.#fresh[at]!
      if (event.kind !== 'command.ended') continue
      const { ended } = event
      if (ended.offset !== offset || ended.channel !== channel) continue
      const { acceptedAtMs, status } = ended
      const way = { sequence: this.#freshSequences[at]!, acceptedAtMs, status }
      return scheduledOf(ended) === undefined ? way : { ...way, scheduled: true }
    }
    return undefined
  }

  listen(heard: (events: readonly KeptEvent[]) => void, without?: 'reports'): () => void {
    const listener = (all: readonly KeptEvent[], others: readonly KeptEvent[]) =>
      heard(without === undefined ? all : others)
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** About what all logs take. */
  get bytes(): number {
    return this.#purging.bytes
  }

  purge(
    beforeMs: number,
    options?: { readonly app?: AppId; readonly maxBytes?: number },
  ): Promise<number> {
    return this.#purging.purge(beforeMs, options)
  }

  encode(): void {
    this.#writing = this.#fresh
    this.#writingOthers = this.#freshOthers
    this.#fresh = []
    this.#freshOthers = []
    this.#freshSequences = []
  }

  synced(): void {
    const events = this.#writing
    if (events.length === 0) return
    const others = this.#writingOthers
    this.#writing = []
    this.#writingOthers = []
    for (const listener of this.#listeners) {
      try {
        listener(events, others)
      } catch (error) {
        this.#surprised(error)
      }
    }
  }

  drop(): void {
    this.#recent.clear()
    this.#fresh = []
    this.#freshOthers = []
    this.#writingOthers = []
    this.#freshSequences = []
    this.#writing = []
  }

  async load(): Promise<void> {}

  /** The sequence after which to read; undefined when something before it is gone. */
  #start(state: AppState | undefined, cursor: EventId | undefined): number | undefined {
    if (state === undefined) return cursor === undefined || cursor === start ? 0 : undefined
    const before = state.oldest - 1
    const after = cursor === undefined ? before : state.sequenceOf(cursor)
    return after === undefined || after < before ? undefined : after
  }

  async #readStored(
    state: AppState,
    page: PageBuilder,
    after: number,
    last: number,
  ): Promise<number> {
    const { app } = state
    const iterator = this.#database.store.iterator({
      gt: eventKey(app, after),
      lte: eventKey(app, last),
    })
    try {
      for (;;) {
        const entries = await iterator.nextv(readStep)
        if (entries.length === 0) return last
        for (const [key, value] of entries) {
          const sequence = sequenceOf(key)
          const event = this.#decoded(app, state.idOf(sequence), value)
          if (event !== undefined) page.look(event)
          if (page.done) return sequence
        }
      }
    } finally {
      await iterator.close()
    }
  }

  #decodedAt(app: AppId, sequence: number, value: Buffer): KeptEvent | undefined {
    return this.#decoded(app, this.#apps.get(app)?.idOf(sequence) ?? start, value)
  }

  /** A damaged event is said and passed over: the log does not stop at it. */
  #decoded(app: AppId, id: EventId, value: Buffer): KeptEvent | undefined {
    try {
      return decodeEvent(app, id, value)
    } catch (error) {
      this.#surprised(error)
      return undefined
    }
  }
}

/** The start of a log in which nothing was kept yet. */
const start: EventId = '0-0000000000'

class PageBuilder {
  readonly items: KeptEvent[] = []
  readonly #query: EventQuery

  constructor(query: EventQuery) {
    this.#query = query
  }

  get done(): boolean {
    return this.items.length >= this.#query.limit
  }

  look(event: KeptEvent): void {
    const { device, kinds } = this.#query
    if (device !== undefined && device !== event.device) return
    if (kinds !== undefined && !kinds.includes(event.kind)) return
    this.items.push(event)
  }
}

type Listener = (all: readonly KeptEvent[], others: readonly KeptEvent[]) => void
