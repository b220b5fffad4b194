import type { WebhookStatus } from '../contract/index.ts'
import type { PushPorts } from './ports.ts'
import type { Attempt } from './sender.ts'
import type { Spread } from './spread.ts'

/** How one webhook is doing: counted for its status, and said to the operator when it changes. */
export class Condition {
  readonly #ports: Pick<PushPorts, 'clock' | 'totals'>
  readonly #say: (event: string, fields: object) => void
  delivered = 0
  failedAttempts = 0
  #lastDeliveredAtMs: number | undefined
  #lastError: { readonly atMs: number; readonly text: string } | undefined
  #failing = false
  /** Set aside since the operator was told of it last. */
  #newlyDead = 0

  constructor(
    ports: Pick<PushPorts, 'clock' | 'totals'>,
    say: (event: string, fields: object) => void,
  ) {
    this.#ports = ports
    this.#say = say
  }

  attempted(attempt: Attempt, events: number): void {
    const { clock, totals } = this.#ports
    if (attempt.taken) {
      this.delivered += events
      totals.deliveries++
      totals.events += events
      this.#lastDeliveredAtMs = clock.nowMs()
    } else {
      this.failedAttempts++
      totals.failures++
      this.wrong(attempt.text)
    }
  }

  wrong(text: string): void {
    this.#lastError = { atMs: this.#ports.clock.nowMs(), text }
  }

  /** An event was given up. */
  died(): void {
    this.#ports.totals.deadLetters++
    this.#newlyDead++
  }

  /** Said once when it begins to fail, once when it is over: not a line for each attempt. */
  tell(failing: boolean, { text }: Attempt): void {
    if (failing === this.#failing) return
    this.#failing = failing
    if (failing) this.#say('webhook.attempt-failed', { why: text })
    else this.#say('webhook.recovered', {})
  }

  /** Said together, not one by one. */
  tellDead(deadLetters: number): void {
    if (this.#newlyDead === 0) return
    const why = this.#lastError?.text
    this.#say('webhook.delivery-failed', { setAside: this.#newlyDead, deadLetters, why })
    this.#newlyDead = 0
  }

  /** @param beside what waits, and when it is due, outside the lanes. */
  status(
    spread: Spread | undefined,
    deadLetters: number,
    beside: { readonly waiting: number; readonly nextAtMs: number | undefined },
  ): WebhookStatus {
    let { waiting, nextAtMs } = beside
    let behind = false
    let lanesFailing = 0
    for (const lane of spread?.lanes ?? []) {
      waiting += lane.held
      behind ||= lane.read(spread!.live).sequence < spread!.live.sequence
      if (lane.failures === 0 || lane.held === 0) continue
      lanesFailing++
      const dueMs = lane.dueMs()
      if (dueMs !== undefined && (nextAtMs === undefined || dueMs < nextAtMs)) nextAtMs = dueMs
    }
    return {
      delivered: this.delivered,
      failedAttempts: this.failedAttempts,
      waiting,
      behind,
      lanesFailing,
      deadLetters,
      ...(this.#lastDeliveredAtMs !== undefined && { lastDeliveredAtMs: this.#lastDeliveredAtMs }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
      ...(nextAtMs !== undefined && { nextAtMs }),
    }
  }
}
