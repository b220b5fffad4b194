import type { ChannelId, Limits } from '../../contract/index.ts'
import { dueAtMs } from '../../contract/index.ts'
import { randomEpoch } from './apps.ts'
import { Channel } from './channel.ts'
import type { Entry } from './command-record.ts'
import { decodeCommand } from './command-record.ts'
import type { Database, Part } from './database.ts'
import { Deadlines } from './deadlines.ts'
import { channelKey, channelPrefix, commandKey, offsetOf, underAsBytes } from './keys.ts'
import { OpenList } from './open-list.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { Status } from './status.ts'
import type { Store } from './store.ts'

/**
 * Payload bytes held of channels the hub holds open, over all of them; beyond it payloads are read
 * from the store when they are sent.
 */
export const payloadCacheMaxBytes = 32 * 1_048_576
/** Open commands held of channels that nobody holds open; beyond it the oldest such channel goes. */
const idleMaxCommands = 50_000
/** The same for channels, most of which have no open command. */
const idleMaxChannels = 10_000
/** How much one step of the scan at start brings, at most. */
const scanStep = 1_000
const scanStepBytes = 262_144

type Loaded = (live: boolean) => void

/**
 * All channels that have a record: what is dirty, what is due, what is in memory.
 *
 *     in the store only ──load──▶ live, idle ──open──▶ live, attached
 *            ▲                        │  ▲                  │
 *            └──── idleMaxCommands ───┘  └──── release ─────┘
 */
export class Channels implements Part {
  readonly deadlines = new Deadlines()
  readonly #database: Database
  readonly #status: Status
  readonly #limits: Limits
  readonly #surprised: (error: unknown) => void
  readonly #all = new Map<ChannelId, Channel>()
  readonly #loading = new Map<Channel, Loaded[]>()
  readonly #idle = new Set<Channel>()
  #idleCommands = 0
  #cachedBytes = 0
  #dirty: Channel[] = []
  #writing: Channel[] = []
  #tops: number[] = []

  constructor(
    database: Database,
    status: Status,
    limits: Limits,
    surprised: (error: unknown) => void,
  ) {
    this.#database = database
    this.#status = status
    this.#limits = limits
    this.#surprised = surprised
  }

  get count(): number {
    return this.#all.size
  }

  get cachedBytes(): number {
    return this.#cachedBytes
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

  begin(channel: Channel): void {
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
      this.#touch(channel)
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

  attach(channel: Channel): void {
    const live = channel.live!
    if (live.attached) return
    live.attached = true
    if (this.#idle.delete(channel)) this.#idleCommands -= live.open.size
  }

  release(channel: Channel): void {
    const { live } = channel
    if (live === undefined || !live.attached) return
    live.attached = false
    live.open.scan(0, (entry) => {
      this.forgetPayload(channel, entry)
      return true
    })
    this.#idle.add(channel)
    this.#idleCommands += live.open.size
    this.#trim(undefined)
  }

  /** A new open command, the newest of its channel. Its payload is held where it is worth it. */
  push(channel: Channel, entry: Entry): void {
    const { live } = channel
    if (live === undefined) return
    live.open.push(entry)
    if (!live.attached) this.#idleCommands += 1
    if (!live.attached || this.#cachedBytes + entry.bytes > payloadCacheMaxBytes) {
      entry.payload = undefined
    } else {
      live.cachedBytes += entry.bytes
      this.#cachedBytes += entry.bytes
    }
  }

  /** It has ended. */
  remove(channel: Channel, entry: Entry): void {
    this.forgetPayload(channel, entry)
    channel.live!.open.remove(entry.offset)
    if (!channel.live!.attached) this.#idleCommands -= 1
  }

  forgetPayload(channel: Channel, entry: Entry): void {
    if (entry.payload === undefined) return
    entry.payload = undefined
    channel.live!.cachedBytes -= entry.bytes
    this.#cachedBytes -= entry.bytes
  }

  dueAtMs(channel: Channel, entry: Entry): number {
    return dueAtMs(
      {
        deliveredAtMs: entry.deliveredAtMs,
        maybeSent: entry.offset <= channel.sentUpTo,
        expiresAtMs: entry.expiresAtMs,
        replyTimeoutMs: entry.replyTimeoutMs,
      } as Parameters<typeof dueAtMs>[0],
      this.#limits.inDoubtGraceMs,
    )
  }

  /** Set the bound of a channel to its true next deadline, if that can be told from memory. */
  bound(channel: Channel): void {
    if (channel.live === undefined) return
    let dueMs = Number.POSITIVE_INFINITY
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
      if (first === undefined) return Number.POSITIVE_INFINITY
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
      this.#tops.push(channel.top)
      this.#database.put(channelKey(channel.id), encodeRecord(channel))
    }
  }

  synced(): void {
    const channels = this.#writing
    for (let at = 0; at < channels.length; at++) channels[at]!.durableTop = this.#tops[at]!
    this.#writing = []
    this.#trim(undefined)
  }

  drop(): void {
    this.#all.clear()
    this.#idle.clear()
    this.deadlines.clear()
    this.#idleCommands = 0
    this.#cachedBytes = 0
    this.#dirty = []
    this.#writing = []
    const loading = [...this.#loading.values()]
    this.#loading.clear()
    for (const waiting of loading) for (const run of waiting) run(false)
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
          this.#all.set(channel.id, channel)
          if (channel.count > 0) this.deadlines.move(channel, channel.dueAtMs)
        }
      }
    } finally {
      await iterator.close()
    }
  }

  async #load(channel: Channel): Promise<void> {
    let open: OpenList | undefined
    try {
      if (this.isDurable(channel) || (await this.#database.kept())) open = await this.#read(channel)
    } catch (error) {
      if (this.#status.ready) this.#surprised(error)
    }
    const waiting = this.#loading.get(channel)
    // Dropped meanwhile: who waited has been told.
    if (waiting === undefined) return
    if (open !== undefined) this.#enliven(channel, open)
    // What those do who waited may wait for it again, behind the others.
    for (let at = 0; at < waiting.length; at++) waiting[at]!(open !== undefined)
    this.#loading.delete(channel)
  }

  async #read(channel: Channel): Promise<OpenList> {
    const open = new OpenList()
    const { id, floor, top } = channel
    let bytes = 0
    // From the oldest open one: before it lie only the tombstones of what has ended.
    const range = { gte: commandKey(id, floor), lte: commandKey(id, top) }
    const iterator = this.#database.store.iterator(range)
    try {
      for (;;) {
        const entries = await iterator.nextv(scanStep)
        if (entries.length === 0) break
        for (const [key, value] of entries) {
          const entry = this.#decoded(key, value)
          if (entry === undefined) continue
          bytes += entry.bytes
          entry.payload = undefined
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
      channel.bytes = bytes
    }
    return open
  }

  /** A damaged command is said, and cannot be delivered any more. */
  #decoded(key: string, value: Buffer): Entry | undefined {
    try {
      return decodeCommand(offsetOf(key), value)
    } catch (error) {
      this.#surprised(new Error(`the command at ${key} is damaged`, { cause: error }))
      return undefined
    }
  }

  #enliven(channel: Channel, open: OpenList): void {
    channel.live = { open, attached: false, cachedBytes: 0 }
    this.#idle.add(channel)
    this.#idleCommands += open.size
    this.bound(channel)
    this.#trim(channel)
  }

  #touch(channel: Channel): void {
    if (channel.live!.attached || this.#idle.size <= 1) return
    this.#idle.delete(channel)
    this.#idle.add(channel)
  }

  /** Let go of what nobody holds open, the longest unused first. */
  #trim(keep: Channel | undefined): void {
    for (const channel of this.#idle) {
      if (this.#idleCommands <= idleMaxCommands && this.#idle.size <= idleMaxChannels) return
      if (channel === keep) continue
      this.#idle.delete(channel)
      this.#idleCommands -= channel.live!.open.size
      channel.live = undefined
    }
  }
}
