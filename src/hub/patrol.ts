import type { Clock, Timer } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'

const sliceMs = 1_000

/**
 * Looks at every attached channel once a period, a slice a second, for mail whose hint was lost:
 * the bus only hints, the mailbox knows.
 */
export class Patrol {
  readonly #clock: Clock
  readonly #slices: number
  readonly #live: ReadonlyMap<string, Attachment>
  readonly #each: (nowMs: number) => void
  #round: Iterator<Attachment> | undefined
  #timer: Timer | undefined

  /** @param each called once a slice. */
  constructor(
    clock: Clock,
    periodMs: number,
    live: ReadonlyMap<string, Attachment>,
    each: (nowMs: number) => void,
  ) {
    this.#clock = clock
    this.#slices = Math.max(1, Math.floor(periodMs / sliceMs))
    this.#live = live
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

  #slice(): void {
    this.#each(this.#clock.nowMs())
    let left = Math.ceil(this.#live.size / this.#slices)
    this.#round ??= this.#live.values()
    while (left-- > 0) {
      const next = this.#round.next()
      if (next.done === true) {
        this.#round = undefined
        return
      }
      next.value.patrol()
    }
  }
}
