import type {
  Appended,
  AppendOptions,
  AppId,
  Asked,
  ChannelId,
  Clock,
  Command,
  Counts,
  Depth,
  DeviceKey,
  Epoch,
  Found,
  Head,
  HistoryPage,
  HistoryQuery,
  IdempotencyKey,
  Mailbox,
  Offset,
  OpenCommand,
  Reading,
  Scheduled,
  ScheduledCommand,
  ScheduleOptions,
  Settled,
  Settlement,
} from '../../contract/index.ts'
import { scheduledEpoch } from '../../contract/index.ts'
import type { Appending } from './appending.ts'
import { depthOf } from './appending.ts'
import type { Apps } from './apps.ts'
import type { Channel } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Database } from './database.ts'
import { headOf } from './head.ts'
import type { Idempotency } from './idempotency.ts'
import type { Lookups } from './lookups.ts'
import type { Schedule } from './schedule.ts'
import type { Scheduling } from './scheduling.ts'
import { Settling, type SettlingParts } from './settling.ts'
import type { Status } from './status.ts'

export interface MailboxParts extends SettlingParts {
  readonly apps: Apps
  readonly appending: Appending
  readonly idempotency: Idempotency
  readonly lookups: Lookups
  readonly schedule: Schedule
  readonly scheduling: Scheduling
  readonly clock: Clock
  /** No space for anything new. */
  readonly full: () => boolean
}

/** The port: what changes a mailbox, and what is answered from memory. Reading is in lookups.ts. */
export class LevelMailbox implements Mailbox {
  readonly #database: Database
  readonly #status: Status
  readonly #channels: Channels
  readonly #apps: Apps
  readonly #appending: Appending
  readonly #idempotency: Idempotency
  readonly #settling: Settling
  readonly #lookups: Lookups
  readonly #schedule: Schedule
  readonly #scheduling: Scheduling
  readonly #surprised: (error: unknown) => void
  readonly #clock: Clock
  readonly #full: () => boolean

  constructor(parts: MailboxParts) {
    this.#database = parts.database
    this.#status = parts.status
    this.#channels = parts.channels
    this.#apps = parts.apps
    this.#appending = parts.appending
    this.#idempotency = parts.idempotency
    this.#settling = new Settling(parts)
    this.#lookups = parts.lookups
    this.#schedule = parts.schedule
    this.#scheduling = parts.scheduling
    this.#surprised = parts.surprised
    this.#clock = parts.clock
    this.#full = parts.full
  }

  get full(): boolean {
    return this.#full()
  }

  append(channel: ChannelId, command: Command, options: AppendOptions): Promise<Appended> {
    return new Promise((resolve) => {
      if (!this.#status.ready) {
        resolve({ kind: 'unavailable', full: this.#status.full })
        return
      }
      try {
        this.#appending.append(channel, command, options, resolve)
      } catch (error) {
        this.#surprised(error)
        resolve({ kind: 'unavailable', full: false })
      }
    })
  }

  async asked(app: AppId, asked: IdempotencyKey): Promise<Asked | undefined> {
    if (!this.#status.ready) throw this.#status.unavailable()
    const answer = this.#idempotency.answer(app, asked, 'command')
    if (answer !== undefined && !(await this.#database.kept())) throw this.#status.unavailable()
    return answer
  }

  schedule(channel: ChannelId, command: Command, options: ScheduleOptions): Promise<Scheduled> {
    return new Promise((resolve) => {
      if (!this.#status.ready) {
        resolve({ kind: 'unavailable', full: this.#status.full })
        return
      }
      try {
        this.#scheduling.schedule(channel, command, options, resolve)
      } catch (error) {
        this.#surprised(error)
        resolve({ kind: 'unavailable', full: false })
      }
    })
  }

  ripe(nowMs: number, max: number): Promise<readonly ScheduledCommand[]> {
    return this.#scheduling.ripe(nowMs, max)
  }

  nextRipeMs(): number {
    return this.#schedule.nextMs()
  }

  scheduled(device: DeviceKey): Promise<readonly ScheduledCommand[]> {
    return this.#scheduling.scheduled(device)
  }

  open(channelId: ChannelId, renumber = false): Promise<Head> {
    return new Promise((resolve, reject) => this.#open(channelId, renumber, resolve, reject))
  }

  release(channelId: ChannelId): void {
    const channel = this.#channels.get(channelId)
    if (channel !== undefined) this.#channels.held.release(channel)
  }

  read(channelId: ChannelId, after: Offset, max: number): Reading | Promise<Reading> {
    return this.#lookups.read(channelId, after, max)
  }

  intend(channelId: ChannelId, upTo: Offset): Promise<boolean> {
    if (!this.#status.ready) return Promise.resolve(false)
    this.#settling.intend(this.#channels.use(channelId), upTo)
    return this.#database.kept()
  }

  sent(channelId: ChannelId, upTo: Offset, atMs: number): void {
    const channel = this.#channels.get(channelId)
    if (channel === undefined || upTo <= channel.sentUpTo) return
    const from = channel.sentUpTo
    channel.sentUpTo = upTo
    channel.lastSentAtMs = atMs
    this.#channels.withLive(channel, (live) => {
      if (!live) return
      channel.live!.open.scan(from, (entry) => {
        if (entry.offset > upTo) return false
        entry.sentAtMs ??= atMs
        return true
      })
    })
  }

  settle(channel: ChannelId, settlement: Settlement, settled: (outcome: Settled) => void): void {
    this.#settling.settle(channel, settlement, settled)
  }

  find(
    channel: ChannelId,
    epoch: Epoch,
    offset: Offset,
  ): Found | undefined | Promise<Found | undefined> {
    return epoch === scheduledEpoch
      ? this.#scheduling.find(channel, offset)
      : this.#lookups.find(channel, epoch, offset)
  }

  due(nowMs: number, max: number): Promise<readonly OpenCommand[]> {
    return this.#lookups.due(nowMs, max)
  }

  nextDueMs(): number {
    return this.#channels.nextDueMs(this.#clock.nowMs())
  }

  uplinks(channelId: ChannelId): string | undefined | Promise<string | undefined> {
    if (!this.#status.ready) return Promise.reject(this.#status.unavailable())
    const channel = this.#channels.get(channelId)
    if (channel === undefined) return undefined
    if (!this.#channels.isLoading(channel) && this.#channels.isDurable(channel)) {
      return channel.uplinks
    }
    return this.#uplinksOf(channel)
  }

  depth(channelId: ChannelId): Depth {
    const channel = this.#channels.get(channelId)
    return channel === undefined
      ? { commands: 0, bytes: 0, oldestAtMs: undefined }
      : depthOf(channel)
  }

  channels(device: DeviceKey): Promise<readonly ChannelId[]> {
    return this.#lookups.channels(device)
  }

  history(device: DeviceKey, query: HistoryQuery): Promise<HistoryPage> {
    return this.#lookups.history(device, query)
  }

  async counts(app: AppId): Promise<Counts> {
    if (!this.#status.ready) throw this.#status.unavailable()
    if (this.#database.pending > 0) await this.#database.kept()
    return this.#apps.get(app)?.counts() ?? { accepted: 0, open: 0, ended: {} }
  }

  /** Behind what was settled before, some of which may still wait for its open commands. */
  async #uplinksOf(channel: Channel): Promise<string | undefined> {
    if (this.#channels.isLoading(channel)) {
      await new Promise<void>((resolve) => this.#channels.withLive(channel, () => resolve()))
    }
    const { uplinks } = channel
    if (!(await this.#database.kept())) throw this.#status.unavailable()
    return uplinks
  }

  #open(
    channelId: ChannelId,
    renumber: boolean,
    resolve: (head: Head) => void,
    reject: (error: Error) => void,
  ): void {
    if (!this.#status.ready) {
      reject(this.#status.unavailable())
      return
    }
    const channel = this.#channels.use(channelId)
    this.#channels.withLive(channel, (live) => {
      if (!live) {
        reject(this.#status.unavailable())
        return
      }
      this.#channels.held.attach(channel)
      this.#channels.begin(channel, renumber)
      if (this.#channels.isDurable(channel)) {
        resolve(headOf(channel))
        return
      }
      // What an older session of the channel still writes is settled first (rule 15).
      this.#database.after((outcome) => {
        if (outcome !== 'kept') reject(this.#status.unavailable())
        else if (channel.live !== undefined) resolve(headOf(channel))
        // Released meanwhile, and out of memory already.
        else this.#open(channelId, false, resolve, reject)
      })
    })
  }
}
