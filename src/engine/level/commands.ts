import type {
  ChannelId,
  Command,
  CommandId,
  EndedCommand,
  EndStatus,
  Epoch,
  KeptCommand,
  Offset,
  OpenCommand,
  Reply,
  Step,
} from '../../contract/index.ts'
import { idOfCommand } from '../../contract/index.ts'
import type { Channel } from './channel.ts'
import type { Entry, More } from './command-record.ts'
import { noBytes } from './command-record.ts'

/** Between a command as back ends and links see it and the entry kept of it. */

export const entryOf = (command: Command, id: CommandId, epoch: Epoch, offset: Offset): Entry => ({
  id,
  offset,
  epoch,
  name: command.name,
  contentType: command.contentType,
  delivery: command.delivery,
  expect: command.expect,
  acceptedAtMs: command.acceptedAtMs,
  expiresAtMs: command.expiresAtMs,
  replyTimeoutMs: command.replyTimeoutMs,
  askedBy: command.askedBy,
  collapse: command.collapse,
  more: moreOf(command),
  bytes: command.payload.length,
  payload: command.payload,
  sentAtMs: undefined,
  deliveredAtMs: undefined,
  deliveredIn: 0,
  damaged: false,
})

const moreOf = (command: Command): More | undefined => {
  const { notBeforeMs, scheduled, callback, broadcast, traceparent } = command
  return notBeforeMs === undefined &&
    scheduled === undefined &&
    callback === undefined &&
    broadcast === undefined &&
    traceparent === undefined
    ? undefined
    : { notBeforeMs, scheduled, callback, broadcast, traceparent }
}

type WithMore = {
  -readonly [field in 'notBeforeMs' | 'callback' | 'broadcast' | 'traceparent']?: NonNullable<
    More[field]
  >
}

function addMore(command: WithMore & { scheduled?: number }, more: More): void {
  if (more.scheduled !== undefined) command.scheduled = more.scheduled
  addMoreEnded(command, more)
}

function addMoreEnded(command: WithMore, more: More): void {
  if (more.notBeforeMs !== undefined) command.notBeforeMs = more.notBeforeMs
  if (more.callback !== undefined) command.callback = more.callback
  if (more.broadcast !== undefined) command.broadcast = more.broadcast
  if (more.traceparent !== undefined) command.traceparent = more.traceparent
}

export function keptCommand(
  command: Command,
  id: CommandId,
  channel: ChannelId,
  epoch: Epoch,
  offset: Offset,
): KeptCommand {
  const kept: { -readonly [field in keyof KeptCommand]: KeptCommand[field] } = {
    id,
    channel,
    epoch,
    offset,
    name: command.name,
    payload: command.payload,
    contentType: command.contentType,
    delivery: command.delivery,
    expect: command.expect,
    acceptedAtMs: command.acceptedAtMs,
    expiresAtMs: command.expiresAtMs,
    replyTimeoutMs: command.replyTimeoutMs,
    askedBy: command.askedBy,
  }
  if (command.collapse !== undefined) kept.collapse = command.collapse
  const more = moreOf(command)
  if (more !== undefined) addMore(kept, more)
  return kept
}

const idOf = (channel: ChannelId, entry: Entry): CommandId => {
  entry.id ??= idOfCommand(channel, entry.epoch, entry.offset, entry.more?.scheduled)
  return entry.id
}

/** An entry as it is now; it does not change with it. */
export function openCommand(channel: Channel, entry: Entry, payload = entry.payload): OpenCommand {
  const command: { -readonly [field in keyof OpenCommand]: OpenCommand[field] } = {
    id: idOf(channel.id, entry),
    channel: channel.id,
    epoch: entry.epoch,
    offset: entry.offset,
    name: entry.name,
    payload: payload ?? noBytes,
    contentType: entry.contentType,
    delivery: entry.delivery,
    expect: entry.expect,
    acceptedAtMs: entry.acceptedAtMs,
    expiresAtMs: entry.expiresAtMs,
    replyTimeoutMs: entry.replyTimeoutMs,
    askedBy: entry.askedBy,
    // What was acknowledged was sent, whatever else is known.
    maybeSent: entry.offset <= channel.sentUpTo || entry.deliveredAtMs !== undefined,
  }
  if (entry.collapse !== undefined) command.collapse = entry.collapse
  if (entry.more !== undefined) addMore(command, entry.more)
  const sentAtMs = entry.sentAtMs ?? channel.sentAtMsOf(entry.offset)
  if (sentAtMs !== undefined) command.sentAtMs = sentAtMs
  if (entry.deliveredAtMs !== undefined) command.deliveredAtMs = entry.deliveredAtMs
  return command
}

/** How a command ends. */
export interface Ending {
  readonly status: EndStatus
  readonly reason?: string
  readonly atMs: number
  readonly reply?: Reply
  readonly steps?: readonly Step[]
}

export function endedCommand(channel: ChannelId, entry: Entry, ending: Ending): EndedCommand {
  const { status, reason, reply } = ending
  const ended: { -readonly [field in keyof EndedCommand]: EndedCommand[field] } = {
    id: idOf(channel, entry),
    channel,
    epoch: entry.epoch,
    offset: entry.offset,
    name: entry.name,
    delivery: entry.delivery,
    expect: entry.expect,
    acceptedAtMs: entry.acceptedAtMs,
    expiresAtMs: entry.expiresAtMs,
    askedBy: entry.askedBy,
    status,
    timeline: timelineOf(entry, ending),
  }
  if (entry.more !== undefined) addMoreEnded(ended, entry.more)
  if (reason !== undefined) ended.reason = reason
  if (reply !== undefined) ended.reply = reply
  return ended
}

function timelineOf(entry: Entry, { status, reason, atMs, steps }: Ending): readonly Step[] {
  const timeline: Step[] = [{ status: 'queued', atMs: entry.acceptedAtMs }]
  if (entry.sentAtMs !== undefined) timeline.push({ status: 'sent', atMs: entry.sentAtMs })
  if (entry.deliveredAtMs !== undefined) {
    timeline.push({ status: 'delivered', atMs: entry.deliveredAtMs })
  }
  if (steps !== undefined && steps.length > 0) {
    for (const step of steps) {
      // Whoever ended it may not know yet what came with the same commit.
      if (step.status !== 'delivered' || entry.deliveredAtMs === undefined) timeline.push(step)
    }
    timeline.sort((a, b) => a.atMs - b.atMs)
  }
  timeline.push(reason === undefined ? { status, atMs } : { status, atMs, reason })
  return timeline
}
