import type { Clock, Timer } from '../contract/index.ts'

/** How often a fair one looks whether it runs, and from when on it did not. */
const lookMs = 250
const lateMinMs = 50

/**
 * Things that must be over within the same time, and one timer for them all. They stand in order of
 * their end, since each gets as long as the others.
 *
 *     | oldest | .. | newest |
 *       ^ the timer waits for this one
 *
 * Where others have to do something in that time, only time counts in which we could hear them: a
 * process with too much to do finds that the time is over before it has read what came meanwhile.
 * Without that, ten thousand that come at once are all sent back to come again.
 */
export class Sweep<T> {
  readonly #clock: Clock
  readonly #afterMs: number
  readonly #name: string
  readonly #overdue: (item: T) => void
  readonly #fair: boolean
  /** When we were not there, of all time so far, and the last time. */
  #missedMs = 0
  #lateMs = 0
  readonly #ends = new Map<T, number>()
  #timer: Timer | undefined

  /** @param fair 'fair': time in which we did not get to run does not count. */
  constructor(
    clock: Clock,
    afterMs: number,
    name: string,
    overdue: (item: T) => void,
    fair?: 'fair',
  ) {
    this.#clock = clock
    this.#afterMs = afterMs
    this.#name = name
    this.#overdue = overdue
    this.#fair = fair === 'fair'
  }

  get size(): number {
    return this.#ends.size
  }

  /** How late we were when it was looked at last, of a fair one that has something to look at. */
  get lateMs(): number {
    return this.#ends.size === 0 ? 0 : this.#lateMs
  }

  /** The time runs from now. */
  add(item: T): void {
    this.#ends.delete(item)
    this.#ends.set(item, this.#clock.nowMs() - this.#missedMs + this.#afterMs)
    this.#arm()
  }

  remove(item: T): void {
    this.#ends.delete(item)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#ends.clear()
  }

  /** Late removals leave the timer standing: it finds nothing to do and goes. */
  #arm(): void {
    if (this.#timer !== undefined) return
    for (const endMs of this.#ends.values()) {
      const dueMs = endMs + this.#missedMs
      const atMs = this.#fair ? Math.min(dueMs, this.#clock.nowMs() + lookMs) : dueMs
      this.#timer = this.#clock.at(atMs, this.#name, () => this.#run(atMs))
      return
    }
  }

  #run(atMs: number): void {
    this.#timer = undefined
    const lateMs = this.#clock.nowMs() - atMs
    this.#lateMs = lateMs
    if (this.#fair && lateMs >= lateMinMs) this.#missedMs += lateMs
    const nowMs = this.#clock.nowMs() - this.#missedMs
    for (const [item, endMs] of this.#ends) {
      if (endMs > nowMs) break
      this.#ends.delete(item)
      this.#overdue(item)
    }
    this.#arm()
  }
}
