import type { ChannelId } from '../../contract/index.ts'

/** What is held of a command that waits for its time; the rest is in the store. */
export interface Waiting {
  readonly channel: ChannelId
  readonly scheduled: number
  readonly notBeforeMs: number
  /** The commit in which it was kept. */
  readonly keptIn: number
  /** Place in the timetable; -1 for none. */
  heapIndex: number
}

/** Scheduled commands by the time at which they are due: a binary heap. */
export class Timetable {
  readonly #heap: Waiting[] = []

  get first(): Waiting | undefined {
    return this.#heap[0]
  }

  add(waiting: Waiting): void {
    this.#up(waiting, this.#heap.push(waiting) - 1)
  }

  remove(waiting: Waiting): void {
    const { heapIndex } = waiting
    if (heapIndex === -1) return
    waiting.heapIndex = -1
    const last = this.#heap.pop()!
    if (last === waiting) return
    this.#up(last, heapIndex)
    this.#down(last, last.heapIndex)
  }

  /** Those due by then, earliest first, at most `max`. They stay. */
  dueBy(nowMs: number, max: number): Waiting[] {
    const due: Waiting[] = []
    for (let { first } = this; first !== undefined && due.length < max; first = this.first) {
      if (first.notBeforeMs > nowMs) break
      due.push(first)
      this.remove(first)
    }
    for (const waiting of due) this.add(waiting)
    return due
  }

  clear(): void {
    this.#heap.length = 0
  }

  #up(waiting: Waiting, from: number): void {
    let index = from
    while (index > 0) {
      const above = (index - 1) >>> 1
      const parent = this.#heap[above]!
      if (!isBefore(waiting, parent)) break
      this.#put(parent, index)
      index = above
    }
    this.#put(waiting, index)
  }

  #down(waiting: Waiting, from: number): void {
    let index = from
    for (;;) {
      let below = 2 * index + 1
      if (below >= this.#heap.length) break
      const right = this.#heap[below + 1]
      if (right !== undefined && isBefore(right, this.#heap[below]!)) below += 1
      const child = this.#heap[below]!
      if (!isBefore(child, waiting)) break
      this.#put(child, index)
      index = below
    }
    this.#put(waiting, index)
  }

  #put(waiting: Waiting, index: number): void {
    this.#heap[index] = waiting
    waiting.heapIndex = index
  }
}

/** What is due at once goes in the order it was accepted. */
const isBefore = (a: Waiting, b: Waiting): boolean =>
  a.notBeforeMs < b.notBeforeMs || (a.notBeforeMs === b.notBeforeMs && a.scheduled < b.scheduled)
