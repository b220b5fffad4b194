import type { Clock } from '../contract/index.ts'

/** Names counted at once; beyond, the oldest are forgotten. */
const namesMax = 10_000
const minuteMs = 60_000

/** How often something happened within a minute of its first time, by whom. */
export class MinuteCounters {
  readonly #clock: Clock
  readonly #max: number
  readonly #counters = new Map<string, { sinceMs: number; count: number }>()

  /** @param max from so many on whoever is counted {@link isOver}. */
  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  isOver(who: string): boolean {
    const counter = this.#counters.get(who)
    if (counter === undefined) return false
    if (this.#clock.nowMs() - counter.sinceMs >= minuteMs) {
      this.#counters.delete(who)
      return false
    }
    return counter.count >= this.#max
  }

  count(who: string): void {
    const nowMs = this.#clock.nowMs()
    const counter = this.#counters.get(who)
    if (counter !== undefined && nowMs - counter.sinceMs < minuteMs) {
      counter.count++
      return
    }
    if (this.#counters.size >= namesMax) {
      for (const oldest of this.#counters.keys()) {
        this.#counters.delete(oldest)
        break
      }
    }
    this.#counters.set(who, { sinceMs: nowMs, count: 1 })
  }
}
