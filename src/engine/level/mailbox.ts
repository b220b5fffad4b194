import type {
  Appended,
  AppendOptions,
  AppId,
  Asked,
  Change,
  ChannelId,
  Clock,
  Command,
  Counts,
  Depth,
  DeviceKey,
  EndStatus,
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
import { lateStep, scheduledEpoch } from '../../contract/index.ts'
import type { Appending } from './appending.ts'
import { depthOf } from './appending.ts'
import type { Apps } from './apps.ts'
import type { Channel } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Entry } from './command-record.ts'
import type { Database } from './database.ts'
import type { Endings } from './endings.ts'
import type { LevelEvents } from './events.ts'
import { headOf } from './head.ts'
import type { Idempotency } from './idempotency.ts'
import type { Late } from './late.ts'
import type { Lookups } from './lookups.ts'
import type { Schedule } from './schedule.ts'
import type { Scheduling } from './scheduling.ts'
import type { Status } from './status.ts'

export interface MailboxParts {
  readonly database: Database
  readonly status: Status
  readonly channels: Channels
  readonly apps: Apps
  readonly events: LevelEvents
  readonly appending: Appending
  readonly idempotency: Idempotency
  readonly endings: Endings
  readonly late: Late
  readonly lookups: Lookups
  readonly schedule: Schedule
  readonly scheduling: Scheduling
  readonly surprised: (error: unknown) => void
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
  readonly #events: LevelEvents
  readonly #appending: Appending
  readonly #idempotency: Idempotency
  readonly #endings: Endings
  readonly #late: Late
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
    this.#events = parts.events
    this.#appending = parts.appending
    this.#idempotency = parts.idempotency
    this.#endings = parts.endings
    this.#late = parts.late
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
    this.#intend(this.#channels.use(channelId), upTo)
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

  settle(channelId: ChannelId, settlement: Settlement, settled: (outcome: Settled) => void): void {
    if (!this.#status.ready) {
      queueMicrotask(() => settled('unavailable'))
      return
    }
    const channel = this.#channels.use(channelId)
    const needsLive = settlement.changes.length > 0 || settlement.late !== undefined
    const later =
      this.#channels.isLoading(channel) ||
      (channel.live === undefined && channel.count > 0 && needsLive)
    if (!later) {
      this.#settle(channel, settlement)
      this.#database.after(settled)
      return
    }
    this.#channels.withLive(channel, (live) => {
      try {
        if (live) this.#settle(channel, settlement)
      } catch (error) {
        this.#surprised(error)
        live = false
      }
      if (live) this.#database.after(settled)
      else queueMicrotask(() => settled('unavailable'))
    })
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

  #settle(channel: Channel, settlement: Settlement): void {
    const { events, changes, late, uplinks, attempts, intendUpTo } = settlement
    if (events !== undefined) for (const event of events) this.#events.keep(event)
    for (const change of changes) {
      const entry = channel.live?.open.get(change.offset)
      if (entry === undefined) this.#tellLate(channel.id, change)
      if (entry === undefined || isUntrue(channel, entry, change)) continue
      if (change.kind === 'ended') {
        if (change.told !== undefined) this.#events.keep(change.told.event)
        this.#endings.end(channel, entry, change)
      } else this.#endings.delivered(channel, entry, change.atMs)
    }
    if (late !== undefined) {
      for (const { offset, step } of late) {
        const isOpen = channel.live?.open.get(offset) !== undefined
        if (!isOpen) this.#late.keep(channel.id, offset, step)
      }
    }
    if (uplinks !== undefined && uplinks !== channel.uplinks) {
      channel.uplinks = uplinks
      this.#channels.changed(channel)
    }
    if (attempts !== undefined) {
      channel.attempts = attempts
      this.#channels.changed(channel)
    }
    if (intendUpTo !== undefined) this.#intend(channel, intendUpTo)
  }

  #tellLate(channel: ChannelId, change: Change): void {
    if (change.kind !== 'ended' || change.told === undefined) return
    this.#events.keep(change.told.late)
    this.#late.keep(channel, change.offset, lateStep(change))
  }

  #intend(channel: Channel, upTo: Offset): void {
    if (upTo <= channel.intended) return
    channel.intended = upTo
    this.#channels.changed(channel)
  }
}

/** Ends of commands that were certainly never written to a link (rule 3). */
const unsent = new Set<EndStatus>(['expired', 'canceled', 'superseded', 'dropped'])

/** Whether what has happened since it was decided makes this change untrue. */
function isUntrue(channel: Channel, entry: Entry, change: Change): boolean {
  if (change.kind !== 'ended') return false
  const { status, reason } = change
  const { deliveredAtMs } = entry
  if (status === 'in-doubt') return deliveredAtMs !== undefined && reason !== 'device-removed'
  return unsent.has(status) && (deliveredAtMs !== undefined || entry.offset <= channel.sentUpTo)
}
