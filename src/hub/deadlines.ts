import type { Clock, Timer } from '../contract/index.ts'

/** Something that wants to be woken when its deadline has come. */
export interface Sleeper {
  /** When it wants to be woken, as of now; Infinity for never. May move without notice. */
  readonly deadlineMs: number
  wake(nowMs: number): void
  /** Owned by {@link Deadlines}: its place in the heap, -1 for none, and the time it stands there for. */
  heapIndex: number
  armedAtMs: number
}

/**
 * Any number of deadlines on one timer, one place in a heap each.
 *
 *              3        the timer stands for the earliest
 *            ╱   ╲
 *           7     4     armedAtMs; a deadline that moved later since is found so when its time comes
 *          ╱ ╲
 *         9   8
 *
 * So a channel that hears from its device a hundred times a second touches the heap once an interval.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #heap: Sleeper[] = []
  #timer: Timer | undefined
  #timerAtMs = Number.POSITIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Call whenever a sleeper's deadline may have moved earlier. */
  arm(sleeper: Sleeper): void {
    const atMs = sleeper.deadlineMs
    if (sleeper.heapIndex >= 0 && atMs >= sleeper.armedAtMs) return
    if (atMs === Number.POSITIVE_INFINITY) return
    sleeper.armedAtMs = atMs
    if (sleeper.heapIndex < 0) {
      sleeper.heapIndex = this.#heap.length
      this.#heap.push(sleeper)
    }
    this.#rise(sleeper)
    this.#setTimer()
  }

  /** It does not want to be woken any more, and is not held. */
  remove(sleeper: Sleeper): void {
    const at = sleeper.heapIndex
    if (at < 0) return
    sleeper.heapIndex = -1
    const last = this.#heap.pop()!
    if (last === sleeper) return
    this.#put(last, at)
    this.#rise(last)
    this.#sink(last)
  }

  get size(): number {
    return this.#heap.length
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    for (const sleeper of this.#heap.splice(0)) sleeper.heapIndex = -1
  }

  #setTimer(): void {
    const first = this.#heap[0]
    if (first === undefined || first.armedAtMs >= this.#timerAtMs) return
    this.#timer?.cancel()
    this.#timerAtMs = first.armedAtMs
    this.#timer = this.#clock.at(first.armedAtMs, 'deadlines', () => this.#fire())
  }

  #fire(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY
    const nowMs = this.#clock.nowMs()
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.armedAtMs > nowMs) break
      this.remove(first)
      if (first.deadlineMs <= nowMs) first.wake(nowMs)
      this.arm(first)
    }
    this.#setTimer()
  }

  #put(sleeper: Sleeper, at: number): void {
    this.#heap[at] = sleeper
    sleeper.heapIndex = at
  }

  #rise(sleeper: Sleeper): void {
    let at = sleeper.heapIndex
    while (at > 0) {
      const above = this.#heap[(at - 1) >> 1]!
      if (above.armedAtMs <= sleeper.armedAtMs) break
      const its = above.heapIndex
      this.#put(above, at)
      at = its
    }
    this.#put(sleeper, at)
  }

  #sink(sleeper: Sleeper): void {
    let at = sleeper.heapIndex
    for (;;) {
      let below = at * 2 + 1
      if (below >= this.#heap.length) break
      const right = this.#heap[below + 1]
      if (right !== undefined && right.armedAtMs < this.#heap[below]!.armedAtMs) below++
      const child = this.#heap[below]!
      if (child.armedAtMs >= sleeper.armedAtMs) break
      this.#put(child, at)
      at = below
    }
    this.#put(sleeper, at)
  }
}
