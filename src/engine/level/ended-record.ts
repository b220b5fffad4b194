import type {
  AppId,
  ChannelName,
  DeviceId,
  EndedCommand,
  EndStatus,
  Step,
} from '../../contract/index.ts'
import { channelId, idOfCommand } from '../../contract/index.ts'
import type { Reader, Writer } from './bytes.ts'
import type { More } from './command-record.ts'
import { readMore, writeMore } from './command-record.ts'

const stepHas = { reason: 1, late: 2 } as const
const has = { now: 1, reply: 2, reason: 4, answer: 8, answerReason: 16, more: 32 } as const

/** An ended command within its event; id and channel follow from the rest. Its reply's payload is last. */
export function writeEnded(out: Writer, device: DeviceId, ended: EndedCommand): void {
  const { reply, reason, timeline } = ended
  const more = moreOf(ended)
  out.u8(
    (ended.delivery === 'now' ? has.now : 0) |
      (ended.expect === 'reply' ? has.reply : 0) |
      (reason === undefined ? 0 : has.reason) |
      (reply === undefined ? 0 : has.answer) |
      (reply?.reason === undefined ? 0 : has.answerReason) |
      (more === undefined ? 0 : has.more),
  )
  if (more !== undefined) writeMore(out, more)
  out.text(device)
  out.text(ended.channel.slice(ended.channel.lastIndexOf('/') + 1))
  out.u32(ended.epoch)
  out.f64(ended.offset)
  out.text(ended.name)
  out.f64(ended.acceptedAtMs)
  out.f64(ended.expiresAtMs)
  out.text(ended.askedBy)
  out.text(ended.status)
  if (reason !== undefined) out.text(reason)
  writeTimeline(out, timeline)
  if (reply === undefined) return
  out.text(reply.status)
  out.text(reply.contentType)
  if (reply.reason !== undefined) out.text(reply.reason)
}

/** The reply's payload is the rest of the bytes. */
export function readEnded(
  from: Reader,
  app: AppId,
): { device: DeviceId; channel: ChannelName; ended: EndedCommand } {
  const flags = from.u8()
  const more = flags & has.more ? readMore(from) : undefined
  const device = from.text()
  const channel = from.text()
  const whole = channelId(app, device, channel)
  const epoch = from.u32()
  const offset = from.f64()
  const ended: EndedCommand = {
    id: idOfCommand(whole, epoch, offset, more?.scheduled),
    channel: whole,
    epoch,
    offset,
    name: from.text(),
    delivery: flags & has.now ? 'now' : 'queue',
    expect: flags & has.reply ? 'reply' : 'ack',
    acceptedAtMs: from.f64(),
    expiresAtMs: from.f64(),
    askedBy: from.text(),
    ...(more?.notBeforeMs === undefined ? undefined : { notBeforeMs: more.notBeforeMs }),
    ...(more?.callback === undefined ? undefined : { callback: more.callback }),
    ...(more?.broadcast === undefined ? undefined : { broadcast: more.broadcast }),
    ...(more?.traceparent === undefined ? undefined : { traceparent: more.traceparent }),
    status: from.text() as EndStatus,
    ...(flags & has.reason ? { reason: from.text() } : undefined),
    timeline: readTimeline(from),
    ...(flags & has.answer ? { reply: readReply(from, flags) } : undefined),
  }
  return { device, channel, ended }
}

function moreOf(ended: EndedCommand): More | undefined {
  const { notBeforeMs, callback, broadcast, traceparent } = ended
  const scheduled = scheduledOf(ended)
  return notBeforeMs === undefined &&
    callback === undefined &&
    broadcast === undefined &&
    traceparent === undefined &&
    scheduled === undefined
    ? undefined
    : { notBeforeMs, scheduled, callback, broadcast, traceparent }
}

/** The number it was scheduled with: its id has it, in place of where it lies. */
export function scheduledOf({ id, notBeforeMs }: EndedCommand): number | undefined {
  if (notBeforeMs === undefined) return undefined
  const match = /:0:([0-9]+)$/.exec(id)
  return match === null ? undefined : Number(match[1])
}

export function writeTimeline(out: Writer, timeline: readonly Step[]): void {
  out.u32(timeline.length)
  for (const step of timeline) {
    out.text(step.status)
    out.f64(step.atMs)
    out.u8((step.reason === undefined ? 0 : stepHas.reason) | (step.late ? stepHas.late : 0))
    if (step.reason !== undefined) out.text(step.reason)
  }
}

export function readTimeline(from: Reader): readonly Step[] {
  const timeline: Step[] = []
  for (let left = from.u32(); left > 0; left--) {
    const status = from.text() as Step['status']
    const atMs = from.f64()
    const flags = from.u8()
    const step = flags & stepHas.reason ? { status, atMs, reason: from.text() } : { status, atMs }
    timeline.push(flags & stepHas.late ? { ...step, late: true } : step)
  }
  return timeline
}

function readReply(from: Reader, flags: number): NonNullable<EndedCommand['reply']> {
  const status = from.text() as NonNullable<EndedCommand['reply']>['status']
  const contentType = from.text()
  const reason = flags & has.answerReason ? { reason: from.text() } : undefined
  return { status, contentType, ...reason, payload: from.rest() }
}
