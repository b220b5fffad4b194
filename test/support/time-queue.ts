/** What happens next in a simulation: by time; what was added first comes first. */
export class TimeQueue<T> {
  readonly #heap: { readonly atMs: number; readonly n: number; readonly what: T }[] = []
  #added = 0

  add(atMs: number, what: T): void {
    const heap = this.#heap
    const entry = { atMs, n: this.#added++, what }
    let at = heap.push(entry) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!this.#before(entry, heap[above]!)) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = entry
  }

  take(): { readonly atMs: number; readonly what: T } | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && this.#before(heap[below + 1]!, heap[below]!)) below++
      if (!this.#before(heap[below]!, last)) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = last
    return first
  }

  #before(
    a: { readonly atMs: number; readonly n: number },
    b: { readonly atMs: number; readonly n: number },
  ): boolean {
    return a.atMs < b.atMs || (a.atMs === b.atMs && a.n < b.n)
  }
}
