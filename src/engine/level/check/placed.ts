import type { ChannelId } from '../../../contract/index.ts'
import { placedKey } from '../keys.ts'
import { decodePlaced } from '../schedule-record.ts'
import type { Looking } from './looking.ts'

/** A command that was scheduled, where it lies now. */
export interface Lying {
  readonly channel: ChannelId
  readonly scheduled: number
  readonly epoch: number
  readonly offset: number
  readonly acceptedAtMs: number
}

export const placedOf = (
  looking: Looking,
  lying: readonly Lying[],
): Promise<(Buffer | undefined)[]> =>
  looking.many(lying.map(({ channel, scheduled }) => placedKey(channel, scheduled)))

/** Whether it is found by the number it was scheduled with; says if not. */
export function sayPlaced(looking: Looking, lying: Lying, way: Buffer | undefined): boolean {
  const { channel, scheduled, epoch, offset, acceptedAtMs } = lying
  const key = placedKey(channel, scheduled)
  if (way === undefined) {
    looking.found('schedule-broken', key, `nothing leads to its place ${offset}`)
    return false
  }
  const placed = looking.read(key, () => decodePlaced(way))
  if (placed === undefined) return true
  const leads =
    placed.epoch === epoch && placed.offset === offset && placed.acceptedAtMs === acceptedAtMs
  if (!leads) looking.found('schedule-broken', key, `it leads elsewhere than to ${offset}`)
  return true
}
