import type { Clock, Timer } from '../contract/index.ts'

/** Something that wants to be woken when its deadline has come. */
export interface Sleeper {
  /** When it wants to be woken, as of now; Infinity for never. May move without notice. */
  readonly deadlineMs: number
  wake(nowMs: number): void
  /** Owned by {@link Deadlines}: the earliest entry that stands in the heap for it. */
  armedAtMs: number
}

/**
 * Any number of deadlines on one timer.
 *
 * A deadline that moves later costs nothing: its old entry fires, finds the new time, and is armed
 * again. Only one that moves earlier than its entry is pushed at once. So a channel that hears from
 * its device a hundred times a second touches the heap once an interval.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #heap: { atMs: number; sleeper: Sleeper }[] = []
  #timer: Timer | undefined
  #timerAtMs = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Call whenever a sleeper's deadline may have moved earlier. */
  arm(sleeper: Sleeper): void {
    const atMs = sleeper.deadlineMs
    if (atMs >= sleeper.armedAtMs) return
    sleeper.armedAtMs = atMs
    this.#push({ atMs, sleeper })
    this.#setTimer()
  }

  get size(): number {
    return this.#heap.length
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#heap.length = 0
  }

  #setTimer(): void {
    const first = this.#heap[0]
    if (first === undefined || first.atMs >= this.#timerAtMs) return
    this.#timer?.cancel()
    this.#timerAtMs = first.atMs
    this.#timer = this.#clock.at(first.atMs, 'deadlines', () => this.#fire())
  }

  #fire(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY
    const nowMs = this.#clock.nowMs()
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.atMs > nowMs) break
      this.#pop()
      const { atMs, sleeper } = first
      if (sleeper.armedAtMs !== atMs) continue // an earlier entry has taken its place
      sleeper.armedAtMs = Number.POSITIVE_INFINITY
      if (sleeper.deadlineMs <= nowMs) sleeper.wake(nowMs)
      this.arm(sleeper)
    }
    this.#setTimer()
  }

  #push(entry: { atMs: number; sleeper: Sleeper }): void {
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (heap[above]!.atMs <= entry.atMs) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let below = at * 2 + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && heap[below + 1]!.atMs < heap[below]!.atMs) below++
      if (heap[below]!.atMs >= last.atMs) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = last
  }
}
