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
import { forgetPlaced } from './schedule.ts'

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

  listen(heard: (events: readonly KeptEvent[]) => void, without?: 'reports'): () => void {
    const listener = (events: readonly KeptEvent[]) =>
      heard(without === undefined ? events : events.filter(({ kind }) => kind !== 'event'))
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  async find(app: AppId, id: EventId): Promise<KeptEvent | undefined> {
    return this.#commits.look(() =>
      this.#disk.logs.get(app)?.events.find((event) => event.id === id),
    )
  }

  purge(
    beforeMs: number,
    { app, maxBytes }: { readonly app?: AppId; readonly maxBytes?: number } = {},
  ): Promise<number> {
    return this.#commits.kept(() => {
      let count = 0
      const { logs } = this.#disk
      for (const log of app === undefined ? logs.values() : [logs.get(app)]) {
        while (log?.events[0] !== undefined && log.events[0].atMs < beforeMs) {
          this.#forgetOldest(log)
          count += 1
        }
      }
      if (app === undefined) this.#purged(beforeMs)
      return maxBytes === undefined ? count : count + this.#shrink(maxBytes)
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

  /** Forget the oldest over all logs. */
  #shrink(maxBytes: number): number {
    const logs = [...this.#disk.logs.values()]
    const sizes = logs.flatMap((log) => log.events.map(bytesOf))
    let bytes = sizes.reduce((sum, size) => sum + size, 0)
    let count = 0
    while (bytes > maxBytes) {
      const heads = logs.filter((log) => log.events.length > 0)
      const log = heads.reduce((a, b) => (b.events[0]!.atMs < a.events[0]!.atMs ? b : a))
      bytes -= bytesOf(this.#forgetOldest(log))
      count += 1
    }
    return count
  }

  /** With the outcome it tells: the history of a command grows old with the event of its end. */
  #forgetOldest(log: Log): KeptEvent {
    const event = log.events.shift()!
    log.purged += 1
    if (event.kind === 'command.ended') {
      const { channel, offset, id } = event.ended
      const ended = this.#disk.boxes.get(channel)?.ended
      if (ended?.get(offset)?.command.id === id) {
        ended.delete(offset)
        forgetPlaced(this.#disk, channel, event.ended)
      }
    }
    return event
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

/** About what it takes; the rest of it is small. */
const bytesOf = (event: KeptEvent): number => {
  const { payload } = 'payload' in event ? event : { payload: undefined }
  const reply = 'reply' in event ? event.reply : undefined
  return 128 + (payload?.length ?? 0) + (reply?.payload.length ?? 0)
}

const matches = (event: KeptEvent, query: EventQuery): boolean =>
  (query.device === undefined || query.device === event.device) &&
  (query.kinds === undefined || query.kinds.includes(event.kind))
