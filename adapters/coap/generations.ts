/**
 * A bounded memory of two generations: who is asked for or put again is young; when the young are too
 * many or too old, they become the old and the old are forgotten, all at once.
 *
 *     put ──▶ | young ≤ max / 2 |  ──▶  | old |  ──▶ forgotten
 */
export class Generations<Value> {
  readonly #halfMax: number
  readonly #ageMaxMs: number
  #young = new Map<string, Value>()
  #old = new Map<string, Value>()
  #turnAtMs: number

  /** @param ageMaxMs each is kept at least so long, unless there are more than `max`. */
  constructor(max: number, ageMaxMs: number, nowMs: number) {
    this.#halfMax = Math.max(1, Math.ceil(max / 2))
    this.#ageMaxMs = ageMaxMs
    this.#turnAtMs = nowMs + ageMaxMs
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: string): Value | undefined {
    return this.#young.get(key) ?? this.#old.get(key)
  }

  put(key: string, value: Value, nowMs: number): void {
    if (this.#young.size >= this.#halfMax && !this.#young.has(key)) this.#turn(nowMs)
    this.#young.set(key, value)
  }

  delete(key: string): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }

  /** Call now and then, so that what is old goes though nothing comes. */
  sweep(nowMs: number): void {
    if (nowMs >= this.#turnAtMs) this.#turn(nowMs)
  }

  #turn(nowMs: number): void {
    this.#old = this.#young
    this.#young = new Map()
    this.#turnAtMs = nowMs + this.#ageMaxMs
  }
}
