import type { House } from './house.ts'
import { CoapLink } from './link.ts'
import type { Sending } from './sending.ts'
import type { CoapSession } from './session.ts'

/**
 * What a device was sent commands by, and believes it still is, gets its links again: after a restart of
 * ours, or a silence of its own (rule 25).
 */
export class Revival {
  readonly #house: House
  readonly #session: CoapSession
  #isUnderWay = false

  constructor(house: House, session: CoapSession) {
    this.#house = house
    this.#session = session
  }

  /** After a restart: a device that had fallen silent before it is waited for. */
  get isDue(): boolean {
    for (const { dormant } of this.#session.sendings) if (!dormant) return true
    return false
  }

  async run(): Promise<void> {
    if (this.#isUnderWay) return
    this.#isUnderWay = true
    try {
      for (const sending of this.#session.sendings) await this.#revive(sending)
    } finally {
      this.#isUnderWay = false
    }
  }

  async #revive(sending: Sending): Promise<void> {
    const session = this.#session
    const isHere = (): boolean => session.sendings.includes(sending)
    sending.dormant = false
    for (const channel of sending.channels) {
      if (session.links.of(channel) !== undefined) continue
      const attached = await session.links.attach(channel, sending)
      if (attached instanceof CoapLink) continue
      if (isHere()) sending.closed(undefined, attached.reason, attached.retryAfterMs)
      return
    }
    if (session.sleepUntilMs > this.#house.core.clock.nowMs()) {
      // It said so meanwhile.
      sending.dormant = true
      session.links.detach(true, session.sleepUntilMs, sending)
    } else if (isHere() && sending.isAnswered) sending.run()
  }
}
