import type {
  AppId,
  EndedCommand,
  EndStatus,
  EventId,
  KeptEvent,
  NewEvent,
  Reply,
  Step,
} from '../../contract/index.ts'
import { Reader, writer } from './bytes.ts'
import { noBytes } from './command-record.ts'
import { readEnded, readTimeline, writeEnded, writeTimeline } from './ended-record.ts'

const version = 1
/** The two kinds of which there are thousands a second have a form of their own. */
const form = { json: 0, uplink: 1, ended: 2 } as const
const has = { channel: 1, stamp: 2, maybeRepeat: 4, noRepeat: 8 } as const

/**
 * An event as it is kept; what the key says is left out.
 *
 *     | version u8 | atMs f64 | form u8 | what the form holds | payload |
 *
 * A view that changes with the next record; LevelDB copies it at once.
 */
export function encodeEvent(event: NewEvent): Buffer {
  const out = writer.reset()
  out.u8(version)
  out.f64(event.atMs)
  if (event.kind === 'command.ended') {
    out.u8(form.ended)
    writeEnded(out, event.device, event.ended)
    out.raw(event.ended.reply?.payload ?? noBytes)
  } else if (event.kind === 'event') {
    out.u8(form.uplink)
    writeUplink(event)
    out.raw(event.payload)
  } else {
    const { app: _app, atMs: _atMs, ...head } = event
    const reply = 'reply' in head ? head.reply : undefined
    out.u8(form.json)
    out.text(JSON.stringify(reply === undefined ? head : { ...head, reply: bare(reply) }))
    out.raw(reply?.payload ?? noBytes)
  }
  return out.view()
}

type BareReply = Omit<Reply, 'payload'>

const bare = ({ status, reason, contentType }: Reply): BareReply =>
  reason === undefined ? { status, contentType } : { status, reason, contentType }

function writeUplink(event: NewEvent & { kind: 'event' }): void {
  const { stamp, channel, maybeRepeat } = event
  writer.u8(
    (channel === undefined ? 0 : has.channel) |
      (stamp === undefined ? 0 : has.stamp) |
      (maybeRepeat === undefined ? 0 : maybeRepeat ? has.maybeRepeat : has.noRepeat),
  )
  writer.text(event.device)
  if (channel !== undefined) writer.text(channel)
  writer.text(event.name)
  writer.text(event.contentType)
  if (stamp !== undefined) {
    writer.u32(stamp.epoch)
    writer.f64(stamp.sequence)
  }
}

/** When an event was, without reading the rest of it. */
export const eventAtMs = (value: Buffer): number => value.readDoubleLE(1)

/** @throws for bytes that are no such record. */
export function decodeEvent(app: AppId, id: EventId, value: Buffer): KeptEvent {
  const from = new Reader(value)
  if (from.u8() !== version) throw new RangeError('an event of an unknown version')
  const atMs = from.f64()
  const about = { app, id, atMs }
  switch (from.u8()) {
    case form.ended: {
      const { device, channel, ended } = readEnded(from, app)
      return { kind: 'command.ended', ...about, device, channel, ended }
    }
    case form.uplink:
      return { ...about, ...readUplink(from) }
    case form.json: {
      const head = JSON.parse(from.text()) as { reply?: BareReply }
      const payload = from.rest()
      const reply = head.reply && { reply: { ...head.reply, payload } }
      return { ...head, ...about, ...reply } as unknown as KeptEvent
    }
    default:
      throw new RangeError('an event of an unknown form')
  }
}

function readUplink(from: Reader) {
  const flags = from.u8()
  const device = from.text()
  const channel = flags & has.channel ? { channel: from.text() } : undefined
  const name = from.text()
  const contentType = from.text()
  const stamp =
    flags & has.stamp ? { stamp: { epoch: from.u32(), sequence: from.f64() } } : undefined
  const said = flags & (has.maybeRepeat | has.noRepeat)
  const maybeRepeat = said ? { maybeRepeat: said === has.maybeRepeat } : undefined
  const what = { kind: 'event' as const, device, name, contentType, payload: from.rest() }
  return { ...what, ...channel, ...stamp, ...maybeRepeat }
}

/** Where the outcome of an ended command is, and enough to list it without looking there. */
export interface Pointer {
  readonly sequence: number
  readonly acceptedAtMs: number
  readonly status: EndStatus
  /** Its id is not where it lies. */
  readonly scheduled?: true
  /** Proof that came after the end: the outcome event never changes (rule 8). */
  readonly late?: readonly Step[]
}

export function encodePointer(pointer: Pointer): Buffer {
  const out = writer.reset()
  out.f64(pointer.sequence)
  out.f64(pointer.acceptedAtMs)
  out.text(pointer.status)
  if (pointer.late !== undefined || pointer.scheduled) writeTimeline(out, pointer.late ?? [])
  if (pointer.scheduled) out.u8(1)
  return out.view()
}

export function decodePointer(value: Buffer): Pointer {
  const from = new Reader(value)
  const pointer = {
    sequence: from.f64(),
    acceptedAtMs: from.f64(),
    status: from.text() as EndStatus,
  }
  if (from.isOver) return pointer
  const late = readTimeline(from)
  const more = late.length === 0 ? pointer : { ...pointer, late }
  return from.isOver ? more : { ...more, scheduled: true }
}

/** As it is read: with what came after its end. */
export const withLate = (ended: EndedCommand, { late }: Pointer): EndedCommand =>
  late === undefined ? ended : { ...ended, timeline: [...ended.timeline, ...late] }
