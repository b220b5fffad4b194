/**
 * Calls that are held open until something happens: counted, bounded, and let go when the server
 * stops, so that stopping never waits for a back end's patience.
 */
export class Holds {
  readonly #max: number
  readonly #held = new Set<() => void>()
  #closed = false

  constructor(max: number) {
    this.#max = max
  }

  get closed(): boolean {
    return this.#closed
  }

  get count(): number {
    return this.#held.size
  }

  get room(): boolean {
    return !this.#closed && this.#held.size < this.#max
  }

  /** Held until `done` is called. `closing` is called if the server stops first. */
  add(closing: () => void): () => void {
    this.#held.add(closing)
    if (this.#closed) closing()
    return () => this.#held.delete(closing)
  }

  /** What the promise gives, or `otherwise` if the server stops first. */
  until<T>(promise: Promise<T>, otherwise: T): Promise<T> {
    return new Promise((resolve, reject) => {
      const done = this.add(() => resolve(otherwise))
      promise.then(resolve, reject).finally(done)
    })
  }

  close(): void {
    this.#closed = true
    for (const closing of [...this.#held]) closing()
    this.#held.clear()
  }
}
