/** Numbers that look like chance and are the same for the same seed (mulberry32). */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to under 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from)
  }

  /** As likely from 60 to 120 as from 600 to 1,200. */
  scaled(from: number, to: number): number {
    return from * (to / from) ** this.next()
  }

  /** Time until the next of what comes so often on average. */
  wait(meanMs: number): number {
    return -Math.log(1 - this.next()) * meanMs
  }
}
