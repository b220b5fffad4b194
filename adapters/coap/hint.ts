import { uintOption } from './codec.ts'
import { classOf, format, option } from './codes.ts'
import type { Exchange, Response } from './exchange.ts'
import type { House } from './house.ts'
import type { CoapSession } from './session.ts'

/** What waits is asked for once in so long. */
const keptMs = 1_000

/**
 * In answers to a device that is not listening: how many commands wait for it, as their payload,
 * `waiting=2`. Not as an option of our own, which would be the device's to pass over (RFC 7252 §5.4.1):
 * node-coap-client ends its process at an option it does not know.
 */
export class Hint {
  readonly #house: House
  readonly #session: CoapSession
  #waiting: Promise<number> | undefined
  #untilMs = 0

  constructor(house: House, session: CoapSession) {
    this.#house = house
    this.#session = session
  }

  /** undefined: it needs none. Begun before the answer is ready, so that nobody waits for it longer. */
  look(): Promise<number> | undefined {
    const { core } = this.#house
    const { app, device, isListening } = this.#session
    if (isListening) return undefined
    const nowMs = core.clock.nowMs()
    if (this.#waiting === undefined || nowMs >= this.#untilMs) {
      this.#untilMs = nowMs + keptMs
      this.#waiting = core.waiting(app, device)
    }
    return this.#waiting
  }

  /** An answer with it, unless that says something itself. Resolves when it is given. */
  async answer(
    exchange: Exchange,
    response: Response,
    looked: Promise<number> | undefined = this.look(),
  ): Promise<void> {
    if (looked === undefined) {
      this.#session.answer(exchange, response)
      return
    }
    const waiting = await looked
    const isSilent = classOf(response.code) === 2 && response.payload === undefined
    const told = waiting > 0 && isSilent ? hinting(response, waiting) : response
    this.#session.answer(exchange, told)
  }
}

const hinting = ({ code, options = [] }: Response, waiting: number): Response => ({
  code,
  options: [...options, uintOption(option.contentFormat, format.text)],
  payload: Buffer.from(`waiting=${waiting}`),
})
