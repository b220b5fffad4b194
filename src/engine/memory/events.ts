import type {
  AppId,
  EventId,
  EventPage,
  EventQuery,
  Events,
  KeptEvent,
  NewEvent,
  Settled,
} from '../../contract/index.ts'
import type { Commits } from './commits.ts'
import type { Log, MemoryDisk } from './disk.ts'
import { currentEra, numberNext } from './disk.ts'

export class MemoryEvents implements Events {
  readonly #disk: MemoryDisk
  readonly #commits: Commits
  readonly #listeners = new Set<(events: readonly KeptEvent[]) => void>()
  /** Kept in this commit, not yet told. */
  #fresh: KeptEvent[] = []
  readonly #purged: (beforeMs: number) => void

  /** `purged` runs with every purge: the history of commands grows old with its events. */
  constructor(disk: MemoryDisk, commits: Commits, purged: (beforeMs: number) => void) {
    this.#disk = disk
    this.#commits = commits
    this.#purged = purged
  }

  append(events: readonly NewEvent[], settled?: (outcome: Settled) => void): void {
    this.#commits.keep(
      () => {
        for (const event of events) this.keep(event)
        return () => settled?.('kept')
      },
      () => settled?.('unavailable'),
    )
  }

  async read(app: AppId, query: EventQuery): Promise<EventPage> {
    return this.#commits.look(() => this.#page(app, query))
  }

  async latest(app: AppId): Promise<EventId> {
    return this.#commits.look(() => this.#idAt(this.#disk.logs.get(app)?.top ?? 0))
  }

  listen(heard: (events: readonly KeptEvent[]) => void): () => void {
    const listener = (events: readonly KeptEvent[]) => heard(events)
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  purge(beforeMs: number): Promise<number> {
    return this.#commits.kept(() => {
      let count = 0
      for (const log of this.#disk.logs.values()) {
        const young = log.events.findIndex((event) => event.atMs >= beforeMs)
        const old = young === -1 ? log.events.length : young
        log.events.splice(0, old)
        log.purged += old
        count += old
      }
      this.#purged(beforeMs)
      return count
    })
  }

  /** Part of a commit: the next event of its app. */
  keep(event: NewEvent): void {
    const log = this.#disk.logs.get(event.app) ?? { epochs: [], top: 0, purged: 0, events: [] }
    this.#disk.logs.set(event.app, log)
    const sequence = numberNext(log, currentEra(this.#disk))
    const kept: KeptEvent = { ...event, id: eventId(currentEra(this.#disk), sequence) }
    log.events.push(kept)
    this.#fresh.push(kept)
  }

  /** A commit is done: tell what it kept. */
  committed(): void {
    const events = this.#fresh
    if (events.length === 0) return
    this.#fresh = []
    for (const listener of this.#listeners) listener(events)
  }

  #page(app: AppId, query: EventQuery): EventPage {
    const log = this.#disk.logs.get(app) ?? { epochs: [], top: 0, purged: 0, events: [] }
    const after = query.after === undefined ? log.purged : this.#known(log, query.after)
    if (after === undefined || after < log.purged) {
      return { kind: 'gone', oldest: this.#idAt(log.purged) }
    }
    const items: KeptEvent[] = []
    let looked = after
    while (items.length < query.limit && looked < log.top) {
      const event = log.events[looked - log.purged]!
      looked += 1
      if (matches(event, query)) items.push(event)
    }
    const next = log.events[looked - log.purged - 1]?.id ?? query.after ?? this.#idAt(looked)
    return { kind: 'page', items, next, caughtUp: looked === log.top }
  }

  /** Where a cursor lies in the log; undefined for one this store cannot have given. */
  #known(log: Log, id: EventId): number | undefined {
    const match = /^([0-9a-z]{1,7})-([0-9a-z]{10})$/.exec(id)
    if (match === null) return undefined
    const epoch = Number.parseInt(match[1]!, 36)
    const sequence = Number.parseInt(match[2]!, 36)
    // `latest` may name an era in which nothing has been kept yet.
    const last =
      log.epochs.find((span) => span.epoch === epoch)?.last ??
      (this.#disk.eras.includes(epoch) ? log.top : -1)
    return sequence <= last ? sequence : undefined
  }

  #idAt(sequence: number): EventId {
    return eventId(currentEra(this.#disk), sequence)
  }
}

const eventId = (epoch: number, sequence: number): EventId =>
  `${epoch.toString(36)}-${sequence.toString(36).padStart(10, '0')}`

const matches = (event: KeptEvent, query: EventQuery): boolean =>
  (query.device === undefined || query.device === event.device) &&
  (query.kinds === undefined || query.kinds.includes(event.kind))
