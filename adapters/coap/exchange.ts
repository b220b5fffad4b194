import type { Message, Option } from './codec.ts'
import type { Peer } from './datagrams.ts'

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
export class Exchange {
  readonly peer: Peer
  readonly message: Message
  /** Of the datagram it came in: what an unproven peer may get is a multiple of it. */
  readonly bytes: number
  readonly #host: ExchangeHost
  #state: 'open' | 'acknowledged' | 'answered' = 'open'

  constructor(host: ExchangeHost, peer: Peer, message: Message, bytes: number) {
    this.#host = host
    this.peer = peer
    this.message = message
    this.bytes = bytes
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
  }

  /** Once; a second answer does nothing. */
  respond(response: Response): void {
    if (this.#state === 'answered') return
    this.#host.write(this, response)
    this.#state = 'answered'
  }
}
