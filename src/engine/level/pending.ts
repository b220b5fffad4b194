/**
 * What is written and not durable yet, by key in the store. A later write of the same key in the
 * same commit stands for the earlier one.
 *
 *     set ──▶ fresh ──encode──▶ writing ──synced──▶ told, then forgotten
 */
export class Pending<T> {
  readonly #durable: (at: string, value: T) => void
  #fresh = new Map<string, T>()
  #writing = new Map<string, T>()

  /** `durable` is told what is durable now, each key once a commit. */
  constructor(durable: (at: string, value: T) => void) {
    this.#durable = durable
  }

  /** What will be there; undefined when nothing of this key is on its way. */
  get(at: string): T | undefined {
    return this.#fresh.get(at) ?? this.#writing.get(at)
  }

  set(at: string, value: T): void {
    this.#fresh.set(at, value)
  }

  *values(): Iterable<T> {
    for (const [at, value] of this.#writing) if (!this.#fresh.has(at)) yield value
    yield* this.#fresh.values()
  }

  encode(): void {
    this.#writing = this.#fresh
    this.#fresh = new Map()
  }

  /** @returns whether anything became durable. */
  synced(): boolean {
    if (this.#writing.size === 0) return false
    for (const [at, value] of this.#writing) this.#durable(at, value)
    this.#writing = new Map()
    return true
  }

  drop(): void {
    this.#fresh = new Map()
    this.#writing = new Map()
  }
}
