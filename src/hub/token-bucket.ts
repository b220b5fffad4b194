/**
 * So many a second, and after a pause at most one second's worth at once.
 *
 *     burst ───────╮            ╭─────      one second's worth, at least 1
 *                  ╰╮   ╭──────╯
 *         0 ────────┼──╭╯───────────        taken faster than it fills: whoever comes must wait
 *                   ╰──╯                    below: owed, by what could not be refused
 *
 * Holds no timer: time is an argument.
 */
export class TokenBucket {
  #perSecond: number
  #level: number
  #atMs: number

  /** @param level what is in it at the start; undefined: full. */
  constructor(perSecond: number, nowMs: number, level?: number) {
    this.#perSecond = perSecond
    this.#atMs = nowMs
    this.#level = level ?? this.burst
  }

  get perSecond(): number {
    return this.#perSecond
  }

  get burst(): number {
    return Math.max(1, this.#perSecond)
  }

  /** Another rate from now on. */
  turn(perSecond: number, nowMs: number): void {
    this.#fill(nowMs)
    this.#perSecond = perSecond
    this.#level = Math.min(this.#level, this.burst)
  }

  /** How long until one can be taken with so many left; 0: now. At most {@link waitMaxMs}. */
  waitMs(nowMs: number, left = 0): number {
    this.#fill(nowMs)
    return this.#untilMs(Math.min(1 + left, this.burst))
  }

  /** Take one if there is one with so many left. @returns 0, or how long until there is. */
  take(nowMs: number, left = 0): number {
    const waitMs = this.waitMs(nowMs, left)
    if (waitMs === 0) this.#level -= 1
    return waitMs
  }

  /** Take them, there or not. @returns how long until they are paid for; 0: they were there. */
  owe(count: number, nowMs: number): number {
    this.#fill(nowMs)
    this.#level = Math.max(this.#level - count, (-this.burst * waitMaxMs) / 1_000)
    return this.#untilMs(0)
  }

  #untilMs(level: number): number {
    const missing = level - this.#level
    if (missing <= rounding) return 0
    return Math.min(waitMaxMs, Math.ceil((missing * 1_000) / this.#perSecond - rounding))
  }

  #fill(nowMs: number): void {
    if (nowMs <= this.#atMs) return
    const more = ((nowMs - this.#atMs) * this.#perSecond) / 1_000
    this.#level = Math.min(this.burst, this.#level + more)
    this.#atMs = nowMs
  }
}

/** Nobody is told to wait longer, and no more than this is ever owed. */
export const waitMaxMs = 600_000
/** What adding up fractions may lose. */
const rounding = 1e-6
