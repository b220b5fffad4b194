import type { Reason } from '../../src/contract/index.ts'
import type { Channels } from './channels.ts'
import { FrameEncoder } from './codec.ts'
import type { Frame } from './frames.ts'
import type { Gate } from './gate.ts'
import { closeFrame } from './reasons.ts'
import { traceFrame } from './trace.ts'
import type { Wire } from './wire.ts'

/** Names we teach a client, however many it could remember. */
const taughtMax = 256

/** What one connection says: frames to bytes, counted, on their way to the wire. */
export class Speaker {
  readonly #gate: Gate
  readonly #wire: Wire
  readonly #channels: Channels
  readonly #encoder = new FrameEncoder()
  #pongDue = false
  /** The keep-alive that the client goes by. */
  #toldS = 0
  /** One that it should go by; 0: the same. */
  #newS = 0
  /** Longest frame the client takes. */
  frameMaxBytes = 0

  constructor(gate: Gate, wire: Wire, channels: Channels) {
    this.#gate = gate
    this.#wire = wire
    this.#channels = channels
  }

  /** Names the client remembers; from WELCOME on. */
  teachUpTo(names: number): void {
    this.#encoder.bindingsMax = Math.min(names, taughtMax)
  }

  get isFull(): boolean {
    return this.#wire.waitingBytes >= this.#gate.core.limits.linkMaxBytes
  }

  /** @returns its bytes. */
  say(frame: Frame): Buffer {
    this.#gate.counts.framesOutTotal++
    const bytes = this.#encoder.encode(frame)
    this.#wire.send(bytes)
    traceFrame('out', frame, bytes.length, this.#channels)
    return bytes
  }

  /** @param channelNumber undefined: the whole connection. */
  sayClose(
    channelNumber: number | undefined,
    reason: Reason,
    text: string | undefined,
    retryAfterMs: number | undefined,
  ): void {
    this.say(closeFrame(channelNumber, reason, text, retryAfterMs))
  }

  /** A channel was welcomed: of what was granted, the client takes the least. */
  granted(keepaliveS: number): void {
    if (this.#toldS === 0 || keepaliveS < this.#toldS) this.#toldS = keepaliveS
  }

  /**
   * One answer for all the questions of a turn.
   * @param keepaliveS infinite: nobody grants one.
   */
  pongSoon(keepaliveS: number): void {
    this.#newS = keepaliveS === this.#toldS || keepaliveS === Infinity ? 0 : keepaliveS
    this.#pongDue = true
    this.#wire.writeSoon()
  }

  sayPong(): void {
    if (!this.#pongDue) return
    this.#pongDue = false
    if (this.#newS !== 0) this.#toldS = this.#newS
    this.say({ type: 'pong', keepaliveS: this.#newS === 0 ? undefined : this.#newS })
    this.#newS = 0
  }
}
