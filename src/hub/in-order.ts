/** Steps that are taken at once, or, while one of them waits for something, one after the other. */
export class InOrder {
  #waiting: (() => void)[] | undefined

  get isWaiting(): boolean {
    return this.#waiting !== undefined
  }

  /** Only while it is waiting. */
  later(step: () => void): void {
    this.#waiting!.push(step)
  }

  /** Only from a step: what follows waits until this has come or failed. */
  until<T>(what: Promise<T>, came: (value: T) => void, failed: () => void): void {
    this.#waiting = []
    what.then(
      (value) => this.#go(() => came(value)),
      () => this.#go(failed),
    )
  }

  #go(first: () => void): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    first()
    for (const next of waiting) {
      // A step before it may wait in its turn.
      if (this.#waiting === undefined) next()
      else this.later(next)
    }
  }
}
