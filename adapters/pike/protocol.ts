import type { Attached, Limits, LinkId, Reason, Session } from '../../src/contract/index.ts'
import { defaultApp, deviceKey, deviceOf, reasons } from '../../src/contract/index.ts'
import { Opening, type OpeningHost, type Proved } from './auth.ts'
import { type ChannelHost, PikeChannel } from './channel.ts'
import { type DecodeError, FrameDecoder, FrameEncoder } from './codec.ts'
import type { AuthFrame, CloseFrame, Frame, HelloFrame } from './frames.ts'
import { capability } from './frames.ts'
import type { Gate, Overdue, Refused } from './gate.ts'
import { codeOf } from './reasons.ts'
import { helloOf, refusalOf, welcomeOf } from './welcome.ts'

/** The way to the client, whatever carries it. */
export interface Wire {
  readonly peer: string
  readonly secure: boolean
  /** Bytes sent and not yet taken by the network. */
  readonly waitingBytes: number
  /** Written at the end of the tick, together with what else comes. */
  send(bytes: Buffer): void
  /** `beforeWrite` is called before the end of this tick. */
  writeSoon(): void
  /** Write what was sent, then say goodbye. */
  end(): void
  /** Drop what was sent, then hang up, so that nothing arrives later (rule 20). */
  reset(): void
  /** Read no more, until told otherwise. */
  hold(reading: boolean): void
}

/** Names a client may teach us: 64 bytes each at most. */
export const bindingsMax = 64
/** Names we teach a client, however many it could remember. */
const taughtMax = 256

/**
 * What one connection means: its handshake, its channels, its end. Holds no socket and no timer.
 *
 *     hello ──HELLO──▶ opening ──WELCOME──▶ open ──GOAWAY──▶ draining
 *       └───────────────┴───────────────────┴────────────────────┴──▶ closed
 */
export class PikeProtocol implements ChannelHost, OpeningHost, Overdue {
  readonly #gate: Gate
  readonly #wire: Wire
  readonly #decoder: FrameDecoder
  readonly #encoder = new FrameEncoder()
  #state: 'hello' | 'opening' | 'open' | 'draining' | 'closed' = 'hello'
  #handshakeBytes = 0
  #capabilities = 0
  #token: LinkId = ''
  #links = 0
  #uplinks = 0
  #held = false
  #pongDue = false
  peerFrameMaxBytes = 0
  /** Channel 0, while it is open. */
  #first: PikeChannel | undefined
  /** Further ones by number; null: closed, what still comes for it is passed over. */
  #more: (PikeChannel | null | undefined)[] | undefined
  #openings: Map<number, Opening> | undefined
  /** Openings whose work has not ended, given up ones too. */
  #openingsAtWork = 0

  /** Its time for the handshake runs from now. */
  constructor(gate: Gate, wire: Wire) {
    this.#gate = gate
    this.#wire = wire
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
    return this.#gate.core.limits
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  // What the wire brings.

  received(chunk: Uint8Array): void {
    if (this.#state === 'closed') return
    this.#gate.counts.bytesInTotal += chunk.length
    const opening = this.#state === 'hello' || this.#state === 'opening'
    if (opening) {
      this.#handshakeBytes += chunk.length
      if (this.#handshakeBytes > this.limits.handshakeMaxBytes) {
        this.fail('handshake-timeout')
        return
      }
    } else {
      this.#eachSession(touch)
    }
    const error = this.#decoder.push(chunk, (frame, raw) => this.#take(frame, raw))
    if (!opening) this.#eachChannel(flush)
    if (error !== undefined) this.#unreadable(error)
  }

  /** Called before each write: acknowledgements leave together. */
  beforeWrite(): void {
    if (this.#pongDue) {
      this.#pongDue = false
      this.send({ type: 'pong', keepaliveS: undefined })
    }
    this.#eachChannel((channel) => {
      const upTo = channel.dueAck()
      if (upTo > 0) this.send({ type: 'ack', channelNumber: channel.number, upTo })
    })
  }

  drained(): void {
    this.#eachChannel(drained)
  }

  /** The other end is gone without a word. */
  lost(): void {
    this.#shut(false)
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

  send(frame: Frame): void {
    if (this.#state === 'closed') return
    this.#gate.counts.framesOutTotal++
    this.#wire.send(this.#encoder.encode(frame))
  }

  isFull(): boolean {
    return this.#wire.waitingBytes >= this.limits.linkMaxBytes
  }

  countUplinks(change: number): void {
    this.#uplinks += change
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
    this.#forget(channel.number)
    if (reasons[reason].reset || !this.#hasChannels()) {
      this.fail(reason, undefined, retryAfterMs)
    } else {
      this.#closeChannel(channel.number, reason, undefined, retryAfterMs)
    }
  }

  /** End the connection, and say why unless nothing may arrive any more. */
  fail(reason: Reason, text?: string, retryAfterMs?: number): void {
    if (this.#state === 'closed') return
    if (this.#state === 'hello' || this.#state === 'opening') {
      this.#gate.counts.handshakesFailedTotal++
    }
    if (reasons[reason].reset) {
      this.#shut(false)
      this.#gate.counts.resetsTotal++
      this.#wire.reset()
      return
    }
    this.beforeWrite()
    this.send(closeFrame(undefined, reason, text, retryAfterMs))
    this.#shut(false)
    this.#wire.end()
  }

  // What openings ask.

  sendChallenge(channelNumber: number, kdf: 'hkdf' | 'scrypt', nonce: Uint8Array): Uint8Array {
    const frame: AuthFrame = { type: 'auth', channelNumber, method: 'challenge', kdf, nonce }
    this.#gate.counts.framesOutTotal++
    const bytes = this.#encoder.encode(frame)
    this.#wire.send(bytes)
    return bytes
  }

  /** A further channel's; the first one's time is the connection's. */
  openingOverdue(opening: Opening): void {
    this.#refuse(opening, { kind: 'refused', reason: 'handshake-timeout' })
  }

  // What the client says.

  #take(frame: Frame, raw: Uint8Array): void {
    this.#gate.counts.framesInTotal++
    switch (this.#state) {
      case 'hello':
        if (frame.type === 'hello') this.#hello(frame, raw)
        else this.fail('protocol-error', 'a connection begins with HELLO')
        break
      case 'opening':
        if (frame.type === 'auth') this.#auth(frame)
        else if (frame.type === 'close') this.#closed(frame)
        else this.fail('protocol-error', `${frame.type} before WELCOME`)
        break
      case 'open':
      case 'draining':
        this.#takeOpen(frame, raw)
        break
      case 'closed':
        break
    }
  }

  #takeOpen(frame: Frame, raw: Uint8Array): void {
    switch (frame.type) {
      case 'event':
      case 'batch':
      case 'reply': {
        const channel = this.#channel(frame.channelNumber, frame.type)
        // While draining they stay in the client's outbox, and go where it goes next.
        if (channel === undefined || this.#state === 'draining') return
        if (frame.type === 'event') channel.event(frame)
        else if (frame.type === 'reply') channel.reply(frame)
        else if ((this.#capabilities & capability.batch) !== 0) channel.batch(frame)
        else this.fail('protocol-error', 'BATCH was not agreed on')
        return
      }
      case 'ack':
        this.#channel(frame.channelNumber, 'ack')?.acknowledge(frame.upTo)
        return
      case 'ping':
        this.#pongDue = true
        this.#wire.writeSoon()
        return
      case 'pong':
        return // that it came was the answer
      case 'hello':
        this.#hello(frame, raw)
        return
      case 'auth':
        this.#auth(frame)
        return
      case 'close':
        this.#closed(frame)
        return
      case 'unknown':
        if (frame.critical) this.fail('unsupported', `frame type ${frame.number}`)
        return
      case 'command':
      case 'epoch':
      case 'welcome':
      case 'goaway':
        this.fail('protocol-error', `${frame.type} from a client`)
    }
  }

  #channel(number: number, what: string): PikeChannel | undefined {
    const channel = number === 0 ? (this.#first ?? null) : this.#more?.[number]
    if (channel === undefined) {
      this.fail('protocol-error', `${what} on channel ${number}, which is not open`)
    }
    return channel ?? undefined
  }

  #auth(frame: AuthFrame): void {
    const opening = this.#openings?.get(frame.channelNumber)
    const wrong = opening === undefined ? 'AUTH without HELLO' : opening.take(frame)
    if (wrong !== undefined) this.fail('protocol-error', wrong)
  }

  #closed(frame: CloseFrame): void {
    const number = frame.channelNumber
    if (number === undefined || this.#state === 'opening') {
      this.#shut(true)
      this.#wire.end()
      return
    }
    this.#openings?.get(number)?.giveUp()
    this.#openings?.delete(number)
    const channel = number === 0 ? this.#first : this.#more?.[number]
    if (channel === undefined || channel === null) return
    channel.flush()
    const session = channel.end()
    this.#forget(number)
    session?.detach(true)
    if (!this.#hasChannels()) this.fail('normal')
  }

  #hello(frame: HelloFrame, raw: Uint8Array): void {
    const number = frame.channelNumber
    const first = this.#state === 'hello'
    const refusal = refusalOf(frame, first, this.secure)
    if (refusal !== undefined) {
      this.fail(refusal.reason, refusal.text)
      return
    }
    if (!first && (this.#more?.[number] || this.#openings?.has(number))) {
      this.fail('protocol-error', `channel ${number} is in use`)
      return
    }
    if (this.#openingsAtWork >= this.limits.connectionMaxChannels) {
      this.fail('overloaded', 'too many channels are being opened')
      return
    }
    const opening = new Opening(this, number)
    this.#openings ??= new Map()
    this.#openings.set(number, opening)
    if (first) {
      this.#state = 'opening'
      this.peerFrameMaxBytes =
        frame.frameMaxBytes === 0 ? this.limits.frameMaxBytes : frame.frameMaxBytes
      this.#capabilities = frame.capabilities & (capability.batch | capability.bindings)
    } else {
      this.#gate.handshakes.add(opening)
    }
    this.#openingsAtWork++
    // The chunk is not ours to keep while the store is asked.
    this.#open(opening, frame, Uint8Array.from(raw))
      .catch(() => this.#refuse(opening, { kind: 'refused', reason: 'unavailable' }))
      .finally(() => {
        this.#openingsAtWork--
      })
  }

  async #open(opening: Opening, hello: HelloFrame, raw: Uint8Array): Promise<void> {
    const app = hello.app === '' ? defaultApp : hello.app
    const proved = await this.#prove(opening, app, hello, raw)
    if (proved === undefined || opening.isOver) return
    if (proved.kind === 'refused') {
      this.#refuse(opening, proved)
      return
    }
    if (this.#channelCount() >= this.limits.connectionMaxChannels) {
      this.#refuse(opening, { kind: 'refused', reason: 'overloaded', text: 'too many channels' })
      return
    }
    if (this.#token === '') this.#token = this.#gate.makeToken()
    // A channel opened again on this connection is another link.
    const id = this.#links === 0 ? this.#token : `${this.#token}.${this.#links}`
    this.#links++
    const channel = new PikeChannel(this, id, hello.channelNumber, hello.uplinkEpoch)
    const attached: Attached = await this.#gate.core.attach(
      channel,
      helloOf(hello, app, this.limits),
    )
    if (attached.kind === 'refused') {
      this.#refuse(opening, attached)
    } else if (opening.isOver) {
      attached.session.detach(false)
    } else if (channel.refused !== undefined) {
      attached.session.detach(false)
      this.#refuse(opening, { kind: 'refused', ...channel.refused })
    } else {
      this.#welcome(opening, hello, channel, attached.session, proved.proof)
    }
  }

  async #prove(
    opening: Opening,
    app: string,
    hello: HelloFrame,
    raw: Uint8Array,
  ): Promise<Proved | Refused | undefined> {
    if (hello.channelNumber === 0 || hello.nonce.length > 0) {
      return opening.authenticate(this.#gate.core, app, hello, raw)
    }
    const key = deviceKey(app, hello.device)
    let known = false
    this.#eachSession((session) => {
      if (deviceOf(session.channel) === key) known = true
    })
    return known
      ? { kind: 'proved', proof: new Uint8Array(0) }
      : { kind: 'refused', reason: 'unauthorized' }
  }

  #welcome(
    opening: Opening,
    hello: HelloFrame,
    channel: PikeChannel,
    session: Session,
    proof: Uint8Array,
  ): void {
    this.#dropOpening(opening)
    const { number } = channel
    const nowMs = this.#gate.core.clock.nowMs()
    const bound = (this.#capabilities & capability.bindings) !== 0
    if (number === 0) {
      this.#first = channel
      this.#state = 'open'
      this.#gate.handshakes.remove(this)
      this.#gate.counts.handshakesTotal++
      this.#decoder.frameMaxBytes = this.limits.frameMaxBytes
      this.#decoder.bindingsMax = bound ? bindingsMax : 0
    } else {
      this.#more ??= []
      this.#more[number] = channel
    }
    this.#gate.counts.channels++
    this.send(
      welcomeOf({
        session,
        number,
        capabilities: this.#capabilities,
        proof,
        limits: this.limits,
        bindingsMax: bound ? bindingsMax : 0,
        nowMs,
        connection: channel.id,
      }),
    )
    if (number === 0 && bound) this.#encoder.bindingsMax = Math.min(hello.bindingsMax, taughtMax)
    channel.start(session, nowMs)
  }

  #refuse(opening: Opening, { reason, text, retryAfterMs }: Refused): void {
    if (opening.isOver) return
    this.#dropOpening(opening)
    opening.giveUp()
    if (this.#state === 'closed') return
    if (opening.channelNumber === 0) {
      this.fail(reason, text, retryAfterMs)
    } else {
      this.#gate.counts.handshakesFailedTotal++
      this.#closeChannel(opening.channelNumber, reason, text, retryAfterMs)
    }
  }

  #dropOpening(opening: Opening): void {
    this.#gate.handshakes.remove(opening)
    this.#openings?.delete(opening.channelNumber)
    if (this.#openings?.size === 0) this.#openings = undefined
  }

  #closeChannel(
    number: number,
    reason: Reason,
    text: string | undefined,
    retryAfterMs: number | undefined,
  ): void {
    this.send(closeFrame(number, reason, text, retryAfterMs))
    this.#more ??= []
    this.#more[number] ??= null
  }

  #unreadable({ reason, text }: DecodeError): void {
    this.#gate.counts.malformedTotal++
    const opening = this.#state === 'hello' || this.#state === 'opening'
    this.fail(opening && reason === 'too-large' ? 'handshake-timeout' : reason, text)
  }

  #forget(number: number): void {
    this.#gate.counts.channels--
    if (number === 0) this.#first = undefined
    else if (this.#more !== undefined) this.#more[number] = null
  }

  #hasChannels(): boolean {
    return this.#first !== undefined || (this.#more?.some((one) => one) ?? false)
  }

  #channelCount(): number {
    let count = 0
    this.#eachChannel(() => {
      count++
    })
    return count
  }

  #eachChannel(act: (channel: PikeChannel) => void): void {
    if (this.#first !== undefined) act(this.#first)
    if (this.#more === undefined) return
    for (const channel of this.#more) if (channel) act(channel)
  }

  #eachSession(act: (session: Session) => void): void {
    this.#eachChannel((channel) => {
      if (channel.session !== undefined) act(channel.session)
    })
  }

  /** Nothing is read or sent any more; every session hears of it. */
  #shut(graceful: boolean): void {
    if (this.#state === 'closed') return
    this.#eachChannel(flush)
    this.#state = 'closed'
    this.#decoder.stop()
    this.#gate.handshakes.remove(this)
    for (const opening of this.#openings?.values() ?? []) {
      this.#gate.handshakes.remove(opening)
      opening.giveUp()
    }
    this.#openings = undefined
    const channels: PikeChannel[] = []
    this.#eachChannel((channel) => channels.push(channel))
    this.#first = undefined
    this.#more = undefined
    this.#gate.counts.channels -= channels.length
    for (const channel of channels) channel.end()?.detach(graceful)
  }
}

const touch = (session: Session): void => session.touch()
const flush = (channel: PikeChannel): void => channel.flush()
const drained = (channel: PikeChannel): void => channel.drained()

const closeFrame = (
  channelNumber: number | undefined,
  reason: Reason,
  text: string | undefined,
  retryAfterMs: number | undefined,
): CloseFrame => ({
  type: 'close',
  channelNumber,
  code: codeOf(reason),
  retryAfterS: Math.ceil((retryAfterMs ?? 0) / 1000),
  text: text ?? reasons[reason].text,
})
