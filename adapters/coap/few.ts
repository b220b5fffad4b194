const none: readonly never[] = []

/**
 * A Map for a handful: an empty one or one of two entries takes a third of a Map's memory, and every
 * device at rest has some of these. What changes while it is gone through is not seen by who does.
 */
export class Few<Key, Value> {
  #entries: readonly (readonly [Key, Value])[] = none

  has(key: Key): boolean {
    return this.get(key) !== undefined
  }

  get(key: Key): Value | undefined {
    for (const entry of this.#entries) if (entry[0] === key) return entry[1]
    return undefined
  }

  set(key: Key, value: Value): void {
    this.#entries = this.#entries.filter((entry) => entry[0] !== key).concat([[key, value]])
  }

  delete(key: Key): void {
    this.#entries = this.#entries.filter((entry) => entry[0] !== key)
  }

  *values(): IterableIterator<Value> {
    for (const entry of this.#entries) yield entry[1]
  }

  [Symbol.iterator](): IterableIterator<readonly [Key, Value]> {
    return this.#entries[Symbol.iterator]()
  }
}
