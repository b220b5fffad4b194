import { canceled, removed } from '../channel/index.ts'
import type {
  AppId,
  Canceled,
  ChannelId,
  ChannelName,
  Clock,
  CommandId,
  CommandStatus,
  Depth,
  DeviceId,
  EndReason,
  EndStatus,
  Found,
  Limits,
  Mailbox,
  Names,
  OpenCommand,
  ScheduledCommand,
} from '../contract/index.ts'
import {
  channelId,
  deviceKey,
  locateCommand,
  mainChannel,
  StoreUnavailable,
  scheduledEpoch,
  urgentChannel,
} from '../contract/index.ts'
import { asAccepted, endedOptions } from './placement.ts'
import { openStatus } from './router.ts'
import type { Waiters } from './waiters.ts'

/** Where back ends ask about their commands, take them back, and where a device's are ended. */
export class Desk {
  readonly #names: Names
  readonly #mailbox: Mailbox
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #waiters: Waiters

  constructor(names: Names, mailbox: Mailbox, clock: Clock, limits: Limits, waiters: Waiters) {
    this.#names = names
    this.#mailbox = mailbox
    this.#clock = clock
    this.#limits = limits
    this.#waiters = waiters
  }

  async status(app: AppId, id: CommandId): Promise<CommandStatus | undefined> {
    const found = await this.#find(app, id)
    if (found === undefined) return undefined
    if (found.kind === 'ended') return { kind: 'ended', command: found.command }
    return openStatus(found.command)
  }

  async wait(app: AppId, id: CommandId, timeoutMs: number): Promise<CommandStatus | undefined> {
    const waiter = this.#waiters.until(app, id, Math.min(timeoutMs, this.#limits.waitMaxMs))
    try {
      const status = await this.status(app, id)
      if (status?.kind !== 'open') return status
      await waiter.ended
      return await this.status(app, id)
    } finally {
      waiter.forget()
    }
  }

  /** Over all channels of a device. */
  async depth(app: AppId, device: DeviceId): Promise<Depth> {
    let commands = 0
    let bytes = 0
    let oldestAtMs: number | undefined
    for (const channel of await this.#mailbox.channels(deviceKey(app, device))) {
      const depth = await this.#mailbox.depth(channel)
      commands += depth.commands
      bytes += depth.bytes
      if (depth.oldestAtMs !== undefined) {
        oldestAtMs = Math.min(oldestAtMs ?? depth.oldestAtMs, depth.oldestAtMs)
      }
    }
    return { commands, bytes, oldestAtMs }
  }

  /** How many wait for it, see `Core.waiting`. */
  async waiting(app: AppId, device: DeviceId, only?: ChannelName): Promise<number> {
    try {
      let count = 0
      for (const name of only === undefined ? await this.#channelsOf(app, device) : [only]) {
        count += await this.#waitingIn(channelId(app, device, name))
      }
      return count
    } catch (error) {
      if (error instanceof StoreUnavailable) return 0
      throw error
    }
  }

  /** Only what is certainly unsent can go (rule 10). */
  async cancel(app: AppId, id: CommandId): Promise<Canceled> {
    const found = await this.#find(app, id)
    if (found === undefined) return { kind: 'unknown' }
    if (found.kind === 'ended') return { kind: 'too-late', status: found }
    if (found.command.epoch !== scheduledEpoch) return this.#cancelPlaced(app, found.command)
    const appended = await this.#endScheduled(found.command, 'canceled', 'requested')
    if (appended === 'unavailable') return { kind: 'unavailable' }
    if (appended === 'kept') return this.#outcome(app, id)
    // Its time came between the look and the change: it has a place by now.
    const placed = await this.#find(app, id)
    if (placed === undefined) return { kind: 'unknown' }
    if (placed.kind === 'ended') return { kind: 'too-late', status: placed }
    if (placed.command.epoch === scheduledEpoch) return { kind: 'unavailable' }
    return this.#cancelPlaced(app, placed.command)
  }

  /** End all that is open of a device, and what is scheduled for it (rule 7). */
  async removeAll(app: AppId, device: DeviceId, isAttached: (channel: ChannelId) => boolean) {
    const key = deviceKey(app, device)
    const scheduled = await this.#mailbox.scheduled(key)
    await Promise.all(
      scheduled.map((command) => this.#endScheduled(command, 'undeliverable', 'device-removed')),
    )
    for (const channel of await this.#mailbox.channels(key)) {
      const { open } = await this.#mailbox.open(channel)
      const nowMs = this.#clock.nowMs()
      const changes = open.map((command) => removed(command, nowMs))
      await new Promise((done) => this.#mailbox.settle(channel, { changes }, done))
      if (!isAttached(channel)) this.#mailbox.release(channel)
    }
  }

  async #channelsOf(app: AppId, device: DeviceId): Promise<readonly ChannelName[]> {
    const record = await this.#names.device(app, device)
    return record === undefined ? [] : [mainChannel, urgentChannel, ...Object.keys(record.channels)]
  }

  async #waitingIn(channel: ChannelId): Promise<number> {
    const { commands } = await this.#mailbox.depth(channel)
    if (commands === 0) return 0
    // What it has got and not answered yet is open too.
    const reading = await this.#mailbox.read(channel, 0, 1)
    return reading.commands.length === 0 ? 0 : commands
  }

  async #cancelPlaced(app: AppId, command: OpenCommand): Promise<Canceled> {
    const change = canceled(command, this.#clock.nowMs())
    if (change === undefined) return { kind: 'too-late', status: openStatus(command) }
    const settled = await new Promise((resolve) =>
      this.#mailbox.settle(command.channel, { changes: [change] }, resolve),
    )
    if (settled !== 'kept') return { kind: 'unavailable' }
    return this.#outcome(app, command.id)
  }

  /**
   * Something else may have ended it between the look and the change: then that is its outcome. Or it
   * may have been sent: then the change was passed over.
   */
  async #outcome(app: AppId, id: CommandId): Promise<Canceled> {
    const status = await this.status(app, id)
    if (status === undefined) return { kind: 'unknown' }
    return status.kind === 'ended' && status.command.status === 'canceled'
      ? { kind: 'canceled', command: status.command }
      : { kind: 'too-late', status }
  }

  /** It never gets a place that anything is read from: it is kept as ended (rule 6). */
  async #endScheduled(
    command: ScheduledCommand | OpenCommand,
    status: EndStatus,
    reason: EndReason,
  ): Promise<'kept' | 'gone' | 'unavailable'> {
    const appended = await this.#mailbox.append(
      command.channel,
      asAccepted(command),
      endedOptions(status, reason),
    )
    if (appended.kind === 'kept' || appended.kind === 'unavailable') return appended.kind
    return 'gone'
  }

  async #find(app: AppId, id: CommandId): Promise<Found | undefined> {
    const place = locateCommand(app, id)
    if (place === undefined) return undefined
    return this.#mailbox.find(place.channel, place.epoch, place.offset)
  }
}
