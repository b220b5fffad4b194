import type {
  ChannelId,
  Clock,
  DeviceKey,
  Epoch,
  Found,
  HistoryPage,
  HistoryQuery,
  Offset,
  OpenCommand,
  Reading,
} from '../../contract/index.ts'
import { appOf } from './appending.ts'
import type { Channel, Live } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Entry } from './command-record.ts'
import { decodeCommand, noBytes } from './command-record.ts'
import { openCommand } from './commands.ts'
import type { Database } from './database.ts'
import type { Endings } from './endings.ts'
import { decodePointer, withLate } from './event-record.ts'
import type { LevelEvents } from './events.ts'
import { historyPage } from './history.ts'
import {
  channelOfKey,
  channelsOf,
  commandKey,
  historyKey,
  lastScheduledKey,
  scheduledChannelsOf,
} from './keys.ts'
import { nextOf, readAheadCommands, recordsOf } from './read-ahead.ts'
import type { Status } from './status.ts'

/**
 * States a command passes through that may each not be durable yet when it is looked for:
 * queued, delivered, ended.
 */
const findTries = 4
/** A channel whose open commands could not be looked at for deadlines is tried again after this. */
const retryMs = 1_000
const nothing: Reading = { commands: [], lookedUpTo: 0 }

/** Reading mailboxes: from memory where it can be, and never what is not durable. */
export class Lookups {
  readonly #database: Database
  readonly #status: Status
  readonly #clock: Clock
  readonly #channels: Channels
  readonly #endings: Endings
  readonly #events: LevelEvents
  readonly #surprised: (error: unknown) => void

  constructor(parts: {
    readonly database: Database
    readonly status: Status
    readonly clock: Clock
    readonly channels: Channels
    readonly endings: Endings
    readonly events: LevelEvents
    readonly surprised: (error: unknown) => void
  }) {
    this.#database = parts.database
    this.#status = parts.status
    this.#clock = parts.clock
    this.#channels = parts.channels
    this.#endings = parts.endings
    this.#events = parts.events
    this.#surprised = parts.surprised
  }

  read(id: ChannelId, after: Offset, max: number): Reading | Promise<Reading> {
    if (!this.#status.ready) return Promise.reject(this.#status.unavailable())
    const channel = this.#channels.get(id)
    if (channel === undefined) return nothing
    if (channel.live !== undefined || channel.count === 0) return this.#read(channel, after, max)
    return new Promise((resolve, reject) => {
      this.#channels.withLive(channel, (live) => {
        if (live) resolve(this.#read(channel, after, max))
        else reject(this.#status.unavailable())
      })
    })
  }

  #read(channel: Channel, after: Offset, max: number): Reading | Promise<Reading> {
    const top = channel.readableUpTo
    const commands: OpenCommand[] = []
    let lookedUpTo = top
    let missing = false
    channel.live?.open.scan(after, (entry) => {
      if (entry.offset > top) return false
      if (entry.deliveredAtMs !== undefined) return true
      if (commands.length >= max) {
        lookedUpTo = entry.offset - 1
        return false
      }
      if (isMissing(entry)) {
        missing = true
        return false
      }
      commands.push(openCommand(channel, entry))
      return true
    })
    if (missing) return this.#readPayloads(channel, channel.live!, after, max)
    if (commands.length === 0 && top < channel.durableTop) return this.#later(channel, after, max)
    return { commands, lookedUpTo }
  }

  /** What comes next lies behind one that was passed over: once the end of that one is durable. */
  async #later(channel: Channel, after: Offset, max: number): Promise<Reading> {
    const { live, passing, passedOver } = channel
    const wanted =
      live && reserve(live, nextOf(live, after, max, channel.durableTop).entries.at(-1))
    // Not longer than it takes: newer ones may be passed over all the time.
    const kept = await (passedOver === passing ? this.#database.written() : this.#database.kept())
    wanted?.()
    if (!kept) throw this.#status.unavailable()
    return this.read(channel.id, after, max)
  }

  /** Those that are asked for, and while a device is there some that it will want next. */
  async #readPayloads(channel: Channel, live: Live, after: Offset, max: number): Promise<Reading> {
    const ahead = live.attached ? readAheadCommands : max
    const { entries, upTo } = nextOf(live, after, max, channel.readableUpTo, ahead)
    const asked = entries.slice(0, max)
    // They may be let go of while the others are read.
    const held = entries.map(({ payload }) => payload)
    const wanted = reserve(live, asked.at(-1))
    let read: ReadonlyMap<Entry, Buffer>
    try {
      read = await recordsOf(this.#database.store, channel.id, entries.filter(isMissing))
    } catch (error) {
      if (this.#status.ready) this.#surprised(error)
      throw this.#status.unavailable(error)
    } finally {
      wanted()
    }
    if (!this.#status.ready || this.#channels.get(channel.id) !== channel) {
      throw this.#status.unavailable()
    }
    const commands: OpenCommand[] = []
    for (const [index, entry] of entries.entries()) {
      // Ended or delivered while this was on its way.
      if (channel.live?.open.get(entry.offset) !== entry) continue
      if (entry.deliveredAtMs !== undefined) continue
      const payload =
        held[index] ?? (entry.bytes === 0 ? noBytes : this.#payloadOf(entry, read.get(entry)))
      if (payload === undefined) this.#endings.damaged(channel, entry, this.#clock.nowMs())
      else if (index < max) commands.push(openCommand(channel, entry, payload))
      else this.#channels.held.keepPayload(channel, entry, payload)
    }
    const lookedUpTo = entries.length > max ? entries[max]!.offset - 1 : upTo
    const whole = commands.length === asked.length && lookedUpTo <= channel.readableUpTo
    return whole ? { commands, lookedUpTo } : this.read(channel.id, after, max)
  }

  /** @returns undefined where the record is damaged. */
  #payloadOf(entry: Entry, value: Buffer | undefined): Uint8Array | undefined {
    try {
      if (value === undefined) throw new RangeError('an open command without a record')
      return decodeCommand(entry.offset, value).payload
    } catch (error) {
      this.#surprised(error)
      return undefined
    }
  }

  find(
    id: ChannelId,
    epoch: Epoch,
    offset: Offset,
  ): Found | undefined | Promise<Found | undefined> {
    if (!this.#status.ready) return Promise.reject(this.#status.unavailable())
    const channel = this.#channels.get(id)
    if (channel === undefined || offset > channel.top) return undefined
    const found = this.#findOpen(channel, epoch, offset)
    return found ?? this.#status.reading(() => this.#find(channel, epoch, offset))
  }

  /** From memory, if it is open, and durable as it is. */
  #findOpen(channel: Channel, epoch: Epoch, offset: Offset): Found | undefined {
    if (offset > channel.durableTop) return undefined
    const entry = channel.live?.open.get(offset)
    if (entry === undefined || entry.epoch !== epoch) return undefined
    if (entry.deliveredIn > this.#database.durable) return undefined
    if (entry.payload === undefined && entry.bytes > 0) return undefined
    return { kind: 'open', command: openCommand(channel, entry) }
  }

  async #find(channel: Channel, epoch: Epoch, offset: Offset): Promise<Found | undefined> {
    for (let tries = 0; tries < findTries; tries++) {
      if (!this.#channels.isDurable(channel)) await this.#database.kept()
      if (!this.#status.ready) throw this.#status.unavailable()
      const open = this.#findOpen(channel, epoch, offset)
      if (open !== undefined) return open
      const found = await this.#findStored(channel, epoch, offset)
      if (found !== undefined) return found
      if (this.#channels.isDurable(channel)) return undefined
    }
    return undefined
  }

  async #findStored(channel: Channel, epoch: Epoch, offset: Offset): Promise<Found | undefined> {
    const { id } = channel
    const keys = [historyKey(id, offset), commandKey(id, offset)]
    const [pointer, command] = await this.#database.store.getMany(keys)
    if (pointer !== undefined) {
      const way = decodePointer(pointer)
      const event = await this.#events.at(appOf(id), way.sequence)
      if (event?.kind !== 'command.ended' || event.ended.epoch !== epoch) return undefined
      return { kind: 'ended', command: withLate(event.ended, way) }
    }
    if (command === undefined) return undefined
    const stored = decodeCommand(offset, command)
    const entry = channel.live === undefined ? stored : channel.live.open.get(offset)
    // It has ended since, and that is not durable yet; or it is another's.
    if (entry === undefined || entry.epoch !== epoch) return undefined
    if (entry.deliveredIn > this.#database.durable) return undefined
    return { kind: 'open', command: openCommand(channel, entry, stored.payload) }
  }

  async due(nowMs: number, max: number): Promise<readonly OpenCommand[]> {
    const found: OpenCommand[] = []
    const { deadlines } = this.#channels
    const looked = new Set<Channel>()
    while (this.#status.ready && found.length < max) {
      const channel = deadlines.first
      if (channel === undefined || channel.dueAtMs > nowMs) break
      // Out of the way of the next one; its true bound is set at the end.
      deadlines.aside(channel)
      if (looked.has(channel)) continue
      looked.add(channel)
      await this.#live(channel)
      channel.live?.open.scan(0, (entry) => {
        if (entry.offset > channel.durableTop || found.length >= max) return false
        if (this.#channels.dueAtMs(channel, entry) <= nowMs) found.push(openCommand(channel, entry))
        return true
      })
      // Loading it set its bound again.
      deadlines.aside(channel)
    }
    if (!this.#status.ready) return []
    for (const channel of looked) {
      if (channel.live !== undefined) this.#channels.bound(channel)
      // It could not be loaded, or is out of memory again.
      else if (channel.count === 0) deadlines.move(channel, Number.POSITIVE_INFINITY)
      else deadlines.move(channel, Math.max(channel.dueAtMs, nowMs + retryMs))
    }
    return found
  }

  #live(channel: Channel): Promise<boolean> {
    return new Promise((resolve) => {
      this.#channels.withLive(channel, resolve)
    })
  }

  async channels(device: DeviceKey): Promise<readonly ChannelId[]> {
    return this.#status.reading(async () => {
      const keys = await this.#database.store.keys(channelsOf(device)).all()
      return keys.map(channelOfKey)
    })
  }

  /** Channels in which something was scheduled, now or ever. */
  async #scheduledChannels(device: DeviceKey): Promise<readonly ChannelId[]> {
    const keys = await this.#database.store.keys(scheduledChannelsOf(device)).all()
    return keys.map((key) => key.slice(lastScheduledKey('').length))
  }

  history(device: DeviceKey, query: HistoryQuery): Promise<HistoryPage> {
    return this.#status.reading(async () =>
      historyPage(
        {
          store: this.#database.store,
          events: this.#events,
          channel: (id) => this.#channels.get(id),
          ids: await this.channels(device),
          scheduledIds: await this.#scheduledChannels(device),
        },
        query,
      ),
    )
  }
}

/** Its payload is in the store only. */
const isMissing = (entry: Entry): boolean => entry.payload === undefined && entry.bytes > 0

/**
 * Up to here a read that is under way will give: newer commands do not take their place, else a
 * mailbox that overflows all the time would never give any. Call what it returns when it is over.
 */
function reserve(live: Live, last: Entry | undefined): () => void {
  live.reads += 1
  if (last !== undefined && last.offset > live.wanted) live.wanted = last.offset
  return () => {
    live.reads -= 1
    if (live.reads === 0) live.wanted = 0
  }
}
