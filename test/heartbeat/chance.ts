import { Random } from '../support/random.ts'

/** Random numbers as networks draw them. */
export class Chance extends Random {
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
