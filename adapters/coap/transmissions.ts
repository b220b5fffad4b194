import { randomBytes } from 'node:crypto'
import type { Clock, Timer } from '../../src/contract/index.ts'
import type { Peer } from './datagrams.ts'
import { Generations } from './generations.ts'

/** RFC 7252 §4.8. */
export const ackTimeoutMs = 2_000
const ackRandomFactor = 1.5
const retransmitMax = 4
/** An acknowledgement may come so long after the first transmission, RFC 7252 §4.8.2. */
export const transmitWaitMaxMs = 93_000
/** So long a message id may not be used again with the same peer, RFC 7252 §4.4. */
export const exchangeLifetimeMs = 247_000

export type Fate = 'ack' | 'rst' | 'timeout'

/** What a confirmable message needs besides itself. */
export interface Careful {
  /** From then on it is not sent again; what was sent may still be acknowledged. */
  readonly untilMs?: number
  /** It will not be sent again, and its acknowledgement is overdue. */
  lapsed?(): void
  /** May so many bytes go to its peer at present? Left out: yes. */
  mayWrite?(bytes: number): boolean
}

/**
 * One confirmable message on its way.
 *
 *     0   2–3   6–9   14–21   30–45                 93 s
 *     |────|─────|──────|───────|─────────────────────|
 *     sent  and sent again, up to four times           given up
 */
export class Transmission {
  peer: Peer
  readonly messageId: number
  readonly bytes: Buffer
  readonly careful: Careful
  readonly settled: (fate: Fate) => void
  readonly startedAtMs: number
  timeoutMs: number
  repeats = 0
  /** Its time has passed: it may be acknowledged, and nobody need wait for that. */
  hasLapsed = false
  timer: Timer | undefined

  constructor(
    peer: Peer,
    messageId: number,
    bytes: Buffer,
    careful: Careful,
    settled: (fate: Fate) => void,
    nowMs: number,
  ) {
    this.peer = peer
    this.messageId = messageId
    this.bytes = bytes
    this.careful = careful
    this.settled = settled
    this.startedAtMs = nowMs
    this.timeoutMs = ackTimeoutMs * (1 + Math.random() * (ackRandomFactor - 1))
  }
}

/** Confirmable messages out, and the message ids of every peer. */
export class Transmissions {
  readonly #clock: Clock
  readonly #write: (bytes: Buffer, peer: Peer) => void
  readonly #out = new Map<string, Transmission>()
  readonly #lastIds: Generations<number>
  repeatsTotal = 0
  givenUpTotal = 0

  /** @param peersMax whose message ids are remembered; a peer forgotten begins at a random one. */
  constructor(clock: Clock, peersMax: number, write: (bytes: Buffer, peer: Peer) => void) {
    this.#clock = clock
    this.#write = write
    this.#lastIds = new Generations(peersMax, exchangeLifetimeMs, clock.nowMs())
  }

  get size(): number {
    return this.#out.size
  }

  /** Never the same twice with one peer within the lifetime of an exchange. */
  nextId(peer: Peer): number {
    let id = this.#lastIds.get(peer.key) ?? randomBytes(2).readUInt16BE()
    do id = (id + 1) & 0xffff
    while (this.#out.has(keyOf(peer, id)))
    this.#lastIds.put(peer.key, id, this.#clock.nowMs())
    return id
  }

  send(
    peer: Peer,
    messageId: number,
    bytes: Buffer,
    careful: Careful,
    settled: (fate: Fate) => void,
  ): Transmission {
    const nowMs = this.#clock.nowMs()
    const one = new Transmission(peer, messageId, bytes, careful, settled, nowMs)
    this.#out.set(keyOf(peer, messageId), one)
    this.#transmit(one)
    this.#wait(one)
    return one
  }

  /** It is not sent again, and nobody is told of its fate. */
  cancel(one: Transmission): void {
    one.timer?.cancel()
    if (this.#out.get(keyOf(one.peer, one.messageId)) === one) {
      this.#out.delete(keyOf(one.peer, one.messageId))
    }
  }

  /** Its peer has another address now; what was sent to the old one may be lost. */
  move(one: Transmission, peer: Peer): void {
    const key = keyOf(one.peer, one.messageId)
    if (this.#out.get(key) !== one) return
    const to = keyOf(peer, one.messageId)
    if (this.#out.has(to)) return // another message has that number there: it is asked for again later
    this.#out.delete(key)
    one.peer = peer
    this.#out.set(to, one)
  }

  /** Once more, beside its usual times: its peer has just shown that it can be reached. */
  again(one: Transmission): void {
    if (this.#out.get(keyOf(one.peer, one.messageId)) !== one) return
    if (this.#clock.nowMs() >= untilMsOf(one)) return
    this.repeatsTotal++
    this.#transmit(one)
  }

  /** @returns whether it was of any of ours. */
  settle(peer: Peer, messageId: number, fate: 'ack' | 'rst'): boolean {
    const one = this.#out.get(keyOf(peer, messageId))
    if (one === undefined) return false
    this.#end(one, fate)
    return true
  }

  sweep(nowMs: number): void {
    this.#lastIds.sweep(nowMs)
  }

  stop(): void {
    for (const one of this.#out.values()) one.timer?.cancel()
    this.#out.clear()
  }

  #end(one: Transmission, fate: Fate): void {
    this.cancel(one)
    one.settled(fate)
  }

  #transmit(one: Transmission): void {
    if (one.careful.mayWrite?.(one.bytes.length) === false) return
    this.#write(one.bytes, one.peer)
  }

  #wait(one: Transmission): void {
    const nowMs = this.#clock.nowMs()
    const last = one.repeats >= retransmitMax || one.hasLapsed
    const dueAtMs = last
      ? one.startedAtMs + transmitWaitMaxMs
      : nowMs + one.timeoutMs * 2 ** one.repeats
    // An acknowledgement of what was sent just now may still be on its way.
    const lapseAtMs = one.hasLapsed
      ? Number.POSITIVE_INFINITY
      : Math.max(untilMsOf(one), nowMs + one.timeoutMs)
    const atMs = Math.min(dueAtMs, lapseAtMs)
    one.timer = this.#clock.at(atMs, 'coap-retransmission', () => this.#due(one))
  }

  #due(one: Transmission): void {
    if (!one.hasLapsed && this.#clock.nowMs() >= untilMsOf(one)) {
      one.hasLapsed = true
      this.#wait(one)
      one.careful.lapsed?.()
      return
    }
    if (one.repeats >= retransmitMax || one.hasLapsed) {
      this.givenUpTotal++
      this.#end(one, 'timeout')
      return
    }
    one.repeats++
    this.repeatsTotal++
    this.#transmit(one)
    this.#wait(one)
  }
}

const untilMsOf = ({ careful }: Transmission): number => careful.untilMs ?? Number.POSITIVE_INFINITY

const keyOf = (peer: Peer, messageId: number): string => `${peer.key} ${messageId}`
