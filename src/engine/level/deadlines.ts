import type { Channel } from './channel.ts'

/** Channels by the earliest time at which one of their commands may be due: a binary heap. */
export class Deadlines {
  readonly #heap: Channel[] = []

  get first(): Channel | undefined {
    return this.#heap[0]
  }

  get size(): number {
    return this.#heap.length
  }

  /** Change a channel's bound; Infinity takes it out. */
  move(channel: Channel, dueAtMs: number): void {
    channel.dueAtMs = dueAtMs
    if (dueAtMs === Number.POSITIVE_INFINITY) {
      if (channel.heapIndex !== -1) this.#remove(channel)
    } else if (channel.heapIndex === -1) {
      this.#up(channel, this.#heap.push(channel) - 1)
    } else {
      this.#up(channel, channel.heapIndex)
      this.#down(channel, channel.heapIndex)
    }
  }

  /** Out of the way of others until it is moved again. Its bound stays, for its record needs it. */
  aside(channel: Channel): void {
    if (channel.heapIndex !== -1) this.#remove(channel)
  }

  /** Something of it is due at this time, if nothing is earlier. */
  lower(channel: Channel, dueAtMs: number): void {
    if (dueAtMs < channel.dueAtMs) this.move(channel, dueAtMs)
  }

  clear(): void {
    for (const channel of this.#heap) channel.heapIndex = -1
    this.#heap.length = 0
  }

  #remove(channel: Channel): void {
    const index = channel.heapIndex
    channel.heapIndex = -1
    const last = this.#heap.pop()!
    if (last === channel) return
    this.#up(last, index)
    this.#down(last, last.heapIndex)
  }

  #up(channel: Channel, from: number): void {
    let index = from
    while (index > 0) {
      const above = (index - 1) >>> 1
      const parent = this.#heap[above]!
      if (parent.dueAtMs <= channel.dueAtMs) break
      this.#put(parent, index)
      index = above
    }
    this.#put(channel, index)
  }

  #down(channel: Channel, from: number): void {
    let index = from
    for (;;) {
      let below = 2 * index + 1
      if (below >= this.#heap.length) break
      const right = this.#heap[below + 1]
      if (right !== undefined && right.dueAtMs < this.#heap[below]!.dueAtMs) below += 1
      const child = this.#heap[below]!
      if (child.dueAtMs >= channel.dueAtMs) break
      this.#put(child, index)
      index = below
    }
    this.#put(channel, index)
  }

  #put(channel: Channel, index: number): void {
    this.#heap[index] = channel
    channel.heapIndex = index
  }
}
