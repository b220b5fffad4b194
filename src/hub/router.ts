import type {
  Appended,
  AppendOptions,
  Clock,
  Command,
  CommandStatus,
  DeviceRecord,
  EndedCommand,
  KeptCommand,
  Limits,
  Mailbox,
  Names,
  OpenCommand,
  Step,
  SubmitRequest,
  Submitted,
} from '../contract/index.ts'
import { channelId, mainChannel, StoreUnavailable, urgentChannel } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'

/** Retry advice for a full mailbox: long enough that a device has had a chance to take something. */
const fullRetryAfterMs = 5_000

/** What the router needs of the hub. */
export interface Roads {
  attached(channel: string): Attachment | undefined
  status(app: string, id: string): Promise<CommandStatus | undefined>
  /** A command was kept: its deadline may be the next. */
  kept(): void
}

/**
 * A command's way to its mailbox.
 *
 *     request ▶ device, channel ▶ live link? ▶ append, with the intent to send ▶ hint
 *
 * What is decided here is decided once: which channel (rule 27), whether a `now` has a link (rule 5).
 * Everything after `append` may fail without loss: the pump also looks at attach and on patrol.
 */
export class Router {
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

  async submit(request: SubmitRequest): Promise<Submitted> {
    try {
      return await this.#submit(request)
    } catch (error) {
      if (error instanceof StoreUnavailable) return { kind: 'unavailable', full: error.full }
      throw error
    }
  }

  async #submit(request: SubmitRequest): Promise<Submitted> {
    const looked = this.#names.device(request.app, request.device)
    const device = looked instanceof Promise ? await looked : looked
    if (device === undefined) return { kind: 'unknown-device' }
    if (device.disabled) return { kind: 'device-disabled' }
    if (!hasChannel(device, request.channel)) return { kind: 'unknown-channel' }

    const channel = channelId(request.app, request.device, request.channel)
    const attachment = this.#roads.attached(channel)
    const command = this.#command(request)
    const options = this.#options(device, request, attachment)
    const appended = await this.#mailbox.append(channel, command, options)
    if (appended.kind === 'kept') return this.#kept(appended.command, options)
    return this.#notKept(request, appended)
  }

  #command(request: SubmitRequest): Command {
    const nowMs = this.#clock.nowMs()
    const defaultTtlMs =
      request.delivery === 'now' ? this.#limits.nowTtlMs : this.#limits.queueTtlMs
    return {
      name: request.name,
      payload: request.payload,
      contentType: request.contentType,
      delivery: request.delivery,
      expect: request.expect,
      acceptedAtMs: nowMs,
      expiresAtMs: nowMs + (request.ttlMs ?? defaultTtlMs),
      replyTimeoutMs: request.replyTimeoutMs ?? this.#limits.replyTimeoutMs,
      askedBy: request.askedBy,
      collapse: request.collapse,
    }
  }

  #options(
    device: DeviceRecord,
    request: SubmitRequest,
    attachment: Attachment | undefined,
  ): AppendOptions {
    const settings = Object.hasOwn(device.channels, request.channel)
      ? device.channels[request.channel]
      : undefined
    return {
      maxCommands: settings?.maxCommands ?? this.#limits.mailboxMaxCommands,
      maxBytes: this.#limits.mailboxMaxBytes,
      overflow: settings?.overflow ?? 'reject',
      idempotency: request.idempotency,
      intendUpTo: attachment?.live.pump.takesUpTo ?? 0,
      // `now` never waits for a link: none at accept is its outcome, at once (rule 5).
      ended:
        request.delivery === 'now' && attachment === undefined
          ? { status: 'undeliverable', reason: 'no-link' }
          : undefined,
    }
  }

  #kept(command: KeptCommand, options: AppendOptions): Submitted {
    if (options.ended !== undefined) {
      return { kind: 'accepted', status: { kind: 'ended', command: endedAtOnce(command, options) } }
    }
    this.#roads.kept()
    // Whatever is attached by now: the link may have come or gone while this was being kept.
    const intended = command.offset <= options.intendUpTo
    this.#roads.attached(command.channel)?.hint(command.offset, intended)
    return {
      kind: 'accepted',
      status: openStatus({ ...command, maybeSent: false }),
    }
  }

  async #notKept(
    request: SubmitRequest,
    appended: Exclude<Appended, { kind: 'kept' }>,
  ): Promise<Submitted> {
    switch (appended.kind) {
      case 'repeat': {
        const status = await this.#roads.status(request.app, appended.id)
        return status === undefined
          ? { kind: 'unavailable', full: false }
          : { kind: 'accepted', status }
      }
      case 'conflict':
        return { kind: 'conflict', id: appended.id }
      case 'full':
        return { kind: 'full', depth: appended.depth, retryAfterMs: fullRetryAfterMs }
      case 'unavailable':
        return { kind: 'unavailable', full: appended.full }
    }
  }
}

export const hasChannel = (device: DeviceRecord, channel: string): boolean =>
  channel === mainChannel || channel === urgentChannel || Object.hasOwn(device.channels, channel)

/** An open command as back ends see it. */
export function openStatus(command: OpenCommand): CommandStatus {
  const timeline: Step[] = [{ status: 'queued', atMs: command.acceptedAtMs }]
  if (command.sentAtMs !== undefined) timeline.push({ status: 'sent', atMs: command.sentAtMs })
  if (command.deliveredAtMs !== undefined) {
    timeline.push({ status: 'delivered', atMs: command.deliveredAtMs })
    return { kind: 'open', status: 'delivered', command, timeline }
  }
  return { kind: 'open', status: command.maybeSent ? 'sent' : 'queued', command, timeline }
}

function endedAtOnce(command: KeptCommand, options: AppendOptions): EndedCommand {
  const { status, reason } = options.ended!
  const { id, channel, epoch, offset, name, delivery, expect, acceptedAtMs, expiresAtMs, askedBy } =
    command
  return {
    id,
    channel,
    epoch,
    offset,
    name,
    delivery,
    expect,
    acceptedAtMs,
    expiresAtMs,
    askedBy,
    status,
    reason,
    timeline: [
      { status: 'queued', atMs: acceptedAtMs },
      { status, reason, atMs: acceptedAtMs },
    ],
  }
}
