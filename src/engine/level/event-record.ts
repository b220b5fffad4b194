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
import { channelId, commandId } from '../../contract/index.ts'
import { Reader, writer } from './bytes.ts'
import { noBytes } from './command-record.ts'

const version = 1

/**
 * An event as it is kept: what can be read from the key or the rest is left out.
 *
 *     | version u8 | atMs f64 | head: JSON with its length before it | payload |
 *
 * A view that changes with the next record; LevelDB copies it at once.
 */
export function encodeEvent(event: NewEvent): Buffer {
  const out = writer.reset()
  out.u8(version)
  out.f64(event.atMs)
  out.text(JSON.stringify(headOf(event)))
  out.raw(payloadOf(event) ?? noBytes)
  return out.view()
}

function payloadOf(event: NewEvent): Uint8Array | undefined {
  if (event.kind === 'event') return event.payload
  if (event.kind === 'command.ended') return event.ended.reply?.payload
  if (event.kind === 'reply' || event.kind === 'command.late') return event.reply?.payload
  return undefined
}

const bare = (reply: Reply | undefined): BareReply | undefined =>
  reply && { status: reply.status, reason: reply.reason, contentType: reply.contentType }

function headOf(event: NewEvent): Head {
  const { kind, device, channel } = event
  if (kind === 'event') {
    const { name, contentType, stamp, maybeRepeat } = event
    return { kind, device, channel, name, contentType, stamp, maybeRepeat }
  }
  if (kind === 'command.ended') {
    const { ended } = event
    const { epoch, offset, name, delivery, expect, acceptedAtMs, expiresAtMs, askedBy } = ended
    const { status, reason, timeline } = ended
    return {
      kind,
      device,
      channel,
      ended: {
        ...{ epoch, offset, name, delivery, expect, acceptedAtMs, expiresAtMs, askedBy },
        ...{ status, reason, timeline, reply: bare(ended.reply) },
      },
    }
  }
  const { app: _app, atMs: _atMs, ...rest } = event
  return 'reply' in rest ? { ...rest, reply: bare(rest.reply) } : rest
}

type BareReply = Omit<Reply, 'payload'>
/** What lies in a head: JSON without what stands elsewhere. */
type Head = Readonly<Record<string, unknown>>

interface EndedHead {
  readonly epoch: number
  readonly offset: number
  readonly name: string
  readonly delivery: EndedCommand['delivery']
  readonly expect: EndedCommand['expect']
  readonly acceptedAtMs: number
  readonly expiresAtMs: number
  readonly askedBy: string
  readonly status: EndStatus
  readonly reason?: string
  readonly timeline: readonly Step[]
  readonly reply?: BareReply
}

/** When an event was, without reading the rest of it. */
export const eventAtMs = (value: Buffer): number => value.readDoubleLE(1)

/** @throws for bytes that are no such record. */
export function decodeEvent(app: AppId, id: EventId, value: Buffer): KeptEvent {
  const from = new Reader(value)
  if (from.u8() !== version) throw new RangeError('an event of an unknown version')
  const atMs = from.f64()
  const head = JSON.parse(from.text()) as { kind: string; device: string; channel?: string }
  const payload = from.rest()
  const event: Record<string, unknown> = { ...head, app, atMs, id }
  if (head.kind === 'event') event.payload = payload
  else if (head.kind === 'command.ended') {
    const { ended } = head as typeof head & { ended: EndedHead }
    event.ended = wholeEnded(channelId(app, head.device, head.channel!), ended, payload)
  } else if (event.reply !== undefined) {
    event.reply = { ...(event.reply as BareReply), payload }
  }
  return event as unknown as KeptEvent
}

function wholeEnded(channel: string, ended: EndedHead, payload: Uint8Array): EndedCommand {
  const { reply, ...rest } = ended
  const id = commandId(channel, ended.epoch, ended.offset)
  const whole = { id, channel, ...rest }
  return reply === undefined ? whole : { ...whole, reply: { ...reply, payload } }
}

/** Where the outcome of an ended command is, and enough to list it without looking there. */
export interface Pointer {
  readonly sequence: number
  readonly acceptedAtMs: number
  readonly status: EndStatus
}

export function encodePointer(pointer: Pointer): Buffer {
  const out = writer.reset()
  out.f64(pointer.sequence)
  out.f64(pointer.acceptedAtMs)
  out.text(pointer.status)
  return out.view()
}

export function decodePointer(value: Buffer): Pointer {
  const from = new Reader(value)
  return {
    sequence: from.f64(),
    acceptedAtMs: from.f64(),
    status: from.text() as EndStatus,
  }
}
