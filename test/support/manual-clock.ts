import assert from 'node:assert/strict'
import type { Clock, Timer } from '../../src/contract/index.ts'

interface Waiting extends Timer {
  readonly atMs: number
  readonly name: string
  readonly run: () => void
}

/**
 * Virtual time: it stands still until told to move, and timers run one by one, in order of their
 * time (then of their making), each seeing its own moment as now.
 *
 * A timer set for now or earlier runs at the next `advance`, even `advance(0)`; never inside `at`.
 */
export class ManualClock implements Clock {
  #nowMs: number
  #waiting: Waiting[] = []

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  at(atMs: number, name: string, run: () => void): Timer {
    const timer: Waiting = {
      atMs,
      name,
      run,
      cancel: () => {
        this.#waiting = this.#waiting.filter((other) => other !== timer)
      },
    }
    const later = this.#waiting.findIndex((other) => other.atMs > atMs)
    if (later === -1) this.#waiting.push(timer)
    else this.#waiting.splice(later, 0, timer)
    return timer
  }

  /** Let time pass; what is due meanwhile runs, also what is set meanwhile. */
  advance(ms: number): void {
    this.set(this.#nowMs + ms)
  }

  /** Let time pass until a moment. It never goes back. */
  set(atMs: number): void {
    assert.ok(atMs >= this.#nowMs, `time would go back from ${this.#nowMs} to ${atMs}`)
    for (;;) {
      const next = this.#waiting[0]
      if (next === undefined || next.atMs > atMs) break
      this.#waiting.shift()
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
    }
    this.#nowMs = Math.max(this.#nowMs, atMs)
  }

  /** What waits, soonest first. */
  waiting(): readonly { readonly name: string; readonly atMs: number }[] {
    return this.#waiting.map(({ name, atMs }) => ({ name, atMs }))
  }
}
