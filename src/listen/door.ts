import type { Clock } from '../contract/index.ts'

export interface DoorParts {
  readonly clock: Clock
  /** How long a device waits to be let in before it gives up and comes again, ms. */
  readonly waitMaxMs: number
  /** How late this process is at the moment, ms. */
  readonly lateMs: () => number
}

/** A process this late has more to do than it can. */
const lateMinMs = 250
/** So many may always wait. */
const waitingMin = 500
/** What is let in a second, while that is not known. */
const unknownPerSecond = 1_000
const lookMs = 1_000
/** What was measured before a pause of this length says nothing any more. */
const forgetMs = 3_000

/**
 * Who may wait where more come than are let in. A device waits so long and no longer: whoever would
 * have to wait longer is worked for in vain, and so are all behind it, and where all wait too long
 * nobody gets in at all.
 *
 *     comes ──▶ waits ──▶ is let in, so many a second
 *       └─▶ would give up before that: is told to come again
 *
 * Only while the process is late: else nobody waits for us, and who is silent must not shut the door
 * on others.
 */
export class Door {
  readonly #parts: DoorParts
  #perSecond = unknownPerSecond
  #letIn = 0
  #sinceMs = Number.NEGATIVE_INFINITY

  constructor(parts: DoorParts) {
    this.#parts = parts
  }

  /** One was let in. */
  letIn(): void {
    this.#letIn++
  }

  /** May one more wait? @param waiting how many do. */
  admits(waiting: number): boolean {
    const { clock, waitMaxMs, lateMs } = this.#parts
    this.#look(clock.nowMs())
    if (waiting < waitingMin || lateMs() < lateMinMs) return true
    // Half of its time, for what else it has to wait for.
    return waiting < (this.#perSecond * waitMaxMs) / 2_000
  }

  /** When one that is not admitted may come again: some time later, and not all at once. */
  comeBackMs(): number {
    return this.#parts.waitMaxMs * (0.5 + Math.random())
  }

  #look(nowMs: number): void {
    const elapsedMs = nowMs - this.#sinceMs
    if (elapsedMs < lookMs) return
    this.#perSecond = elapsedMs > forgetMs ? unknownPerSecond : (this.#letIn * 1000) / elapsedMs
    this.#letIn = 0
    this.#sinceMs = nowMs
  }
}
