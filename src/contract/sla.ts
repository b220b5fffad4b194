import type { AppId } from './ids.ts'

/**
 * Service figures as Pike defines them: how often and how fast messages make the round trip, and
 * how long a channel takes to be usable. One series an app, protocol and device class; what is
 * beyond the bounds of each is summed under `other`. They count from the start of this process.
 *
 * A message counts once, however often it comes or goes. Success is the share acknowledged, over a
 * time far longer than a round trip, since what is under way is not acknowledged yet.
 */
export interface SlaSeries {
  readonly app: AppId
  readonly protocol: string
  /** `attributes.class` of the device, e.g. `battery`; `none` without. */
  readonly deviceClass: string
  /** Uplinks and replies received, and of those kept and acknowledged. Known repeats are none. */
  readonly uplinks: number
  readonly uplinksAcknowledged: number
  /** From received to acknowledged. */
  readonly uplinkSeconds: Histogram
  /**
   * Commands written to a link, and of those acknowledged: by acknowledgement, reply or position.
   * One that ends without stays unacknowledged, whatever proof comes later.
   */
  readonly downlinks: number
  readonly downlinksAcknowledged: number
  /** From first written to acknowledged. */
  readonly downlinkSeconds: Histogram
  /** Attaches that led to a session that was started. */
  readonly channels: number
  /** From asking to attach until commands can pass. */
  readonly channelSeconds: Histogram
}

export interface Histogram {
  /** Upper bounds in seconds, ascending; counts are not cumulative, one more for what is above all. */
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
  readonly sum: number
}
