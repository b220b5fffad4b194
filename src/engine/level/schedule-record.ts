import type {
  ChannelId,
  CommandId,
  OpenCommand,
  Position,
  ScheduledCommand,
} from '../../contract/index.ts'
import { idOfCommand, scheduledEpoch } from '../../contract/index.ts'
import { Reader, writer } from './bytes.ts'
import type { Entry } from './command-record.ts'
import { decodeCommand, noBytes } from './command-record.ts'

/** Where a command lies that was scheduled, and enough to list it without looking there. */
export interface Placed extends Position {
  readonly acceptedAtMs: number
}

export function encodePlaced({ epoch, offset, acceptedAtMs }: Placed): Buffer {
  const out = writer.reset()
  out.u32(epoch)
  out.f64(offset)
  out.f64(acceptedAtMs)
  return out.view()
}

/** @throws RangeError for bytes that are no such record. */
export function decodePlaced(value: Buffer): Placed {
  const from = new Reader(value)
  return { epoch: from.u32(), offset: from.f64(), acceptedAtMs: from.f64() }
}

/** A number or a time alone. */
export function encodeNumber(value: number): Buffer {
  const out = writer.reset()
  out.f64(value)
  return out.view()
}

/** @throws RangeError for bytes that are no such record. */
export const decodeNumber = (value: Buffer): number => new Reader(value).f64()

export const scheduledId = (channel: ChannelId, scheduled: number): CommandId =>
  idOfCommand(channel, scheduledEpoch, scheduled, scheduled)

/** @throws RangeError for bytes that are no record of a command. */
export const decodeScheduled = (
  channel: ChannelId,
  scheduled: number,
  value: Buffer,
): ScheduledCommand => scheduledCommand(channel, scheduled, decodeCommand(scheduled, value))

export function scheduledCommand(
  channel: ChannelId,
  scheduled: number,
  entry: Entry,
): ScheduledCommand {
  const { collapse, more } = entry
  return {
    id: scheduledId(channel, scheduled),
    channel,
    scheduled,
    name: entry.name,
    payload: entry.payload ?? noBytes,
    contentType: entry.contentType,
    delivery: entry.delivery,
    expect: entry.expect,
    acceptedAtMs: entry.acceptedAtMs,
    expiresAtMs: entry.expiresAtMs,
    replyTimeoutMs: entry.replyTimeoutMs,
    askedBy: entry.askedBy,
    notBeforeMs: more?.notBeforeMs ?? entry.acceptedAtMs,
    ...(collapse !== undefined && { collapse }),
    ...(more?.callback !== undefined && { callback: more.callback }),
    ...(more?.broadcast !== undefined && { broadcast: more.broadcast }),
    ...(more?.traceparent !== undefined && { traceparent: more.traceparent }),
  }
}

/** One that waits for its time, among those that are open. */
export const asOpen = (command: ScheduledCommand): OpenCommand => ({
  ...command,
  epoch: scheduledEpoch,
  offset: command.scheduled,
  maybeSent: false,
})
