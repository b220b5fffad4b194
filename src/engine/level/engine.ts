import { randomBytes } from 'node:crypto'
import type { Clock, Engine, EngineState, Limits, Timer } from '../../contract/index.ts'
import { Appending } from './appending.ts'
import { Apps } from './apps.ts'
import { backupOf } from './backup.ts'
import { LevelBroadcasts } from './broadcasts.ts'
import { LevelBus } from './bus.ts'
import { Casts } from './casts.ts'
import { Channels } from './channels.ts'
import { Compaction } from './compaction.ts'
import type { Part } from './database.ts'
import { Database } from './database.ts'
import { LevelDirectory } from './directory.ts'
import { Endings } from './endings.ts'
import { LevelEvents } from './events.ts'
import type { Folder } from './folder.ts'
import { leaveCleanMark, storeBytesOf } from './folder.ts'
import { Idempotency } from './idempotency.ts'
import { probeKey } from './keys.ts'
import { Late } from './late.ts'
import { Lookups } from './lookups.ts'
import { LevelMailbox } from './mailbox.ts'
import { LevelNames } from './names.ts'
import type { Opened } from './opening.ts'
import { timeKey } from './opening.ts'
import { placeMaybeSent, stopBroadcasts } from './restored.ts'
import { Schedule } from './schedule.ts'
import { Scheduling } from './scheduling.ts'
import { LevelShelf } from './shelf.ts'
import { Space } from './space.ts'
import type { Refused } from './status.ts'
import { Status } from './status.ts'
import type { Store } from './store.ts'
import { saysFull, textOf } from './store.ts'
import { formatKey } from './upgrade.ts'

/** After a failed write the store is tried again this often. */
const reopenMs = 2_000
/** Written and deleted again before a failed store is believed to be well. */
const probeBytes = 1_048_576
const timeMarkMs = 60_000
const purgeMs = 3_600_000

export interface EngineParts {
  readonly folder: Folder
  readonly clock: Clock
  readonly limits: Limits
  readonly log: (event: string, fields: object) => void
  readonly sync: boolean
  readonly reserveBytes: number
  readonly makeStore: (path: string) => Store
  readonly freeBytes: (folder: string) => Promise<number>
  readonly version: string
}

/**
 * The ports on one LevelDB, and what happens when it fails:
 *
 *     ready ──a write fails──▶ full | down ──every reopenMs: reopened, probed, loaded──▶ ready
 */
export class LevelEngine implements Engine {
  readonly name = 'level'
  readonly durability: 'process' | 'power'
  readonly node = `level-${randomBytes(8).toString('hex')}`
  readonly mailbox: LevelMailbox
  readonly events: LevelEvents
  readonly names: LevelNames
  readonly broadcasts: LevelBroadcasts
  readonly shelf: LevelShelf
  readonly directory: LevelDirectory
  readonly bus: LevelBus
  /** The last time mark of the start before, ms since 1970; undefined for a new store (rule 34). */
  readonly timeMarkMs: number | undefined
  readonly #parts: EngineParts
  readonly #status = new Status()
  readonly #database: Database
  readonly #channels: Channels
  readonly #idempotency: Idempotency
  readonly #schedule: Schedule
  readonly #restored: (lostUntilMs: number) => Promise<void>
  readonly #casts: Casts
  readonly #space: Space
  readonly #compaction: Compaction
  readonly #all: readonly Part[]
  readonly #watchers: ((state: EngineState, detail: string) => void)[] = []
  readonly #timers = new Map<string, Timer>()
  /** What the store says of itself. */
  readonly #self: Buffer
  #store: Store
  #reopening: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(opened: Opened, parts: EngineParts) {
    const { clock, limits, folder } = parts
    const surprised = (error: unknown) => this.#surprised(error)
    this.#parts = parts
    this.#store = opened.store
    this.#self = opened.self
    this.timeMarkMs = opened.timeMarkMs
    this.durability = parts.sync ? 'power' : 'process'
    const status = this.#status
    const database = new Database(opened.store, {
      sync: parts.sync,
      failed: (error) => this.#fail(error),
      surprised,
    })
    const channels = new Channels(database, status, limits, surprised, (channel, entry) =>
      endings.damaged(channel, entry, clock.nowMs()),
    )
    const apps = new Apps(database)
    const events = new LevelEvents(database, status, apps, limits.eventsRecentMax, surprised)
    const idempotency = new Idempotency(database, apps, clock, limits.idempotencyMs)
    const names = new LevelNames(database, status, apps)
    const casts = new Casts(database)
    const schedule = new Schedule(database)
    const endings = new Endings(database, channels, apps, events, casts)
    const late = new Late(database, apps, events, limits.lateStepsMax, surprised)
    const refused = () => this.#refused()
    const appending = new Appending({
      ...{ database, clock, channels, apps, endings, idempotency, refused, surprised },
      ...{ schedule, casts },
    })
    const lookups = new Lookups({
      ...{ database, status, clock, channels, endings, events, surprised },
    })
    const scheduling = new Scheduling({
      ...{ database, status, clock, apps, schedule, idempotency, appending, lookups },
      ...{ refused, surprised },
    })
    this.mailbox = new LevelMailbox({
      ...{ database, status, channels, apps, events, appending, idempotency, endings },
      ...{ late, lookups, surprised, clock, schedule, scheduling },
      full: () => this.#space.full,
    })
    this.events = events
    this.names = names
    this.broadcasts = new LevelBroadcasts({
      ...{ database, status, casts, idempotency, limits, refused, surprised },
    })
    this.shelf = new LevelShelf(database, status)
    this.directory = new LevelDirectory(this.node, opened.starts)
    this.bus = new LevelBus(this.node, surprised)
    this.#database = database
    this.#channels = channels
    this.#idempotency = idempotency
    this.#schedule = schedule
    this.#restored = async (lostUntilMs) => {
      await placeMaybeSent({ scheduling, appending, channels, status, limits }, lostUntilMs)
      await stopBroadcasts(this.broadcasts)
    }
    this.#casts = casts
    const { reserveBytes, freeBytes } = parts
    const { storeMaxBytes } = limits
    const storeBytes = () => storeBytesOf(folder)
    this.#space = new Space({
      ...{ folder: folder.path, clock, reserveBytes, storeMaxBytes, freeBytes, storeBytes },
    })
    const store = () => this.#database.store
    const done = () => this.#space.look()
    this.#compaction = new Compaction({ clock, store, apps, done })
    this.#all = [late, channels, apps, events, idempotency, names, schedule, casts]
    for (const part of this.#all) database.add(part)
  }

  /**
   * Read what must be in memory. Once, before anything else.
   * `lostUntilMs`: this store was made from a backup, and what happened until then nobody knows.
   */
  async load(clean: boolean, lostUntilMs?: number): Promise<void> {
    for (const part of this.#all) await part.load(this.#store, clean)
    if (lostUntilMs !== undefined) await this.#restored(lostUntilMs)
    await this.#space.check().catch(() => {})
    this.#everyMinute()
    this.#everyHour()
  }

  get state(): EngineState {
    return this.#status.state
  }

  onState(changed: (state: EngineState, detail: string) => void): void {
    this.#watchers.push(changed)
  }

  async flushed(): Promise<void> {
    await this.#database.kept()
  }

  backup(): AsyncIterable<Uint8Array> {
    const { clock, version: madeBy } = this.#parts
    const { store } = this.#database
    return backupOf({ store, status: this.#status, clock, self: this.#self, madeBy })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  figures(): Readonly<Record<string, number>> {
    const { commits, ops, seconds, longestSeconds } = this.#database.figures
    return {
      commits_total: commits,
      commit_ops_total: ops,
      commit_seconds_sum: seconds,
      commit_longest_seconds: longestSeconds,
      commit_pending: this.#database.pending,
      channels: this.#channels.count,
      payload_cache_bytes: this.#channels.held.cachedBytes,
      recent_events: this.events.recentCount,
      events_bytes: this.events.bytes,
      scheduled_commands: this.#schedule.total,
      broadcasts_running: this.#casts.running.size,
      store_bytes: this.#space.storeBytes,
      store_free_bytes: this.#space.free,
    }
  }

  #refused(): Refused | undefined {
    const { ready, full } = this.#status
    if (!ready) return { kind: 'unavailable', full }
    if (this.#space.full) return { kind: 'unavailable', full: true }
    if (this.#database.pending > this.#parts.limits.commitMaxPending) {
      return { kind: 'unavailable', full: false }
    }
    return undefined
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers.values()) timer.cancel()
    const wasReady = this.#status.ready
    if (wasReady) {
      this.#channels.markSent()
      this.#markTime()
    }
    this.#become('closed', 'closed in order')
    const kept = wasReady && (await this.#database.kept())
    this.#database.break()
    await this.#reopening
    await this.#store.close().catch((error) => this.#surprised(error))
    if (kept) await leaveCleanMark(this.#parts.folder).catch((error) => this.#surprised(error))
  }

  #fail(error: unknown): void {
    if (this.#isClosed()) {
      this.#database.break()
      return
    }
    this.#status.state = saysFull(error) ? 'full' : 'down'
    for (const part of this.#all) part.drop()
    this.#become(this.#status.state, textOf(error))
    this.#database.break()
    this.#reopenLater()
  }

  #reopenLater(): void {
    this.#at(reopenMs, 'store.reopen', () => {
      this.#reopening = this.#reopen().finally(() => {
        this.#reopening = undefined
      })
    })
  }

  async #reopen(): Promise<void> {
    await this.#store.close().catch(() => {})
    if (this.#isClosed()) return
    this.#store = this.#parts.makeStore(this.#parts.folder.store)
    try {
      // Never a new one in its place: what was accepted would be gone without a word.
      await this.#store.open({ createIfMissing: false })
      if (!isSame(await this.#store.get(formatKey), this.#self)) {
        throw new Error('another store lies in its place')
      }
      await this.#store.put(probeKey, randomBytes(probeBytes), { sync: true })
      await this.#store.del(probeKey, { sync: true })
      // As after an unclean start: whether the failed batch is there, nobody knows (rule 13).
      for (const part of this.#all) await part.load(this.#store, false)
    } catch (error) {
      this.#parts.log('store.reopen-failed', { error: textOf(error) })
      for (const part of this.#all) part.drop()
      if (this.#isClosed()) return
      const state = saysFull(error) ? 'full' : 'down'
      if (state !== this.#status.state) this.#become(state, textOf(error))
      this.#reopenLater()
      return
    }
    if (this.#isClosed()) return
    await this.#space.check().catch(() => {})
    this.#database.renew(this.#store)
    this.#become('ready', 'the store can be written again')
  }

  #isClosed(): boolean {
    return this.#status.state === 'closed'
  }

  #become(state: EngineState, detail: string): void {
    this.#status.state = state
    this.#parts.log('store.state', { state, detail })
    for (const watcher of this.#watchers) {
      try {
        watcher(state, detail)
      } catch (error) {
        this.#surprised(error)
      }
    }
  }

  #everyMinute(): void {
    if (this.#status.ready) this.#markTime()
    this.#lookAtSpace().catch((error) => {
      if (this.#status.ready) this.#surprised(error)
    })
    this.#at(timeMarkMs, 'store.time-mark', () => this.#everyMinute())
  }

  /** At its bound a store would stay there: it is told to give back what it can. */
  async #lookAtSpace(): Promise<void> {
    await this.#space.look()
    if (this.#space.isOver && this.#status.ready) await this.#compaction.run()
  }

  #markTime(): void {
    this.#database.put(timeKey, String(this.#parts.clock.nowMs()))
  }

  #everyHour(): void {
    if (this.#status.ready) {
      this.#idempotency.purge().catch((error) => {
        if (this.#status.ready) this.#surprised(error)
      })
    }
    this.#at(purgeMs, 'store.purge', () => this.#everyHour())
  }

  #at(delayMs: number, name: string, run: () => void): void {
    if (this.#isClosed()) return
    this.#timers.set(name, this.#parts.clock.at(this.#parts.clock.nowMs() + delayMs, name, run))
  }

  /** Something that should not be: said, never thrown at whoever happened to be there. */
  #surprised(error: unknown): void {
    this.#parts.log('store.surprise', { error: textOf(error) })
  }
}

const isSame = (found: Buffer | undefined, self: Buffer): boolean =>
  found !== undefined && self.equals(found)
