import type { Message, Option } from './codec.ts'
import { amplificationMax, type Peer } from './datagrams.ts'
import type { Careful } from './transmissions.ts'

/** What a request is answered with. */
export interface Response {
  readonly code: number
  readonly options?: readonly Option[]
  readonly payload?: Buffer
}

/** What an exchange needs of the message layer. */
export interface ExchangeHost {
  write(exchange: Exchange, response: Response): void
  acknowledge(exchange: Exchange): void
}

/**
 * A request of a peer until it is answered.
 *
 *     CON ──▶ answered soon:  ACK with the answer                       (RFC 7252 §5.2.1)
 *        ╰──▶ later:          ACK, empty ─ ─ ▶ CON with the answer      (§5.2.2)
 *     NON ──▶ NON with the answer                                       (§5.2.3)
 */
export class Exchange implements Careful {
  readonly peer: Peer
  readonly message: Message
  /** Of the datagram it came in: what an unproven peer may get is a multiple of it. */
  readonly bytes: number
  readonly #host: ExchangeHost
  #state: 'open' | 'acknowledged' | 'answered' = 'open'
  /** Its peer has proved that it is where it says. */
  isProven = false
  #credit: number
  #isWritten = false

  constructor(host: ExchangeHost, peer: Peer, message: Message, bytes: number) {
    this.#host = host
    this.peer = peer
    this.message = message
    this.bytes = bytes
    this.#credit = bytes * amplificationMax
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  get isAnswered(): boolean {
    return this.#state === 'answered'
  }

  /** It takes longer: the peer need not ask again. */
  acknowledge(): void {
    if (this.#state !== 'open' || this.message.type !== 'con') return
    this.#host.acknowledge(this)
    this.#state = 'acknowledged'
    this.#credit -= emptyBytes
  }

  /** Once; a second answer does nothing. */
  respond(response: Response): void {
    if (this.#state === 'answered') return
    this.#host.write(this, response)
    this.#state = 'answered'
  }

  /**
   * Of an answer in a message of its own, which is sent until it arrives: that it goes at all is for
   * who answers to judge, that it goes again to somebody who proved nothing is for us.
   */
  mayWrite(bytes: number): boolean {
    const may = this.isProven || !this.#isWritten || bytes <= this.#credit
    this.#isWritten = true
    if (may) this.#credit -= bytes
    return may
  }
}

const emptyBytes = 4
