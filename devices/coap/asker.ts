import type { SessionParts } from '../session.ts'
import { type Answer, type Asking, Requests } from './requests.ts'
import type { Wire } from './wire.ts'

/** Unanswered in a row while something else came: alive, and dead to us all the same. */
const triesMax = 3

/**
 * Asks until there is an answer, or nobody is there.
 *
 *     no answer in time ─┬─ something else came meanwhile: asked again, at most three times
 *                        ╰─ nothing came: the gateway is silent
 *
 * What is asked again is known by its stamp, or means the same twice.
 */
export class Asker {
  readonly #requests: Requests
  readonly #parts: SessionParts
  readonly #silent: () => void
  /** When something was asked last: what is said suppresses the beat. */
  wroteAtMs = 0
  #heardAtMs = 0
  #ended = false

  /** @param silent is called once nobody answers. */
  constructor(wire: Wire, parts: SessionParts, silent: () => void) {
    this.#requests = new Requests(wire, parts.nowMs)
    this.#parts = parts
    this.#silent = silent
  }

  get dueMs(): number {
    return this.#requests.dueMs
  }

  tick(nowMs: number): void {
    this.#requests.tick(nowMs)
  }

  heard(): void {
    this.#heardAtMs = this.#parts.nowMs()
  }

  /** @returns undefined: nothing is to be done any more. */
  readonly ask = async (asking: Asking): Promise<Answer | undefined> => {
    for (let tries = 1; !this.#ended; tries++) {
      const askedAtMs = this.#parts.nowMs()
      this.wroteAtMs = askedAtMs
      const asked = this.#requests.ask(asking)
      this.#parts.changed()
      const answer = await asked
      if (this.#ended) return undefined
      if (answer !== undefined) return answer
      if (this.#heardAtMs > askedAtMs && tries < triesMax) continue
      this.#silent()
      return undefined
    }
    return undefined
  }

  /** No answer comes to what is asked. */
  cancel(): void {
    this.#requests.cancel()
  }

  /** Whoever waits hears nothing. `goodbye` is asked once, and waited for so long. */
  async end(goodbye: Asking | undefined): Promise<void> {
    this.#ended = true
    this.#requests.cancel()
    if (goodbye === undefined) return
    const cut = setTimeout(() => this.#requests.cancel(), this.#parts.limits.goodbyeMs)
    await this.#requests.ask(goodbye)
    clearTimeout(cut)
  }
}
