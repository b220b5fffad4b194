import type { Stall } from './journal.ts'

const lookMs = 25
/** Shorter ones are within what a clock reading may be off. */
const stallMinMs = 200
/** What lay waiting meanwhile is taken up one after the other. */
const backlogMs = 300

/** Notices when this process was held up: all times it writes down are then too late. */
export class StallWatch {
  readonly #stalls: Stall[]
  readonly #timer: NodeJS.Timeout
  #lookedAtMs = Date.now()

  constructor(stalls: Stall[]) {
    this.#stalls = stalls
    this.#timer = setInterval(() => {
      const nowMs = Date.now()
      if (nowMs - this.#lookedAtMs >= stallMinMs)
        this.#stalls.push({ fromMs: this.#lookedAtMs, toMs: nowMs })
      this.#lookedAtMs = nowMs
    }, lookMs)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/** When something dated so may have happened at the earliest. */
export function earliestMs(stalls: readonly Stall[], atMs: number): number {
  let earliest = atMs
  for (let at = stalls.length - 1; at >= 0; at--) {
    const { fromMs, toMs } = stalls[at]!
    if (toMs + backlogMs < earliest) break
    if (fromMs <= earliest) earliest = fromMs
  }
  return earliest
}
