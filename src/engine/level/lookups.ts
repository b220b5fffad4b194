import type {
  ChannelId,
  DeviceKey,
  Epoch,
  Found,
  HistoryPage,
  HistoryQuery,
  Offset,
  OpenCommand,
} from '../../contract/index.ts'
import { appOf } from './appending.ts'
import type { Channel } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Entry } from './command-record.ts'
import { decodeCommand } from './command-record.ts'
import { openCommand } from './commands.ts'
import type { Database } from './database.ts'
import { decodePointer, withLate } from './event-record.ts'
import type { LevelEvents } from './events.ts'
import { historyPage } from './history.ts'
import { channelOfKey, channelsOf, commandKey, historyKey } from './keys.ts'
import type { Status } from './status.ts'

/**
 * States a command passes through that may each not be durable yet when it is looked for:
 * queued, delivered, ended.
 */
const findTries = 4
/** A channel whose open commands could not be looked at for deadlines is tried again after this. */
const retryMs = 1_000

/** Reading mailboxes: from memory where it can be, and never what is not durable. */
export class Lookups {
  readonly #database: Database
  readonly #status: Status
  readonly #channels: Channels
  readonly #events: LevelEvents
  readonly #surprised: (error: unknown) => void

  constructor(
    database: Database,
    status: Status,
    channels: Channels,
    events: LevelEvents,
    surprised: (error: unknown) => void,
  ) {
    this.#surprised = surprised
    this.#database = database
    this.#status = status
    this.#channels = channels
    this.#events = events
  }

  read(
    id: ChannelId,
    after: Offset,
    max: number,
  ): readonly OpenCommand[] | Promise<readonly OpenCommand[]> {
    const channel = this.#channels.get(id)
    if (channel === undefined || !this.#status.ready) return []
    if (channel.live === undefined) {
      if (channel.count === 0) return []
      return new Promise((resolve) => {
        this.#channels.withLive(channel, (live) => {
          resolve(live ? this.#read(channel, after, max) : [])
        })
      })
    }
    return this.#read(channel, after, max)
  }

  #read(
    channel: Channel,
    after: Offset,
    max: number,
  ): readonly OpenCommand[] | Promise<readonly OpenCommand[]> {
    // A device must not get past a command whose end a crash could take back (rule 14).
    if (channel.passedIn > this.#database.durable) {
      return this.#database.kept().then(() => this.read(channel.id, after, max))
    }
    const entries: Entry[] = []
    let missing = false
    channel.live!.open.scan(after, (entry) => {
      if (entry.offset > channel.durableTop || entries.length >= max) return false
      if (entry.deliveredAtMs !== undefined) return true
      entries.push(entry)
      if (entry.payload === undefined && entry.bytes > 0) missing = true
      return true
    })
    if (missing) return this.#readPayloads(channel, entries)
    return entries.map((entry) => openCommand(channel, entry))
  }

  async #readPayloads(channel: Channel, entries: Entry[]): Promise<readonly OpenCommand[]> {
    const keys = entries.map((entry) => commandKey(channel.id, entry.offset))
    let values: (Buffer | undefined)[]
    try {
      values = await this.#database.store.getMany(keys)
    } catch (error) {
      // Else the pump is told of the state by `onState` and starts afresh.
      if (this.#status.ready) this.#surprised(error)
      return []
    }
    const commands: OpenCommand[] = []
    for (const [index, entry] of entries.entries()) {
      const value = values[index]
      // Ended or delivered while this was on its way.
      if (value === undefined || entry.deliveredAtMs !== undefined) continue
      if (channel.live !== undefined && channel.live.open.get(entry.offset) === undefined) continue
      try {
        commands.push(openCommand(channel, entry, decodeCommand(entry.offset, value).payload))
      } catch (error) {
        // A damaged command cannot be delivered; it ends by its deadline, and others go on.
        this.#surprised(error)
      }
    }
    return commands
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
      const event = await this.#events.find(appOf(id), way.sequence)
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
    const looked = new Map<Channel, number>()
    while (this.#status.ready && found.length < max) {
      const channel = deadlines.first
      if (channel === undefined || channel.dueAtMs > nowMs) break
      // Out of the way of the next one; its true bound is set at the end.
      looked.set(channel, channel.dueAtMs)
      deadlines.move(channel, Number.POSITIVE_INFINITY)
      await this.#live(channel)
      channel.live?.open.scan(0, (entry) => {
        if (entry.offset > channel.durableTop || found.length >= max) return false
        if (this.#channels.dueAtMs(channel, entry) <= nowMs) found.push(openCommand(channel, entry))
        return true
      })
      // Loading it set its bound again.
      deadlines.move(channel, Number.POSITIVE_INFINITY)
    }
    if (!this.#status.ready) return []
    for (const [channel, boundMs] of looked) {
      if (channel.live !== undefined) this.#channels.bound(channel)
      // It could not be loaded, or is out of memory again.
      else if (channel.count > 0) deadlines.lower(channel, Math.max(boundMs, nowMs + retryMs))
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

  history(device: DeviceKey, query: HistoryQuery): Promise<HistoryPage> {
    return this.#status.reading(async () =>
      historyPage(
        {
          store: this.#database.store,
          events: this.#events,
          channel: (id) => this.#channels.get(id),
          ids: await this.channels(device),
        },
        query,
      ),
    )
  }
}
