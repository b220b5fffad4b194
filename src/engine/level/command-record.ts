import type { BroadcastId, Command, CommandId, Epoch, Offset } from '../../contract/index.ts'
import type { Writer } from './bytes.ts'
import { Reader, writer } from './bytes.ts'

const version = 1
const jsonType = 'application/json'
const flag = { now: 1, reply: 2, json: 4, collapse: 8, sent: 16, delivered: 32, more: 64 } as const
const moreFlag = { notBefore: 1, scheduled: 2, callback: 4, broadcast: 8, traceparent: 16 } as const
export const noBytes: Uint8Array = new Uint8Array(0)

/** What few commands have. */
export interface More {
  readonly notBeforeMs: number | undefined
  readonly scheduled: number | undefined
  readonly callback: string | undefined
  readonly traceparent: string | undefined
  readonly broadcast: BroadcastId | undefined
}

/** An open command as it is kept, and as it is held in memory while its channel is. */
export interface Entry {
  /** Made when it is first asked for. */
  id: CommandId | undefined
  readonly offset: Offset
  readonly epoch: Epoch
  readonly name: string
  readonly contentType: string
  readonly delivery: Command['delivery']
  readonly expect: Command['expect']
  readonly acceptedAtMs: number
  readonly expiresAtMs: number
  readonly replyTimeoutMs: number
  readonly askedBy: string
  readonly collapse: string | undefined
  readonly more: More | undefined
  /** Bytes of the payload; 0 once delivered. */
  bytes: number
  /** Undefined where it must be read from the store; see `payloadCacheMaxBytes`. */
  payload: Uint8Array | undefined
  sentAtMs: number | undefined
  deliveredAtMs: number | undefined
  /** The commit in which it became delivered. */
  deliveredIn: number
  /** Its record cannot be read: nothing but its place is true of it. */
  readonly damaged: boolean
}

/** A view that changes with the next record; LevelDB copies it at once. */
export function encodeCommand(entry: Entry, payload: Uint8Array): Buffer {
  const out = writer.reset()
  out.u8(version)
  out.u8(
    (entry.delivery === 'now' ? flag.now : 0) |
      (entry.expect === 'reply' ? flag.reply : 0) |
      (entry.contentType === jsonType ? flag.json : 0) |
      (entry.collapse !== undefined ? flag.collapse : 0) |
      (entry.sentAtMs !== undefined ? flag.sent : 0) |
      (entry.deliveredAtMs !== undefined ? flag.delivered : 0) |
      (entry.more !== undefined ? flag.more : 0),
  )
  out.u32(entry.epoch)
  out.f64(entry.acceptedAtMs)
  out.f64(entry.expiresAtMs)
  out.f64(entry.replyTimeoutMs)
  if (entry.sentAtMs !== undefined) out.f64(entry.sentAtMs)
  if (entry.deliveredAtMs !== undefined) out.f64(entry.deliveredAtMs)
  out.text(entry.name)
  out.text(entry.askedBy)
  if (entry.contentType !== jsonType) out.text(entry.contentType)
  if (entry.collapse !== undefined) out.text(entry.collapse)
  if (entry.more !== undefined) writeMore(out, entry.more)
  out.raw(payload)
  return out.view()
}

/** @throws RangeError for bytes that are no such record. The payload is a view of the value. */
export function decodeCommand(offset: Offset, value: Buffer): Entry {
  const from = new Reader(value)
  if (from.u8() !== version) throw new RangeError('an open command of an unknown version')
  const flags = from.u8()
  const epoch = from.u32()
  const acceptedAtMs = from.f64()
  const expiresAtMs = from.f64()
  const replyTimeoutMs = from.f64()
  const sentAtMs = flags & flag.sent ? from.f64() : undefined
  const deliveredAtMs = flags & flag.delivered ? from.f64() : undefined
  const name = from.text()
  const askedBy = from.text()
  const contentType = flags & flag.json ? jsonType : from.text()
  const collapse = flags & flag.collapse ? from.text() : undefined
  const more = flags & flag.more ? readMore(from) : undefined
  const payload = from.rest()
  return {
    id: undefined,
    offset,
    epoch,
    name,
    contentType,
    delivery: flags & flag.now ? 'now' : 'queue',
    expect: flags & flag.reply ? 'reply' : 'ack',
    acceptedAtMs,
    expiresAtMs,
    replyTimeoutMs,
    askedBy,
    collapse,
    more,
    bytes: payload.length,
    payload,
    sentAtMs,
    deliveredAtMs,
    deliveredIn: 0,
    damaged: false,
  }
}

export function writeMore(out: Writer, more: More): void {
  const { notBeforeMs, scheduled, callback, broadcast, traceparent } = more
  out.u8(
    (notBeforeMs === undefined ? 0 : moreFlag.notBefore) |
      (scheduled === undefined ? 0 : moreFlag.scheduled) |
      (callback === undefined ? 0 : moreFlag.callback) |
      (broadcast === undefined ? 0 : moreFlag.broadcast) |
      (traceparent === undefined ? 0 : moreFlag.traceparent),
  )
  if (notBeforeMs !== undefined) out.f64(notBeforeMs)
  if (scheduled !== undefined) out.f64(scheduled)
  if (callback !== undefined) out.text(callback)
  if (broadcast !== undefined) out.text(broadcast)
  if (traceparent !== undefined) out.text(traceparent)
}

export function readMore(from: Reader): More {
  const flags = from.u8()
  return {
    notBeforeMs: flags & moreFlag.notBefore ? from.f64() : undefined,
    scheduled: flags & moreFlag.scheduled ? from.f64() : undefined,
    callback: flags & moreFlag.callback ? from.text() : undefined,
    broadcast: flags & moreFlag.broadcast ? from.text() : undefined,
    traceparent: flags & moreFlag.traceparent ? from.text() : undefined,
  }
}

export const damagedEntry = (offset: Offset, epoch: Epoch, acceptedAtMs: number): Entry => ({
  id: undefined,
  offset,
  epoch,
  name: '',
  contentType: jsonType,
  delivery: 'queue',
  expect: 'ack',
  acceptedAtMs,
  expiresAtMs: acceptedAtMs,
  replyTimeoutMs: 0,
  askedBy: '',
  collapse: undefined,
  more: undefined,
  bytes: 0,
  payload: undefined,
  sentAtMs: undefined,
  deliveredAtMs: undefined,
  deliveredIn: 0,
  damaged: true,
})
