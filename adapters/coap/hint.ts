import { type Option, uintOption } from './codec.ts'
import { option } from './codes.ts'
import type { Exchange, Response } from './exchange.ts'
import type { House } from './house.ts'
import type { CoapSession } from './session.ts'

/** What waits is asked for once in so long. */
const keptMs = 1_000

/** In answers to a device that is not listening: how many commands wait for it. */
export class Hint {
  readonly #house: House
  readonly #session: CoapSession
  #option: Promise<Option | undefined> | undefined
  #untilMs = 0

  constructor(house: House, session: CoapSession) {
    this.#house = house
    this.#session = session
  }

  /** undefined: it needs none. Begun before the answer is ready, so that nobody waits for it longer. */
  look(): Promise<Option | undefined> | undefined {
    const { core } = this.#house
    const { app, device, isListening } = this.#session
    if (isListening) return undefined
    const nowMs = core.clock.nowMs()
    if (this.#option === undefined || nowMs >= this.#untilMs) {
      this.#untilMs = nowMs + keptMs
      this.#option = core
        .waiting(app, device)
        .then((count) => (count === 0 ? undefined : uintOption(option.waiting, count)))
    }
    return this.#option
  }

  /** An answer with it. Resolves when it is given. */
  async answer(
    exchange: Exchange,
    response: Response,
    looked: Promise<Option | undefined> | undefined = this.look(),
  ): Promise<void> {
    if (looked === undefined) {
      this.#session.answer(exchange, response)
      return
    }
    const waiting = await looked
    const { options = [] } = response
    const hinting = waiting === undefined ? options : [...options, waiting]
    this.#session.answer(exchange, { ...response, options: hinting })
  }
}
