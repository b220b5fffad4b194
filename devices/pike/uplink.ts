import { batchMax, capability, type Frame } from '../../adapters/pike/frames.ts'
import type { DeviceChannel } from '../channel.ts'
import type { DeviceLimits } from '../limits.ts'
import type { Slot } from '../outbox.ts'
import type { Uplink } from '../storage.ts'

/** Where frames go. */
export interface FrameSink {
  readonly full: boolean
  write(frame: Frame): void
}

/** Head, numbers and lengths of a frame at their longest, beside name, reason and payload. */
const frameExtraBytes = 48

/**
 * Write what one channel may send: as far as it is stored, the window allows and the link takes it.
 *
 * @param tooLarge is given what the server could never take; it has left the outbox.
 * @returns whether anything was written.
 */
export function writeUplinks(
  channel: DeviceChannel,
  link: FrameSink,
  nowMs: number,
  limits: DeviceLimits,
  tooLarge: (slot: Slot) => void,
): boolean {
  const { session, outbox, inbox, number } = channel
  if (session === undefined) return false
  const mayBatch = (session.capabilities & capability.batch) !== 0
  let wrote = false
  while (!link.full) {
    const slot = outbox.peek(session.uplinkWindowMax)
    if (slot === undefined) break
    const { uplink } = slot
    if (frameBytes(uplink) > session.frameMaxBytes) {
      if (uplink.kind === 'reply') inbox.unrefused(uplink.epoch, uplink.offset, nowMs)
      tooLarge(outbox.remove())
      continue
    }
    outbox.written(nowMs)
    wrote = true
    if (uplink.kind === 'reply') {
      inbox.replied(uplink.epoch, uplink.offset)
      const epoch = inbox.isPlain(uplink.epoch) ? undefined : uplink.epoch
      link.write({ ...uplink, type: 'reply', channelNumber: number, epoch })
      continue
    }
    const payloads = [uplink.payload]
    const bytesMax = Math.min(limits.batchMaxBytes, session.frameMaxBytes)
    const countMax = Math.min(limits.batchMaxMessages, batchMax)
    let bytes = frameBytes(uplink)
    let last = uplink
    while (mayBatch && payloads.length < countMax) {
      const next = outbox.peek(session.uplinkWindowMax)?.uplink
      if (next === undefined || !continues(last, next)) break
      bytes += next.payload.length + 4
      if (bytes > bytesMax) break
      outbox.written(nowMs)
      payloads.push(next.payload)
      last = next
    }
    const { sequence, name, binary, payload } = uplink
    link.write(
      payloads.length === 1
        ? { type: 'event', channelNumber: number, sequence, name, payload, binary }
        : { type: 'batch', channelNumber: number, sequence, name, payloads, binary },
    )
  }
  return wrote
}

/** May it stand in one BATCH behind the other? */
const continues = (
  last: Uplink & { readonly kind: 'event' },
  next: Uplink,
): next is Uplink & { readonly kind: 'event' } =>
  next.kind === 'event' &&
  next.sequence === last.sequence + 1 &&
  next.name === last.name &&
  next.binary === last.binary

const frameBytes = (uplink: Uplink): number =>
  frameExtraBytes +
  uplink.payload.length +
  Buffer.byteLength(uplink.kind === 'event' ? uplink.name : (uplink.reason ?? ''))
