/** Random numbers that a seed repeats. Source: mulberry32, public domain. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number from 0 up to, not including, `bound`. */
  below(bound: number): number {
    return Math.floor(this.next() * bound)
  }

  /** A whole number from `min` to `max`, both possible. */
  int(min: number, max: number): number {
    return min + this.below(max - min + 1)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(0, from.length - 1)]!
  }

  /** Another sequence, so that one part's draws do not shift another's. */
  fork(): Random {
    return new Random(this.int(0, 0xffff_ffff))
  }
}

/** For those that only ever ask for a whole number below a bound. */
export function randomBy(seed: number): (bound: number) => number {
  const random = new Random(seed)
  return (bound) => random.below(bound)
}
