import type { Clock, Timer } from '../contract/index.ts'

const sliceMs = 1_000

/** What is looked at once a period. */
export interface Patrolled {
  patrol(): void
  /** Ours: where it is on the round. */
  patrolSlice: number
}

/**
 * Looks at every attached channel once a period, a slice a second, for mail whose hint was lost:
 * the bus only hints, the mailbox knows.
 *
 *     slices   0 1 2 3 4 … 39        each has its fortieth of the channels, and its second
 *                  ^ now             who attaches is dealt to the next in turn, and stays there
 *
 * So who comes and goes, however often, keeps nobody else waiting.
 */
export class Patrol {
  readonly #clock: Clock
  readonly #slices: readonly Set<Patrolled>[]
  readonly #each: (nowMs: number) => void
  #now = 0
  #dealt = 0
  #timer: Timer | undefined

  /** @param each called once a slice. */
  constructor(clock: Clock, periodMs: number, each: (nowMs: number) => void) {
    this.#clock = clock
    const count = Math.max(1, Math.floor(periodMs / sliceMs))
    this.#slices = Array.from({ length: count }, () => new Set())
    this.#each = each
  }

  start(): void {
    this.#timer = this.#clock.at(this.#clock.nowMs() + sliceMs, 'patrol', () => {
      this.#slice()
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  add(one: Patrolled): void {
    one.patrolSlice = this.#dealt++ % this.#slices.length
    this.#slices[one.patrolSlice]!.add(one)
  }

  remove(one: Patrolled): void {
    this.#slices[one.patrolSlice]!.delete(one)
  }

  #slice(): void {
    this.#each(this.#clock.nowMs())
    const slice = this.#slices[this.#now]!
    this.#now = (this.#now + 1) % this.#slices.length
    for (const one of slice) one.patrol()
  }
}
