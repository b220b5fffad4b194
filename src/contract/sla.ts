import type { AppId } from './ids.ts'

/**
 * Service figures as Pike defines them: how often and how fast messages make the round trip, and
 * how long a channel takes to be usable. One series an app, protocol and device class; what is
 * beyond the bounds of each is summed under `other`.
 */
export interface SlaSeries {
  readonly app: AppId
  readonly protocol: string
  /** `attributes.class` of the device, e.g. `battery`; `none` without. */
  readonly deviceClass: string
  /** Uplinks received, and of those kept and acknowledged. */
  readonly uplinks: number
  readonly uplinksAcknowledged: number
  /** From received to acknowledged. */
  readonly uplinkSeconds: Histogram
  /** Commands written to a link, and of those acknowledged. */
  readonly downlinks: number
  readonly downlinksAcknowledged: number
  /** From written to acknowledged. */
  readonly downlinkSeconds: Histogram
  /** Attaches that led to a session. */
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
