import type { DeadLetter, EventId } from '../contract/index.ts'
import { webhookBounds } from './bounds.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Attempt } from './sender.ts'

interface AgainPorts {
  readonly letters: DeadLetters
  /** undefined: not now; `go` is called when it may be, and now and then. */
  attempt(event: EventId): Promise<Attempt | 'gone' | 'later'> | undefined
  /** Given up, with so many left: nobody answers. */
  gaveUp(left: number, why: string): void
}

/**
 * Dead letters on their way once more, one at a time and outside the lanes: whoever asks for old
 * events does not hold up new ones. What is not taken stays in the list; a restart forgets that it
 * was asked for.
 */
export class Again {
  readonly #ports: AgainPorts
  readonly #waiting = new Set<EventId>()
  #flying = false
  #unanswered = 0
  #closed = false

  constructor(ports: AgainPorts) {
    this.#ports = ports
  }

  get count(): number {
    return this.#waiting.size
  }

  add(events: Iterable<EventId>): void {
    for (const event of events) this.#waiting.add(event)
    this.go()
  }

  /** These are not wanted any more; without any: all. */
  drop(event?: EventId): void {
    if (event === undefined) this.#waiting.clear()
    else this.#waiting.delete(event)
  }

  go(): void {
    const [event] = this.#waiting
    if (event === undefined || this.#flying || this.#closed) return
    const attempt = this.#ports.attempt(event)
    if (attempt === undefined) return
    this.#flying = true
    void attempt
      .then((outcome) => this.#ended(event, outcome))
      .finally(() => {
        this.#flying = false
        this.go()
      })
  }

  close(): void {
    this.#closed = true
  }

  async #ended(event: EventId, outcome: Attempt | 'gone' | 'later'): Promise<void> {
    const { letters } = this.#ports
    if (outcome === 'later') return this.#giveUp('the store cannot be read')
    if (outcome !== 'gone' && outcome.taken) {
      this.#unanswered = 0
      if (this.#waiting.delete(event)) letters.remove(event)
      return
    }
    const letter: DeadLetter | undefined = await letters.find(event).catch(() => undefined)
    // No longer among those waiting: it was discarded meanwhile.
    if (this.#waiting.delete(event) && letter !== undefined) {
      const lastError = outcome === 'gone' ? 'the event is no longer in the log' : outcome.text
      letters.change({ ...letter, attempts: letter.attempts + 1, lastError })
    }
    // An answer speaks of this letter; silence speaks of the receiver.
    if (outcome === 'gone' || outcome.answered) this.#unanswered = 0
    else if (++this.#unanswered >= webhookBounds.againUnansweredMax) this.#giveUp(outcome.text)
  }

  #giveUp(why: string): void {
    const left = this.#waiting.size
    this.#waiting.clear()
    this.#unanswered = 0
    if (left > 0) this.#ports.gaveUp(left, why)
  }
}
