import type { Clock, Timer } from '../contract/index.ts'

/** setTimeout counts in 31 bits; what lies further away is reached in steps. */
const stepMaxMs = 2 ** 31 - 1

/** A store's last time mark older than this is worth a word: was the clock right then, or now? */
export const jumpMs = 3_600_000
/** How long nothing expires after such a jump, so that a person can stop us. */
export const expiryHoldMs = 60_000

/**
 * The real clock: wall time when it was made plus monotonic time since, so that whoever sets the
 * computer's clock while we run expires nothing. Whole milliseconds. Source: rule 34.
 */
export class SystemClock implements Clock {
  lastMs = 0
  #baseMs: number
  #aheadMs = 0
  readonly #monotonicMs: () => number

  /** Both arguments are for tests. */
  constructor(wallMs: number = Date.now(), monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs
    this.#baseMs = wallMs - monotonicMs()
  }

  nowMs(): number {
    this.lastMs = Math.floor(this.#baseMs + this.#monotonicMs())
    return this.lastMs
  }

  /**
   * Time never starts before the store's last time mark (rule 34). For the engine, while it opens,
   * before anything else reads the clock.
   */
  startAtLeast(markMs: number): void {
    const nowMs = this.nowMs()
    this.#aheadMs = Math.max(0, nowMs - markMs)
    if (nowMs < markMs) this.#baseMs += markMs - nowMs
  }

  /** How long before our start the store's last time mark was, ms; 0 without one. */
  get aheadMs(): number {
    return this.#aheadMs
  }

  at(atMs: number, _name: string, run: () => void): Timer {
    let timeout: NodeJS.Timeout
    const arm = (): void => {
      const waitMs = Math.max(0, atMs - this.nowMs())
      timeout = setTimeout(fire, Math.min(waitMs, stepMaxMs))
    }
    // Node may fire a timer a fraction of a millisecond early; "at or after" is what was promised.
    const fire = (): void => (this.nowMs() < atMs ? arm() : run())
    arm()
    return { cancel: () => clearTimeout(timeout) }
  }
}
