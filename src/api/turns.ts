/**
 * One after another where things are of the same name, side by side where they are not: reading,
 * changing and writing a record must not overlap with another call that does the same.
 */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  async take<T>(name: string, run: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name)
    const mine = before === undefined ? run() : before.then(run, run)
    this.#last.set(name, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(name) === mine) this.#last.delete(name)
    }
  }

  /**
   * As `take`, for many names at once. All are asked for in one step, so of two calls with names in
   * common one comes wholly before the other and they cannot wait for each other.
   */
  async takeAll<T>(names: Iterable<string>, run: () => Promise<T>): Promise<T> {
    const all = [...new Set(names)]
    const before = all.map((name) => this.#last.get(name))
    const mine = Promise.allSettled(before).then(run)
    for (const name of all) this.#last.set(name, mine)
    try {
      return await mine
    } finally {
      for (const name of all) if (this.#last.get(name) === mine) this.#last.delete(name)
    }
  }
}
