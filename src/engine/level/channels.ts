import type { ChannelId, Limits } from '../../contract/index.ts'
import { dueAtMs } from '../../contract/index.ts'
import { randomEpoch } from './apps.ts'
import { Channel } from './channel.ts'
import type { Entry } from './command-record.ts'
import { damagedEntry, decodeCommand, noBytes } from './command-record.ts'
import { openCommand } from './commands.ts'
import type { Database, Part } from './database.ts'
import { Deadlines } from './deadlines.ts'
import { Held } from './held.ts'
import { channelKey, channelPrefix, commandKey, offsetOf, underAsBytes } from './keys.ts'
import { OpenList } from './open-list.ts'
import { readAheadBytes, readAheadCommands } from './read-ahead.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { Status } from './status.ts'
import type { Store } from './store.ts'

/** How much one step of the scan at start brings, at most. */
const scanStep = 1_000
const scanStepBytes = 262_144

const never = Number.POSITIVE_INFINITY

type Loaded = (live: boolean) => void

/** All channels that have a record: which are dirty, when which is due, how they get into memory. */
export class Channels implements Part {
  readonly deadlines = new Deadlines()
  readonly held = new Held()
  readonly #database: Database
  readonly #status: Status
  readonly #limits: Limits
  readonly #surprised: (error: unknown) => void
  readonly #endDamaged: (channel: Channel, entry: Entry) => void
  readonly #all = new Map<ChannelId, Channel>()
  readonly #loading = new Map<Channel, Loaded[]>()
  #dirty: Channel[] = []
  #writing: Channel[] = []
  #tops: number[] = []

  constructor(
    database: Database,
    status: Status,
    limits: Limits,
    surprised: (error: unknown) => void,
    endDamaged: (channel: Channel, entry: Entry) => void,
  ) {
    this.#endDamaged = endDamaged
    this.#database = database
    this.#status = status
    this.#limits = limits
    this.#surprised = surprised
  }

  get count(): number {
    return this.#all.size
  }

  get(id: ChannelId): Channel | undefined {
    return this.#all.get(id)
  }

  /** To be changed; a new one counts from its first change. */
  use(id: ChannelId): Channel {
    return this.#all.get(id) ?? new Channel(id)
  }

  /** Its record differs from what is kept. */
  changed(channel: Channel): void {
    const { commit } = this.#database
    if (channel.changedIn === commit) return
    if (channel.changedIn === 0 && !this.#all.has(channel.id)) this.#all.set(channel.id, channel)
    channel.changedIn = commit
    this.#dirty.push(channel)
    this.#database.changed()
  }

  /** The next offset is numbered in an epoch of this start; `anew`: in one that is new now. */
  begin(channel: Channel, anew = false): void {
    if (anew) channel.current = false
    if (channel.begin(randomEpoch)) this.changed(channel)
  }

  /** Whether all that changed of it is durable. */
  isDurable(channel: Channel): boolean {
    return channel.changedIn <= this.#database.durable
  }

  /** Whether calls on it must wait for its open commands, so as not to overtake others. */
  isLoading(channel: Channel): boolean {
    return this.#loading.size > 0 && this.#loading.has(channel)
  }

  /**
   * Run with the open commands in memory: at once where they are, else later, in the order of the
   * calls. False: the store went away.
   */
  withLive(channel: Channel, run: Loaded): void {
    if (channel.live !== undefined) {
      this.held.touch(channel)
      run(true)
      return
    }
    const waiting = this.#loading.get(channel)
    if (waiting !== undefined) waiting.push(run)
    else if (channel.count === 0) {
      this.#enliven(channel, new OpenList())
      run(true)
    } else {
      this.#loading.set(channel, [run])
      this.#load(channel).catch(this.#surprised)
    }
  }

  dueAtMs(channel: Channel, entry: Entry): number {
    return dueAtMs(openCommand(channel, entry), this.#limits.inDoubtGraceMs)
  }

  /** Set the bound of a channel to its true next deadline, if that can be told from memory. */
  bound(channel: Channel): void {
    if (channel.live === undefined) return
    let dueMs = never
    channel.live.open.scan(0, (entry) => {
      dueMs = Math.min(dueMs, this.dueAtMs(channel, entry))
      return true
    })
    this.deadlines.move(channel, dueMs)
  }

  /** Earliest next deadline over all, or a time before it. */
  nextDueMs(nowMs: number): number {
    for (;;) {
      const { first } = this.deadlines
      if (first === undefined) return never
      const { dueAtMs: before } = first
      // A bound in the future may be early; one in the past would call for work there may not be.
      if (before > nowMs || first.live === undefined) return before
      this.bound(first)
      if (first.dueAtMs === before) return before
    }
  }

  /** Before a clean end: what is known in memory only goes into the records. */
  markSent(): void {
    for (const channel of this.#all.values()) {
      if (channel.sentUpTo !== channel.sentKept) this.changed(channel)
    }
  }

  encode(): void {
    this.#writing = this.#dirty
    this.#dirty = []
    this.#tops.length = 0
    for (const channel of this.#writing) {
      channel.sentKept = channel.sentUpTo
      channel.passing = channel.passed
      channel.passed = 0
      this.#tops.push(channel.top)
      this.#database.put(channelKey(channel.id), encodeRecord(channel))
    }
  }

  synced(): void {
    const channels = this.#writing
    for (let at = 0; at < channels.length; at++) {
      const channel = channels[at]!
      channel.durableTop = this.#tops[at]!
      channel.passing = 0
    }
    this.#writing = []
    this.held.trim()
  }

  drop(): void {
    this.#all.clear()
    this.held.clear()
    this.deadlines.clear()
    this.#dirty = []
    this.#writing = []
    const loading = [...this.#loading.values()]
    this.#loading.clear()
    for (const waiting of loading) for (const run of waiting) this.#answer(run, false)
  }

  /** Only the records: a million waiting commands cost nothing until somebody asks for them. */
  async load(store: Store, clean: boolean): Promise<void> {
    // As bytes: part of a text would hold on to the whole of it.
    const iterator = store.iterator<Buffer, Buffer>({
      ...underAsBytes('c'),
      keyEncoding: 'buffer',
      highWaterMarkBytes: scanStepBytes,
      fillCache: false,
    })
    try {
      for (;;) {
        const entries = await iterator.nextv(scanStep)
        if (entries.length === 0) return
        for (const [key, value] of entries) {
          const channel = decodeRecord(key.toString('latin1', channelPrefix.length), value)
          channel.current = clean && channel.epoch !== 0
          // What a crash leaves at or below the highest kept intent may have been sent (rule 4).
          if (!clean) {
            const maybe = Math.max(channel.sentUpTo, channel.intended)
            channel.sentUpTo = Math.min(maybe, channel.top)
          }
          channel.sentBefore = channel.sentUpTo
          this.#all.set(channel.id, channel)
          this.deadlines.move(channel, channel.count > 0 ? channel.dueAtMs : never)
        }
      }
    } finally {
      await iterator.close()
    }
  }

  async #load(channel: Channel): Promise<void> {
    let open: OpenList | undefined
    // The payloads that a device will want first, while it is not known whether there is one.
    const ahead = new Map<Entry, Uint8Array>()
    try {
      if (this.isDurable(channel) || (await this.#database.kept())) {
        open = await this.#read(channel, ahead)
      }
    } catch (error) {
      if (this.#status.ready) this.#surprised(error)
    }
    const waiting = this.#loading.get(channel)
    // Dropped meanwhile: who waited has been told.
    if (waiting === undefined) return
    if (open !== undefined) this.#enliven(channel, open)
    // What those do who waited may wait for it again, behind the others.
    for (let at = 0; at < waiting.length; at++) this.#answer(waiting[at]!, open !== undefined)
    this.#loading.delete(channel)
    for (const [entry, payload] of ahead) this.held.keepPayload(channel, entry, payload)
  }

  /** Whoever throws, does it alone. */
  #answer(run: Loaded, live: boolean): void {
    try {
      run(live)
    } catch (error) {
      this.#surprised(error)
    }
  }

  async #read(channel: Channel, ahead: Map<Entry, Uint8Array>): Promise<OpenList> {
    const open = new OpenList()
    const { id, floor, top } = channel
    let bytes = 0
    let aheadBytes = 0
    let nowUpTo = 0
    // From the oldest open one: before it lie only the tombstones of what has ended.
    const range = { gte: commandKey(id, floor), lte: commandKey(id, top) }
    const iterator = this.#database.store.iterator(range)
    try {
      for (;;) {
        const entries = await iterator.nextv(scanStep)
        if (entries.length === 0) break
        for (const [key, value] of entries) {
          const entry = this.#decoded(channel, key, value)
          bytes += entry.bytes
          if (entry.delivery === 'now') nowUpTo = entry.offset
          const { payload = noBytes, deliveredAtMs } = entry
          aheadBytes += payload.length
          const isAhead = ahead.size < readAheadCommands && aheadBytes <= readAheadBytes
          if (isAhead && deliveredAtMs === undefined) ahead.set(entry, payload)
          entry.payload = undefined
          entry.sentAtMs ??= channel.sentAtMsOf(entry.offset)
          open.push(entry)
        }
      }
    } finally {
      await iterator.close()
    }
    if (open.size !== channel.count) {
      this.#surprised(
        new Error(`channel ${id} has ${open.size} open commands; its record says ${channel.count}`),
      )
      channel.count = open.size
    }
    channel.bytes = bytes
    channel.nowUpTo = nowUpTo
    return open
  }

  /** Of a damaged command only its place is known. */
  #decoded(channel: Channel, key: string, value: Buffer): Entry {
    const offset = offsetOf(key)
    try {
      return decodeCommand(offset, value)
    } catch (error) {
      this.#surprised(new Error(`the command at ${key} is damaged`, { cause: error }))
      return damagedEntry(offset, channel.epochOf(offset), channel.oldestAtMs)
    }
  }

  #enliven(channel: Channel, open: OpenList): void {
    this.held.hold(channel, open)
    const damaged: Entry[] = []
    open.scan(0, (entry) => {
      if (entry.damaged) damaged.push(entry)
      return true
    })
    for (const entry of damaged) this.#endDamaged(channel, entry)
    this.bound(channel)
  }
}
