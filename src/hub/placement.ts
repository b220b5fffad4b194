import type {
  AppendOptions,
  AppId,
  ChannelId,
  ChannelName,
  Clock,
  Command,
  DeviceId,
  DeviceRecord,
  EndReason,
  EndStatus,
  KeptCommand,
  Limits,
  Mailbox,
  Names,
} from '../contract/index.ts'
import { channelId, mainChannel, StoreUnavailable, urgentChannel } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'
import { noteAccepted } from './recorder/notes.ts'
import type { FlightRecorder } from './recorder/recorder.ts'

/** What whoever places commands needs of the hub. */
export interface Roads {
  readonly recorder: FlightRecorder
  attached(channel: ChannelId): Attachment | undefined
  /** Commands were kept or changed: the next deadline may be another. */
  kept(): void
}

/** 'gone': somebody else had placed it. 'unavailable': nothing is known to be kept. */
export type Placed = 'placed' | 'ended' | 'gone' | 'unavailable'

/**
 * Gives a command that was accepted before its place in a mailbox: its time has come, or its
 * device's turn in a broadcast.
 *
 *     device, channel, link as they are now ▶ append, with the intent to send ▶ hint
 *            │ one is missing                    │ full
 *            ╰──────────────▶ append, ended ◀────╯
 *
 * Nobody is there any more to be refused, so what cannot be placed is kept as ended, with the reason.
 */
export class Placement {
  readonly #names: Names
  readonly #mailbox: Mailbox
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #roads: Roads

  constructor(names: Names, mailbox: Mailbox, clock: Clock, limits: Limits, roads: Roads) {
    this.#names = names
    this.#mailbox = mailbox
    this.#clock = clock
    this.#limits = limits
    this.#roads = roads
  }

  /** Never rejects for want of a store. */
  async place(app: AppId, device: DeviceId, name: ChannelName, command: Command): Promise<Placed> {
    try {
      const looked = this.#names.device(app, device)
      const record = looked instanceof Promise ? await looked : looked
      return await this.#place(channelId(app, device, name), record, name, command)
    } catch (error) {
      if (error instanceof StoreUnavailable) return 'unavailable'
      throw error
    }
  }

  async #place(
    channel: ChannelId,
    device: DeviceRecord | undefined,
    name: ChannelName,
    command: Command,
  ): Promise<Placed> {
    const attachment = this.#roads.attached(channel)
    const options =
      this.#refusal(device, name, command) ??
      appendOptions(device!, name, command.delivery, attachment, this.#limits)
    const appended = await this.#mailbox.append(channel, command, options)
    switch (appended.kind) {
      case 'kept':
        if (options.ended !== undefined) return 'ended'
        noteAccepted(this.#roads.recorder, 'placed', appended.command)
        hint(appended.command, options, this.#roads)
        return 'placed'
      case 'full':
        return this.#end(channel, command, endedOptions('dropped', 'mailbox-full'))
      case 'unavailable':
        return 'unavailable'
      default:
        return 'gone'
    }
  }

  #refusal(
    device: DeviceRecord | undefined,
    name: ChannelName,
    command: Command,
  ): AppendOptions | undefined {
    if (device === undefined) return endedOptions('undeliverable', 'device-removed')
    if (device.disabled) return endedOptions('undeliverable', 'device-disabled')
    if (!hasChannel(device, name)) return endedOptions('undeliverable', 'unknown-channel')
    // Its whole time passed while we were away: it must not push out what can still be delivered.
    if (command.expiresAtMs <= this.#clock.nowMs()) return endedOptions('expired', 'ttl-passed')
    return undefined
  }

  async #end(channel: ChannelId, command: Command, options: AppendOptions): Promise<Placed> {
    const appended = await this.#mailbox.append(channel, command, options)
    if (appended.kind === 'kept') return 'ended'
    return appended.kind === 'unavailable' ? 'unavailable' : 'gone'
  }
}

/** It is kept: whatever is attached by now is told; the link may have come or gone meanwhile. */
export function hint(command: KeptCommand, options: AppendOptions, roads: Roads): void {
  roads.kept()
  const intended = command.offset <= options.intendUpTo
  roads.attached(command.channel)?.hint(command.offset, intended)
}

/** How a command is appended for a device and a link as they are now. */
export function appendOptions(
  device: DeviceRecord,
  name: ChannelName,
  delivery: Command['delivery'],
  attachment: Attachment | undefined,
  limits: Limits,
  idempotency?: AppendOptions['idempotency'],
): AppendOptions {
  const settings = Object.hasOwn(device.channels, name) ? device.channels[name] : undefined
  return {
    maxCommands: settings?.maxCommands ?? limits.mailboxMaxCommands,
    maxBytes: limits.mailboxMaxBytes,
    overflow: settings?.overflow ?? 'reject',
    idempotency,
    intendUpTo: attachment?.live.pump.takesUpTo ?? 0,
    // `now` never waits for a link: none at accept is its outcome, at once (rule 5).
    ended: delivery === 'now' && attachment === undefined ? noLink : undefined,
  }
}

const noLink = { status: 'undeliverable', reason: 'no-link' } as const

/** For a command that ends as it is appended: it takes no room. */
export const endedOptions = (status: EndStatus, reason: EndReason): AppendOptions => ({
  maxCommands: 0,
  maxBytes: 0,
  overflow: 'reject',
  intendUpTo: 0,
  ended: { status, reason },
})

export const hasChannel = (device: Pick<DeviceRecord, 'channels'>, channel: ChannelName): boolean =>
  channel === mainChannel || channel === urgentChannel || Object.hasOwn(device.channels, channel)

/** A command as it was accepted, of one that has an id, a place or a state beside. */
export const asAccepted = (command: Command): Command => ({
  name: command.name,
  payload: command.payload,
  contentType: command.contentType,
  delivery: command.delivery,
  expect: command.expect,
  acceptedAtMs: command.acceptedAtMs,
  expiresAtMs: command.expiresAtMs,
  replyTimeoutMs: command.replyTimeoutMs,
  askedBy: command.askedBy,
  collapse: command.collapse,
  notBeforeMs: command.notBeforeMs,
  scheduled: command.scheduled,
  callback: command.callback,
  broadcast: command.broadcast,
  traceparent: command.traceparent,
})
