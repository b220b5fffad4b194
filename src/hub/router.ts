import type {
  AliasName,
  Appended,
  AppendOptions,
  AppId,
  ChannelId,
  Clock,
  Command,
  CommandStatus,
  DeviceId,
  EndedCommand,
  KeptCommand,
  Limits,
  Mailbox,
  Names,
  OpenCommand,
  ScheduledCommand,
  Step,
  SubmitRequest,
  Submitted,
} from '../contract/index.ts'
import { channelId, commandId, StoreUnavailable, scheduledEpoch } from '../contract/index.ts'
import { appendOptions, hasChannel, hint, type Roads } from './placement.ts'
import type { Quotas } from './quotas.ts'
import { noteAccepted } from './recorder/notes.ts'

/** Retry advice for a full mailbox: long enough that a device has had a chance to take something. */
const fullRetryAfterMs = 5_000
/** Bounds of the advice where too many commands wait for their time. */
const scheduleRetryMinMs = 1_000
const scheduleRetryMaxMs = 60_000

/** What the router needs of the hub. */
export interface Asked extends Roads {
  status(app: AppId, id: string): Promise<CommandStatus | undefined>
  /** A command for later was kept: it may be the next that is due. */
  scheduled(): void
}

/**
 * A command's way to its mailbox.
 *
 *     request ▶ alias ▶ device, channel ▶ quota ┬▶ live link? ▶ append, with the intent to send ▶ hint
 *                                               ╰▶ not before a later moment: schedule
 *
 * What is decided here is decided once: which device (rule 27), whether a `now` has a link (rule 5).
 * Of calls that are under way at the same moment one may overtake another: an alias takes a look-up
 * more, so does a device that is not in memory. Who wants an order waits for an answer before the
 * next call, or sends lines.
 * Everything after `append` may fail without loss: the pump also looks at attach and on patrol.
 */
export class Router {
  readonly #names: Names
  readonly #mailbox: Mailbox
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #quotas: Quotas
  readonly #hub: Asked

  constructor(
    names: Names,
    mailbox: Mailbox,
    clock: Clock,
    limits: Limits,
    quotas: Quotas,
    hub: Asked,
  ) {
    this.#names = names
    this.#mailbox = mailbox
    this.#clock = clock
    this.#limits = limits
    this.#quotas = quotas
    this.#hub = hub
  }

  async submit(request: SubmitRequest): Promise<Submitted> {
    try {
      const submitted = await this.#submit(request)
      return askedBefore.has(submitted.kind) && request.idempotency !== undefined
        ? await this.#refused(request, submitted)
        : submitted
    } catch (error) {
      if (error instanceof StoreUnavailable) return { kind: 'unavailable', full: error.full }
      throw error
    }
  }

  async #submit(request: SubmitRequest): Promise<Submitted> {
    const { app, to } = request
    const id = to.device ?? (await this.#resolve(app, to.alias))
    if (id === undefined) return { kind: 'unknown-alias' }
    const looked = this.#names.device(app, id)
    const device = looked instanceof Promise ? await looked : looked
    if (device === undefined) return { kind: 'unknown-device' }
    if (device.disabled) return { kind: 'device-disabled' }
    if (!hasChannel(device, request.channel)) return { kind: 'unknown-channel' }
    const nowMs = this.#clock.nowMs()
    const retryAfterMs = this.#quotas.command(app, nowMs, request.patient)
    if (retryAfterMs > 0) return { kind: 'limited', retryAfterMs }

    const channel = channelId(app, id, request.channel)
    const command = this.#command(request, nowMs)
    if (command.notBeforeMs !== undefined) return this.#schedule(channel, command, request)
    const attachment = this.#hub.attached(channel)
    const { delivery, idempotency } = request
    const options = appendOptions(
      device,
      request.channel,
      delivery,
      attachment,
      this.#limits,
      idempotency,
    )
    const appended = await this.#mailbox.append(channel, command, options)
    if (appended.kind === 'kept') return this.#kept(appended.command, options)
    return this.#notKept(request, appended)
  }

  /** A call that is repeated is the same command, though its name may be gone since (rule 28). */
  async #refused(request: SubmitRequest, refusal: Submitted): Promise<Submitted> {
    const { app, idempotency } = request
    const earlier = await this.#mailbox.asked(app, idempotency!)
    if (earlier === undefined) return refusal
    const { kind, id } = earlier
    return kind === 'conflict' ? { kind, id } : this.#repeated(app, id)
  }

  /** Once, at accept: whoever the alias stands for later has nothing to do with it (rule 27). */
  async #resolve(app: AppId, alias: AliasName): Promise<DeviceId | undefined> {
    const record = await this.#names.alias(app, alias)
    if (record === undefined) return undefined
    const { device, expiresAtMs } = record
    return expiresAtMs !== undefined && expiresAtMs <= this.#clock.nowMs() ? undefined : device
  }

  #command(request: SubmitRequest, nowMs: number): Command {
    const defaultTtlMs =
      request.delivery === 'now' ? this.#limits.nowTtlMs : this.#limits.queueTtlMs
    const { notBeforeMs } = request
    const later = notBeforeMs !== undefined && notBeforeMs > nowMs
    return {
      name: request.name,
      payload: request.payload,
      contentType: request.contentType,
      delivery: request.delivery,
      expect: request.expect,
      acceptedAtMs: nowMs,
      expiresAtMs: (later ? notBeforeMs : nowMs) + (request.ttlMs ?? defaultTtlMs),
      replyTimeoutMs: request.replyTimeoutMs ?? this.#limits.replyTimeoutMs,
      askedBy: request.askedBy,
      collapse: request.collapse,
      notBeforeMs: later ? notBeforeMs : undefined,
      callback: request.callback,
      traceparent: request.traceparent,
    }
  }

  #kept(command: KeptCommand, options: AppendOptions): Submitted {
    if (options.ended !== undefined) {
      noteAccepted(this.#hub.recorder, 'accepted', command)
      return { kind: 'accepted', status: { kind: 'ended', command: endedAtOnce(command, options) } }
    }
    noteAccepted(this.#hub.recorder, 'accepted', command)
    hint(command, options, this.#hub)
    return { kind: 'accepted', status: openStatus({ ...command, maybeSent: false }) }
  }

  async #notKept(
    { app }: SubmitRequest,
    appended: Exclude<Appended, { kind: 'kept' }>,
  ): Promise<Submitted> {
    switch (appended.kind) {
      case 'repeat':
        return this.#repeated(app, appended.id)
      case 'conflict':
        return { kind: 'conflict', id: appended.id }
      case 'full':
        return { kind: 'full', depth: appended.depth, retryAfterMs: fullRetryAfterMs }
      case 'unavailable':
        return { kind: 'unavailable', full: appended.full }
    }
  }

  async #repeated(app: AppId, id: string): Promise<Submitted> {
    const status = await this.#hub.status(app, id)
    return status === undefined ? { kind: 'forgotten', id } : { kind: 'accepted', status }
  }

  /** It has no place before its time (rule 6); the link it needs is looked for then. */
  async #schedule(
    channel: ChannelId,
    command: Command,
    request: SubmitRequest,
  ): Promise<Submitted> {
    const scheduled = await this.#mailbox.schedule(channel, command, {
      maxCommands: this.#limits.scheduledMaxCommands,
      maxTotal: this.#limits.scheduledMaxTotal,
      idempotency: request.idempotency,
    })
    switch (scheduled.kind) {
      case 'kept':
        noteAccepted(this.#hub.recorder, 'scheduled', scheduled.command)
        this.#hub.scheduled()
        return { kind: 'accepted', status: openStatus(waitingOpen(scheduled.command)) }
      case 'repeat':
        return this.#repeated(request.app, scheduled.id)
      case 'conflict':
        return { kind: 'conflict', id: scheduled.id }
      case 'full': {
        const nextMs = this.#mailbox.nextRipeMs() - this.#clock.nowMs()
        const retryAfterMs = Math.min(scheduleRetryMaxMs, Math.max(scheduleRetryMinMs, nextMs))
        return { kind: 'schedule-full', max: scheduled.max, retryAfterMs }
      }
      case 'unavailable':
        return { kind: 'unavailable', full: scheduled.full }
    }
  }
}

/** Refusals before anybody has looked whether this was asked before. */
const askedBefore: ReadonlySet<Submitted['kind']> = new Set([
  'unknown-alias',
  'unknown-device',
  'device-disabled',
  'unknown-channel',
  'limited',
])

/** A command that waits for its time, as an open one. */
const waitingOpen = (command: ScheduledCommand): OpenCommand => ({
  ...command,
  id: commandId(command.channel, scheduledEpoch, command.scheduled),
  epoch: scheduledEpoch,
  offset: command.scheduled,
  maybeSent: false,
})

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
    callback: command.callback,
    traceparent: command.traceparent,
    status,
    reason,
    timeline: [
      { status: 'queued', atMs: acceptedAtMs },
      { status, reason, atMs: acceptedAtMs },
    ],
  }
}
