import type { Clock } from '../../src/contract/index.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import { type Decoded, decode, encode, type Message, type MessageType } from './codec.ts'
import { classOf, code } from './codes.ts'
import type { Datagrams, Peer } from './datagrams.ts'
import { Exchange, type ExchangeHost, type Response } from './exchange.ts'
import { Generations } from './generations.ts'
import {
  type Careful,
  exchangeLifetimeMs,
  type Fate,
  type Transmission,
  Transmissions,
} from './transmissions.ts'

export interface MessageBounds {
  /** Answers remembered for repeated requests. */
  readonly dedupeMax: number
  /** Peers whose message ids are remembered. */
  readonly peersMax: number
  /** A request that takes longer is acknowledged first and answered later. */
  readonly piggybackMs: number
}

/** What stands above the message layer. */
export interface MessageUser {
  /** A request that was not seen before. Answer it once, at once or later. */
  request(exchange: Exchange): void
  /**
   * A response to something we asked; `acknowledge` it once what it says is kept, until then it comes
   * again. False: nobody asked.
   */
  response(peer: Peer, message: Message, acknowledge: () => void): boolean
  /** This address gave a sign of life that names no session. */
  heard(peer: Peer): void
}

export interface Outgoing {
  readonly code: number
  readonly token: Buffer
  readonly options: readonly { readonly number: number; readonly value: Buffer }[]
  readonly payload: Buffer
}

const nothing = Buffer.alloc(0)

/** A datagram as text: as a buffer its few bytes would take 250, for as long as they are remembered. */
type Said = string
const said = (bytes: Buffer): Said => bytes.toString('latin1')

/**
 * RFC 7252 §4: from datagrams to requests that come once, and from messages to datagrams that arrive.
 *
 *     datagrams ─▶ decode ─┬─ empty: ping, ACK, RST ─▶ transmissions
 *                          ├─ request ─▶ seen before? ─ the same answer again
 *                          │                 ╰─ no ─▶ Exchange ─▶ user.request
 *                          ╰─ response ─▶ user.response
 */
export class Messages implements ExchangeHost {
  readonly #clock: Clock
  readonly #datagrams: Datagrams
  readonly #user: MessageUser
  readonly #transmissions: Transmissions
  /** By peer and message id: what was answered, or that it is being answered (RFC 7252 §4.5). */
  readonly #seen: Generations<Exchange | Said>
  readonly #unanswered: Sweep<Exchange>
  readonly counts = {
    datagramsInTotal: 0,
    datagramsOutTotal: 0,
    bytesInTotal: 0,
    bytesOutTotal: 0,
    malformedTotal: 0,
    repeatedTotal: 0,
    requestsTotal: 0,
  }

  constructor(clock: Clock, datagrams: Datagrams, user: MessageUser, bounds: MessageBounds) {
    this.#clock = clock
    this.#datagrams = datagrams
    this.#user = user
    this.#transmissions = new Transmissions(clock, bounds.peersMax, (bytes, peer) =>
      this.#send(bytes, peer),
    )
    this.#seen = new Generations(bounds.dedupeMax, exchangeLifetimeMs, clock.nowMs())
    this.#unanswered = new Sweep(clock, bounds.piggybackMs, 'coap-unanswered', (exchange) =>
      exchange.acknowledge(),
    )
  }

  get figures(): Readonly<Record<string, number>> {
    return {
      remembered: this.#seen.size,
      transmissions: this.#transmissions.size,
      retransmissions_total: this.#transmissions.repeatsTotal,
      given_up_total: this.#transmissions.givenUpTotal,
    }
  }

  receive(bytes: Buffer, peer: Peer): void {
    this.counts.datagramsInTotal++
    this.counts.bytesInTotal += bytes.length
    const decoded: Decoded = decode(bytes)
    if (decoded.kind === 'message') {
      this.#take(decoded.message, peer, bytes.length)
      return
    }
    this.counts.malformedTotal++
    if (decoded.kind === 'reset') this.#empty('rst', decoded.messageId, peer)
  }

  /** Send until acknowledged; `settled` is called once, unless it is canceled before. */
  confirm(
    peer: Peer,
    outgoing: Outgoing,
    careful: Careful,
    settled: (fate: Fate) => void,
  ): Transmission {
    const messageId = this.#transmissions.nextId(peer)
    const bytes = encode({ type: 'con', messageId, ...outgoing })
    return this.#transmissions.send(peer, messageId, bytes, careful, settled)
  }

  /** Send once, and let be. */
  tell(peer: Peer, outgoing: Outgoing): void {
    const messageId = this.#transmissions.nextId(peer)
    this.#send(encode({ type: 'non', messageId, ...outgoing }), peer)
  }

  /** An empty confirmable message: whoever lives resets it (RFC 7252 §4.3). */
  ping(peer: Peer, careful: Careful, settled: (fate: Fate) => void): Transmission {
    const empty = { code: code.empty, token: nothing, options: [], payload: nothing }
    return this.confirm(peer, empty, careful, settled)
  }

  cancel(one: Transmission): void {
    this.#transmissions.cancel(one)
  }

  move(one: Transmission, peer: Peer): void {
    this.#transmissions.move(one, peer)
  }

  again(one: Transmission): void {
    this.#transmissions.again(one)
  }

  /** Call now and then: what is too old is forgotten. */
  sweep(nowMs: number): void {
    this.#seen.sweep(nowMs)
    this.#transmissions.sweep(nowMs)
  }

  stop(): void {
    this.#transmissions.stop()
    this.#unanswered.stop()
  }

  // What exchanges ask for.

  acknowledge({ peer, message }: Exchange): void {
    this.#empty('ack', message.messageId, peer)
  }

  write(exchange: Exchange, { code: number, options = [], payload = nothing }: Response): void {
    const { peer, message } = exchange
    this.#unanswered.remove(exchange)
    const { token } = message
    const key = seenKey(peer, message.messageId)
    const answer = { code: number, token, options, payload }
    if (message.type === 'con' && !exchange.isOpen) {
      // Acknowledged before: its repeats get that acknowledgement again.
      this.confirm(peer, answer, exchange, () => {})
      this.#remember(key, exchange, this.#emptyBytes('ack', message.messageId))
      return
    }
    const type: MessageType = message.type === 'con' ? 'ack' : 'non'
    const messageId = type === 'ack' ? message.messageId : this.#transmissions.nextId(peer)
    const bytes = encode({ type, messageId, ...answer })
    this.#send(bytes, peer)
    // A repeated GET is simply done again (RFC 7252 §4.5): what it is answered with may be large.
    if (message.code === code.get) this.#seen.delete(key)
    else this.#remember(key, exchange, bytes)
  }

  #take(message: Message, peer: Peer, size: number): void {
    const { type } = message
    if (message.code === code.empty) {
      this.#takeEmpty(message, peer)
      return
    }
    const isRequest = classOf(message.code) === 0
    if (type === 'rst' || (type === 'ack' && isRequest)) return // RFC 7252 §4.2: ignored
    if (!isRequest) {
      this.#takeResponse(message, peer)
      return
    }
    const key = seenKey(peer, message.messageId)
    const seen = this.#seen.get(key)
    if (seen !== undefined) {
      this.#again(seen, peer)
      return
    }
    this.counts.requestsTotal++
    const exchange = new Exchange(this, peer, message, size)
    this.#seen.put(key, exchange, this.#clock.nowMs())
    this.#user.request(exchange)
    if (type === 'con' && !exchange.isAnswered) this.#unanswered.add(exchange)
  }

  /** RFC 7252 §4.5: acknowledged and answered as before, and not acted upon. */
  #again(seen: Exchange | Said, peer: Peer): void {
    this.counts.repeatedTotal++
    if (seen instanceof Exchange) {
      if (seen.message.type === 'con' && !seen.isOpen) this.acknowledge(seen)
    } else this.#send(Buffer.from(seen, 'latin1'), peer)
  }

  #takeEmpty({ type, messageId }: Message, peer: Peer): void {
    switch (type) {
      case 'con':
        this.#empty('rst', messageId, peer)
        this.#user.heard(peer)
        return
      case 'ack':
      case 'rst':
        this.#transmissions.settle(peer, messageId, type)
        this.#user.heard(peer)
        return
      case 'non':
        return
    }
  }

  #takeResponse(message: Message, peer: Peer): void {
    const { type, messageId } = message
    const key = seenKey(peer, messageId)
    const seen = type === 'con' ? this.#seen.get(key) : undefined
    if (seen !== undefined) {
      this.#again(seen, peer)
      return
    }
    // The answer comes before the acknowledgement it is in: it says more.
    const taken = this.#user.response(peer, message, () => {
      if (type !== 'con') return
      const acknowledged = this.#emptyBytes('ack', messageId)
      this.#seen.put(key, said(acknowledged), this.#clock.nowMs())
      this.#send(acknowledged, peer)
    })
    if (type === 'ack') this.#transmissions.settle(peer, messageId, 'ack')
    this.#user.heard(peer)
    if (!taken && type === 'con') this.#empty('rst', messageId, peer) // RFC 7252 §4.2
  }

  /** Its place may be another's by now: then nothing is remembered. */
  #remember(key: string, exchange: Exchange, bytes: Buffer): void {
    const kept = this.#seen.get(key)
    if (kept === exchange) this.#seen.put(key, said(bytes), this.#clock.nowMs())
  }

  #empty(type: MessageType, messageId: number, peer: Peer): void {
    this.#send(this.#emptyBytes(type, messageId), peer)
  }

  #emptyBytes(type: MessageType, messageId: number): Buffer {
    return encode({
      type,
      code: code.empty,
      messageId,
      token: nothing,
      options: [],
      payload: nothing,
    })
  }

  #send(bytes: Buffer, peer: Peer): void {
    this.counts.datagramsOutTotal++
    this.counts.bytesOutTotal += bytes.length
    this.#datagrams.send(bytes, peer)
  }
}

const seenKey = (peer: Peer, messageId: number): string => `${peer.key} ${messageId}`
