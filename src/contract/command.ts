import type { BroadcastId, ChannelId, DeviceId, KeyName } from './ids.ts'
import { channelId, channelParts } from './ids.ts'
import type { Epoch, Offset } from './position.ts'

/**
 * Names a command and says where it lies: `device:channel:epoch:offset`, the epoch in base 36.
 * Its app is the app of whoever asks, so an id can never reach into another app.
 *
 * A command that was scheduled (`notBeforeMs`) has its id before it has a place (rule 6): epoch 0,
 * which no channel ever has, and its number among the scheduled commands of its channel. It keeps
 * that id for good.
 */
export type CommandId = string

/** `now` is for actuators: given to a live link before its deadline or not at all. */
export type Delivery = 'queue' | 'now'
/** What ends a command well: the device's acknowledgement, or its reply. */
export type Expect = 'ack' | 'reply'

/** What a back end wants done, as it was accepted. Times are ms since 1970. */
export interface Command {
  readonly name: string
  readonly payload: Uint8Array
  /** `application/json` unless the back end sent bytes. */
  readonly contentType: string
  readonly delivery: Delivery
  readonly expect: Expect
  readonly acceptedAtMs: number
  /** Handing over after this moment is forbidden. */
  readonly expiresAtMs: number
  /** How long the reply may take, from delivered. */
  readonly replyTimeoutMs: number
  /** The API key that asked. `rules.md` 9. */
  readonly askedBy: KeyName
  /** A newer command with the same key replaces an older one that was never sent. */
  readonly collapse?: string
  /** It gets its place in the mailbox at this moment, not before (rule 6). */
  readonly notBeforeMs?: number
  /** Its number among the scheduled commands of its channel, once `Mailbox.schedule` gave it one. */
  readonly scheduled?: number
  /** Where its outcome is posted to, beside the events. */
  readonly callback?: string
  /** The broadcast it is part of; one command a device. */
  readonly broadcast?: BroadcastId
  /** W3C Trace Context of the request that asked: `traceparent` as it came. */
  readonly traceparent?: string
}

/** A command with its place in a mailbox. */
export interface KeptCommand extends Command {
  readonly id: CommandId
  readonly channel: ChannelId
  readonly epoch: Epoch
  readonly offset: Offset
}

export type OpenStatus = 'queued' | 'sent' | 'delivered'

/** How a command ended; final. The words are explained in `docs/back-end.md`. */
export type EndStatus =
  | 'delivered'
  | 'done'
  | 'failed'
  | 'rejected'
  | 'unanswered'
  | 'expired'
  | 'canceled'
  | 'superseded'
  | 'dropped'
  | 'undeliverable'
  | 'in-doubt'

export const endStatuses: readonly EndStatus[] = [
  'delivered',
  'done',
  'failed',
  'rejected',
  'unanswered',
  'expired',
  'canceled',
  'superseded',
  'dropped',
  'undeliverable',
  'in-doubt',
]

/** One step of a command's life, with the reason where there is one. */
export interface Step {
  readonly status: OpenStatus | EndStatus
  readonly atMs: number
  readonly reason?: string
  /** Proof that came after the end; the outcome does not change (rule 8). */
  readonly late?: true
}

/** What would have been an end, told after another (rule 8). */
export const lateStep = ({ status, reason, atMs }: Step): Step => ({
  status,
  reason,
  late: true,
  atMs,
})

/** What a device answered. `reason` is a short word, e.g. `late`, `jammed`. */
export interface Reply {
  readonly status: 'done' | 'failed' | 'rejected'
  readonly reason?: string
  readonly payload: Uint8Array
  readonly contentType: string
}

/** A command that has not ended, as its mailbox knows it. */
export interface OpenCommand extends KeptCommand {
  /** True once it may have been written to a link; then it can no longer end as never sent. */
  readonly maybeSent: boolean
  /** When first written, where this process knows it. */
  readonly sentAtMs?: number
  /** Set once the device's end acknowledged it and its reply is awaited. */
  readonly deliveredAtMs?: number
}

/** A command that has ended: its history, without its payload. */
export interface EndedCommand {
  readonly id: CommandId
  readonly channel: ChannelId
  readonly epoch: Epoch
  readonly offset: Offset
  readonly name: string
  readonly delivery: Delivery
  readonly expect: Expect
  readonly acceptedAtMs: number
  readonly expiresAtMs: number
  readonly askedBy: KeyName
  readonly notBeforeMs?: number
  readonly callback?: string
  readonly broadcast?: BroadcastId
  readonly traceparent?: string
  readonly status: EndStatus
  readonly reason?: string
  /**
   * From `queued` to the end, in order of time. As `find` and `history` read it, late steps follow
   * the end, in the order they came; its outcome event never has them.
   */
  readonly timeline: readonly Step[]
  readonly reply?: Reply
}

export const commandId = (channel: ChannelId, epoch: Epoch, offset: Offset): CommandId => {
  const { device, channel: name } = channelParts(channel)
  return `${device}:${name}:${epoch.toString(36)}:${offset}`
}

/** The epoch in the id of a command that was scheduled; its offset is then its number there. */
export const scheduledEpoch = 0

/** The id of a command: where it lies, or, if it was scheduled, the number it got then. */
export const idOfCommand = (
  channel: ChannelId,
  epoch: Epoch,
  offset: Offset,
  scheduled: number | undefined,
): CommandId =>
  scheduled === undefined
    ? commandId(channel, epoch, offset)
    : commandId(channel, scheduledEpoch, scheduled)

/**
 * Where a command lies, for whoever asks from this app. `epoch` is {@link scheduledEpoch} for one
 * that was scheduled; `Mailbox.find` knows both kinds.
 * @returns undefined for text that is no command id; then nobody has that command.
 */
export function locateCommand(
  app: string,
  id: CommandId,
): { channel: ChannelId; device: DeviceId; epoch: Epoch; offset: Offset } | undefined {
  const match =
    /^([A-Za-z0-9][A-Za-z0-9._~-]{0,127}):([A-Za-z0-9][A-Za-z0-9._~-]{0,127}):([0-9a-z]{1,7}):([1-9][0-9]{0,15})$/.exec(
      id,
    )
  if (match === null) return undefined
  const epoch = Number.parseInt(match[3]!, 36)
  const offset = Number(match[4])
  if (!Number.isSafeInteger(offset) || epoch > 0xffff_ffff) return undefined
  return { channel: channelId(app, match[1]!, match[2]!), device: match[1]!, epoch, offset }
}
