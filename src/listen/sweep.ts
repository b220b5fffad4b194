import type { Clock, Timer } from '../contract/index.ts'

/**
 * Things that must be over within the same time, and one timer for them all. They stand in order of
 * their end, since each gets as long as the others.
 *
 *     | oldest | .. | newest |
 *       ^ the timer waits for this one
 */
export class Sweep<T> {
  readonly #clock: Clock
  readonly #afterMs: number
  readonly #name: string
  readonly #overdue: (item: T) => void
  readonly #ends = new Map<T, number>()
  #timer: Timer | undefined

  constructor(clock: Clock, afterMs: number, name: string, overdue: (item: T) => void) {
    this.#clock = clock
    this.#afterMs = afterMs
    this.#name = name
    this.#overdue = overdue
  }

  get size(): number {
    return this.#ends.size
  }

  /** The time runs from now. */
  add(item: T): void {
    this.#ends.delete(item)
    this.#ends.set(item, this.#clock.nowMs() + this.#afterMs)
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
      this.#timer = this.#clock.at(endMs, this.#name, () => this.#run())
      return
    }
  }

  #run(): void {
    this.#timer = undefined
    const nowMs = this.#clock.nowMs()
    for (const [item, endMs] of this.#ends) {
      if (endMs > nowMs) break
      this.#ends.delete(item)
      this.#overdue(item)
    }
    this.#arm()
  }
}
