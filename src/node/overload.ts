/**
 * How much too much there is, by its signals: each as a share of its bound, 1: at it.
 *
 *     level   0 nothing
 *             1 new connections are refused, with a time to come back
 *             2 reports that nobody expects to be acknowledged are dropped
 *             3 windows are narrow: fewer commands are out on each link
 *             4 calls of back ends that accept commands get 429
 *             5 devices are sent away, a slice at a time
 *
 * Up by one when the worst signal has been over its bound for `upMs` on end; down by one when all have
 * been well below for `downMs`. In between nothing changes, so that it does not swing. Pure: time
 * comes in. Commands, replies and acknowledged reports are never dropped.
 */
export interface OverloadTimes {
  readonly upMs: number
  readonly downMs: number
}

export const overloadLevelMax = 5
/** Below this share of its bound a signal is well. */
export const wellShare = 0.7

export class Overload {
  readonly #times: OverloadTimes
  #level = 0
  /** Since when it is over, or well; undefined: neither. */
  #over: number | undefined
  #well: number | undefined

  constructor(times: OverloadTimes) {
    this.#times = times
  }

  get level(): number {
    return this.#level
  }

  /** @param worst the largest share of all signals. @returns the level from now on. */
  look(worst: number, nowMs: number): number {
    const { upMs, downMs } = this.#times
    if (worst >= 1) this.#over ??= nowMs
    else this.#over = undefined
    if (worst < wellShare) this.#well ??= nowMs
    else this.#well = undefined
    if (this.#over !== undefined && nowMs - this.#over >= upMs) {
      this.#over = nowMs
      this.#level = Math.min(overloadLevelMax, this.#level + 1)
    } else if (this.#well !== undefined && nowMs - this.#well >= downMs) {
      this.#well = nowMs
      this.#level = Math.max(0, this.#level - 1)
    }
    return this.#level
  }
}
