import type { ChannelName, Reason, Timer } from '../../src/contract/index.ts'
import { commandBlock } from './answers.ts'
import { code } from './codes.ts'
import type { Exchange } from './exchange.ts'
import type { House } from './house.ts'
import type { CoapLink, Way } from './link.ts'
import { refusal } from './reasons.ts'
import type { CoapSession } from './session.ts'
import { traceCommand } from './trace.ts'

/** A polling device counts as there for so long after an answer (rule 22). */
const lingerMs = 5_000
/** What waits is here at once, or has to be read from disk. */
const readingMs = 100

/**
 * A device that asks for its next command.
 *
 *     GET ─▶ attached ─▶ a command, or nothing ─┬─ GET within 5 s ─▶ ...
 *                                               ╰─ asleep until it said, or offline (rule 22)
 */
export class Polling implements Way {
  /** Only while it asks: what is given to it beside that would be taken for sent. */
  readonly takes = 'full'
  readonly #house: House
  readonly #session: CoapSession
  #exchange: Exchange | undefined
  #resource = ''
  #szx = 0
  #channels: readonly ChannelName[] = []
  #timer: Timer | undefined
  backAtMs: number | undefined

  constructor(house: House, session: CoapSession) {
    this.#house = house
    this.#session = session
  }

  /** Links are attached. Answered with what is there, or comes within the time. */
  ask(
    exchange: Exchange,
    resource: string,
    channels: readonly ChannelName[],
    szx: number,
    waitMs: number,
  ): void {
    if (this.#exchange !== undefined) this.#empty()
    this.#exchange = exchange
    this.#resource = resource
    this.#channels = channels
    this.#szx = szx
    this.#wake(waitMs > 0 ? waitMs : readingMs, () => this.#empty())
    for (const link of this.#links()) {
      link.start()
      link.session?.drained()
    }
    this.#answer()
  }

  carries(): boolean {
    return true // in blocks, whatever its size
  }

  offered(_link: CoapLink): void {
    this.#answer()
  }

  closed(_link: CoapLink, reason: Reason, retryAfterMs: number | undefined): void {
    const exchange = this.#exchange
    if (exchange !== undefined) {
      this.#exchange = undefined
      this.#session.answer(exchange, refusal(reason, retryAfterMs))
    }
    this.#session.silenced(reason)
  }

  /** A link whose device knows nothing of its observation, and asked by itself. */
  adopt(link: CoapLink): void {
    link.way = this
    this.#linger()
  }

  /** The gateway stops: it has nothing any more to answer with. */
  goesAway(retryAfterMs: number): void {
    const exchange = this.#exchange
    this.#exchange = undefined
    if (exchange !== undefined) {
      this.#session.answer(exchange, refusal('going-away', retryAfterMs))
    }
  }

  stop(graceful: boolean): void {
    const exchange = this.#exchange
    if (exchange !== undefined) this.#session.answer(exchange, { code: code.content })
    this.#timer?.cancel()
    this.#timer = undefined
    this.#exchange = undefined
    this.#session.links.detach(graceful, this.backAtMs, this)
  }

  #links(): CoapLink[] {
    const links: CoapLink[] = []
    for (const channel of this.#channels) {
      const link = this.#session.links.of(channel)
      if (link?.way === this) links.push(link)
    }
    return links
  }

  #answer(): void {
    const exchange = this.#exchange
    if (exchange === undefined) return
    const nowMs = this.#house.core.clock.nowMs()
    for (const link of this.#links()) {
      const { held } = link
      if (held === undefined || !held.mayBeWritten(nowMs)) continue
      this.#exchange = undefined
      held.goes()
      held.written = true
      traceCommand(link.trail, '2.05', held)
      this.#session.shows(this.#resource, link)
      this.#session.answer(exchange, commandBlock(held, 0, this.#szx, this.#session.reach.room)!)
      this.#linger()
      return
    }
  }

  #empty(): void {
    const exchange = this.#exchange
    this.#exchange = undefined
    if (exchange !== undefined) this.#session.answer(exchange, { code: code.content })
    this.#linger()
  }

  #linger(): void {
    this.#wake(lingerMs, () => this.stop(true))
  }

  #wake(afterMs: number, run: () => void): void {
    this.#timer?.cancel()
    const { clock } = this.#house.core
    this.#timer = clock.at(clock.nowMs() + afterMs, 'coap-polling', run)
  }
}
