import type { Limits, Reason, Session } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import type { Opening } from './auth.ts'
import type { PikeChannel } from './channel.ts'
import { Channels } from './channels.ts'
import { type DecodeError, FrameDecoder } from './codec.ts'
import type { AuthFrame, CloseFrame, Frame, HelloFrame } from './frames.ts'
import { capability, frameType } from './frames.ts'
import type { Gate, Overdue, Refused } from './gate.ts'
import { type Intake, type State, takeFrame } from './intake.ts'
import { Openings, type OpeningsHost } from './openings.ts'
import { codeOf } from './reasons.ts'
import { Speaker } from './speaker.ts'
import { traceFrame } from './trace.ts'
import { inSeconds, refusalOf, welcomeOf } from './welcome.ts'
import type { Wire } from './wire.ts'

const offered = capability.batch | capability.bindings | capability.independent

/** Names a client may teach us: 64 bytes each at most. */
export const bindingsMax = 64

/**
 * What one connection means: its handshake, its channels, its end. Holds no socket and no timer.
 *
 *     hello ──HELLO──▶ opening ──WELCOME──▶ open ──GOAWAY──▶ draining
 *       └───────────────┴───────────────────┴────────────────────┴──▶ closed
 */
export class PikeProtocol implements OpeningsHost, Intake, Overdue {
  readonly gate: Gate
  readonly #wire: Wire
  readonly #decoder: FrameDecoder
  readonly #speaker: Speaker
  #state: State = 'hello'
  #handshakeBytes = 0
  #capabilities = 0
  #uplinks = 0
  #held = false
  readonly channels: Channels
  #openings: Openings | undefined

  /** Its time for the handshake runs from now. */
  constructor(gate: Gate, wire: Wire) {
    this.gate = gate
    this.#wire = wire
    const trail = gate.core.recorder.connect(gate.makeToken(), 'pike', wire.peer)
    this.channels = new Channels(gate, trail)
    this.#speaker = new Speaker(gate, wire, this.channels)
    this.#decoder = new FrameDecoder({
      frameMaxBytes: gate.core.limits.handshakeMaxBytes,
      bindingsMax: 0,
    })
    gate.handshakes.add(this)
  }

  get peer(): string {
    return this.#wire.peer
  }

  get secure(): boolean {
    return this.#wire.secure
  }

  get limits(): Limits {
    return this.gate.core.limits
  }

  get peerFrameMaxBytes(): number {
    return this.#speaker.frameMaxBytes
  }

  // What the wire brings.

  received(chunk: Uint8Array): void {
    if (this.#state === 'closed') return
    this.gate.counts.bytesInTotal += chunk.length
    const opening = this.#state === 'hello' || this.#state === 'opening'
    if (opening) {
      // Other protocols are told apart by their first byte, whatever length their second may claim.
      if (this.#handshakeBytes === 0 && chunk.length > 0 && chunk[0]! >> 4 !== frameType.hello) {
        this.#unreadable({ reason: 'malformed', text: 'a connection begins with HELLO' })
        return
      }
      this.#handshakeBytes += chunk.length
      if (this.#handshakeBytes > this.limits.handshakeMaxBytes) {
        this.fail('handshake-timeout')
        return
      }
    } else {
      this.channels.each(touch)
    }
    const error = this.#decoder.push(chunk, (frame, raw) => {
      this.gate.counts.framesInTotal++
      traceFrame('in', frame, raw.length, this.channels)
      takeFrame(frame, raw, this)
    })
    if (!opening) this.channels.each(flush)
    if (error !== undefined) this.#unreadable(error)
  }

  /** Called before each write: acknowledgements leave together. */
  beforeWrite(): void {
    this.#speaker.sayPong()
    this.channels.each((channel) => {
      const upTo = channel.dueAck()
      if (upTo > 0) this.send({ type: 'ack', channelNumber: channel.number, upTo })
    })
    this.channels.each(release)
  }

  drained(): void {
    this.channels.each(drained)
  }

  /** The other end is gone without a word. */
  lost(): void {
    this.#shut(false, 'lost')
  }

  /** The time for the handshake is over. */
  overdue(): void {
    this.fail('handshake-timeout')
  }

  /** Take no more uplinks; close once those taken are settled. */
  goAway(spreadMs: number): void {
    if (this.#state === 'open') {
      this.#state = 'draining'
      this.send({ type: 'goaway', code: codeOf('going-away'), spreadMs, endpoints: [] })
    }
    if (this.#uplinks === 0) this.fail('going-away')
  }

  // What channels ask.

  send(frame: Frame): number {
    return this.#state === 'closed' ? 0 : this.#speaker.say(frame).length
  }

  isFull(): boolean {
    return this.#speaker.isFull
  }

  countUplinks(change: number): void {
    this.#uplinks += change
    // While we do not read, the silence is ours and not the device's.
    if (this.#held && change < 0) this.channels.each(touch)
    const { uplinkMaxPending } = this.limits
    if (!this.#held && this.#uplinks > uplinkMaxPending) {
      this.#held = true
      this.#wire.hold(true)
    } else if (this.#held && this.#uplinks * 2 < uplinkMaxPending) {
      this.#held = false
      this.#wire.hold(false)
    }
    if (this.#state === 'draining' && this.#uplinks === 0) this.fail('going-away')
  }

  /** Nothing is read: too many uplinks are unanswered. */
  isHeld(): boolean {
    return this.#held
  }

  yields(channel: PikeChannel): boolean {
    return !channel.urgent && this.channels.hasUrgent
  }

  connectionOf(channel: PikeChannel): 'shared' | 'own' | undefined {
    if ((this.#capabilities & capability.independent) === 0) return undefined
    return this.channels.hasBeside(channel) ? 'shared' : 'own'
  }

  acknowledgeSoon(): void {
    if (this.#state !== 'closed') this.#wire.writeSoon()
  }

  endChannel(channel: PikeChannel, reason: Reason, retryAfterMs: number | undefined): void {
    if (this.#state === 'closed') return
    if (channel.session === undefined) {
      // Not welcomed yet: its opening says so. Or already over.
      channel.refused ??= { reason, retryAfterMs }
      return
    }
    // What was kept is acknowledged still, lest it come again.
    if (!reasons[reason].reset) this.beforeWrite()
    channel.end()
    this.channels.drop(channel.number)
    if (reasons[reason].reset || this.channels.count === 0) {
      this.fail(reason, undefined, retryAfterMs)
    } else {
      this.#closeChannel(channel.number, reason, undefined, retryAfterMs)
    }
  }

  /** End the connection, and say why unless nothing may arrive any more. */
  fail(reason: Reason, text?: string, retryAfterMs?: number): void {
    if (this.#state === 'closed') return
    if (this.#state === 'hello' || this.#state === 'opening') {
      this.gate.counts.handshakesFailedTotal++
    }
    if (reasons[reason].reset) {
      this.#shut(false, reason)
      this.gate.counts.resetsTotal++
      this.#wire.reset()
      return
    }
    this.beforeWrite()
    this.#speaker.sayClose(undefined, reason, text, retryAfterMs)
    this.#shut(false, reason)
    this.#wire.end()
  }

  // What openings ask.

  sendChallenge(channelNumber: number, kdf: 'hkdf' | 'scrypt', nonce: Uint8Array): Uint8Array {
    return this.#speaker.say({ type: 'auth', channelNumber, method: 'challenge', kdf, nonce })
  }

  openingOverdue(opening: Opening): void {
    this.#openings?.overdue(opening)
  }

  refuse(channelNumber: number, { reason, text, retryAfterMs }: Refused): void {
    if (this.#state === 'closed') return
    if (channelNumber === 0) {
      this.fail(reason, text, retryAfterMs)
      return
    }
    this.gate.counts.handshakesFailedTotal++
    this.#closeChannel(channelNumber, reason, text, retryAfterMs)
  }

  welcome(hello: HelloFrame, channel: PikeChannel, session: Session, proof: Uint8Array): void {
    const nowMs = this.gate.core.clock.nowMs()
    const first = channel.number === 0
    const bound = (this.#capabilities & capability.bindings) !== 0
    if (first) {
      this.#state = 'open'
      this.gate.handshakes.remove(this)
      this.gate.counts.handshakesTotal++
      this.gate.door.letIn()
      this.#decoder.frameMaxBytes = this.limits.frameMaxBytes
      this.#decoder.bindingsMax = bound ? bindingsMax : 0
    }
    this.channels.set(channel)
    const names = bound ? bindingsMax : 0
    const terms = { capabilities: this.#capabilities, bindingsMax: names, proof, nowMs }
    this.send(welcomeOf(channel, session, this.limits, terms))
    this.#speaker.granted(inSeconds(session.keepaliveMs))
    if (first && bound) this.#speaker.teachUpTo(hello.bindingsMax)
    channel.start(session, nowMs)
  }

  // What the client says.

  get state(): State {
    return this.#state
  }

  get batches(): boolean {
    return (this.#capabilities & capability.batch) !== 0
  }

  pinged(): void {
    this.#speaker.pongSoon(inSeconds(this.channels.renewKeepalive()))
  }

  channelFor(number: number, what: string): PikeChannel | undefined {
    const channel = this.channels.get(number)
    if (channel === undefined) {
      this.fail('protocol-error', `${what} on channel ${number}, which is not open`)
    }
    return channel ?? undefined
  }

  auth(frame: AuthFrame): void {
    // Refused meanwhile; the client has not heard of it yet.
    if (
      !this.#openings?.has(frame.channelNumber) &&
      this.channels.get(frame.channelNumber) === null
    ) {
      return
    }
    const wrong = this.#openings === undefined ? 'AUTH without HELLO' : this.#openings.auth(frame)
    if (wrong !== undefined) this.fail('protocol-error', wrong)
  }

  closed(frame: CloseFrame): void {
    const number = frame.channelNumber
    if (number === undefined || this.#state === 'opening') {
      this.#shut(true, 'normal')
      this.#wire.end()
      return
    }
    this.#openings?.giveUp(number)
    const channel = this.channels.get(number)
    if (!channel) return
    channel.flush()
    const session = channel.end()
    this.channels.drop(number)
    session?.detach(true)
    if (this.channels.count === 0) this.fail('normal')
  }

  hello(frame: HelloFrame, raw: Uint8Array): void {
    const number = frame.channelNumber
    const first = this.#state === 'hello'
    if (this.#state === 'draining') return
    const refusal = refusalOf(frame, first, this.secure)
    if (refusal !== undefined) {
      this.fail(refusal.reason, refusal.text)
      return
    }
    if (!first && (this.channels.get(number) || this.#openings?.has(number))) {
      this.fail('protocol-error', `channel ${number} is in use`)
      return
    }
    if (first) {
      this.#state = 'opening'
      this.#speaker.frameMaxBytes = frame.frameMaxBytes || this.limits.frameMaxBytes
      this.#capabilities = frame.capabilities & offered
    }
    this.#openings ??= new Openings(this)
    const openings = this.#openings
    const begun = openings.begin(frame, raw, () => {
      if (openings.isIdle && this.#openings === openings) this.#openings = undefined
    })
    if (!begun) this.fail('overloaded', 'too many channels are being opened')
  }

  #closeChannel(
    number: number,
    reason: Reason,
    text: string | undefined,
    retryAfterMs: number | undefined,
  ): void {
    this.#speaker.sayClose(number, reason, text, retryAfterMs)
    this.channels.drop(number)
  }

  #unreadable({ reason, text }: DecodeError): void {
    this.gate.counts.malformedTotal++
    const opening = this.#state === 'hello' || this.#state === 'opening'
    this.fail(opening && reason === 'too-large' ? 'handshake-timeout' : reason, text)
  }

  /** Nothing is read or sent any more; every session hears of it. */
  #shut(graceful: boolean, why: Reason | 'lost'): void {
    if (this.#state === 'closed') return
    this.channels.each(flush)
    this.#state = 'closed'
    this.#decoder.stop()
    this.gate.handshakes.remove(this)
    this.#openings?.giveUpAll()
    for (const channel of this.channels.clear()) {
      if (why !== 'lost') channel.refused ??= { reason: why, retryAfterMs: undefined }
      channel.end()?.detach(graceful)
    }
    this.channels.trail.end(why)
  }
}

const touch = (channel: PikeChannel): void => channel.session?.touch()
const flush = (channel: PikeChannel): void => channel.flush()
const release = (channel: PikeChannel): void => channel.release()
const drained = (channel: PikeChannel): void => channel.drained()
