import type {
  AppId,
  ChannelName,
  Credential,
  DeviceId,
  Intake,
  Position,
  Reason,
  Trail,
} from '../../src/contract/index.ts'
import type { Peer } from './datagrams.ts'
import type { Exchange, Response } from './exchange.ts'
import { Few } from './few.ts'
import { Hint } from './hint.ts'
import type { House } from './house.ts'
import { CoapLink, type LinkHost, type Way } from './link.ts'
import { Polling } from './polling.ts'
import { Reach } from './reach.ts'
import { endsSession } from './reasons.ts'
import { Revival } from './revival.ts'
import type { Sending, SendingRecord } from './sending.ts'
import { fitting, sizeOf } from './sizes.ts'
import { type Refused, Speaking } from './speaking.ts'
import { traceAnswer } from './trace.ts'

/** Who a session is of, and how it proved that. */
export interface Identity {
  readonly app: AppId
  readonly device: DeviceId
  /** The device that proved itself, where that is another one, which speaks for it. */
  readonly via?: DeviceId | undefined
  readonly kdf: Credential['kdf']
  /** Of the credential it was made with: when that is gone, so is the session. */
  readonly credential: string
  /** Asked for. */
  readonly keepaliveMs: number | undefined
}

/**
 * What a device has by its token, wherever it sends it from.
 *
 *     token ─▶ session ─┬─ speaking: what it reports
 *                       ├─ links, one a channel ◀─ observations, its server, or its polling
 *                       ╰─ reach: where it is, and what may be sent there
 */
export class CoapSession implements LinkHost {
  /** Empty until a session of before a restart is heard of. */
  token: string
  readonly identity: Identity
  readonly reach: Reach
  readonly speaking: Speaking
  /** By resource. */
  readonly sendings = new Few<string, Sending>()
  readonly #house: House
  readonly #links = new Few<ChannelName, CoapLink>()
  // Made when needed, like all that a device at rest does without.
  #polling: Polling | undefined
  #hint: Hint | undefined
  #revival: Revival | undefined
  #trail: Trail | undefined
  #attaching: Map<ChannelName, Promise<CoapLink | Refused>> | undefined
  /** Whose command was last given on a resource: its further blocks are asked for there. */
  #shown: Map<string, CoapLink> | undefined
  #isOver = false
  heardAtMs: number
  /** It said that it sleeps until then. */
  sleepUntilMs = 0

  constructor(house: House, token: string, identity: Identity, peer: Peer, isProven: boolean) {
    this.#house = house
    this.token = token
    this.identity = identity
    this.reach = new Reach(house.messages, this, peer, isProven)
    this.speaking = new Speaking(house.core, this)
    this.heardAtMs = house.core.clock.nowMs()
  }

  get polling(): Polling {
    this.#polling ??= new Polling(this.#house, this)
    return this.#polling
  }

  get hint(): Hint {
    this.#hint ??= new Hint(this.#house, this)
    return this.#hint
  }

  get revival(): Revival {
    this.#revival ??= new Revival(this.#house, this)
    return this.#revival
  }

  /** Its record: it is one conversation, wherever its datagrams come from. */
  get trail(): Trail {
    if (this.#trail !== undefined) return this.#trail
    const { core } = this.#house
    const whole = core.recorder.connect(this.#house.makeLinkId(), 'coap', this.address)
    this.#trail = whole.as(this.app, this.device)
    return this.#trail
  }

  trailOf(channel: ChannelName): Trail {
    return this.trail.as(this.app, this.device, channel)
  }

  get app(): AppId {
    return this.identity.app
  }

  get device(): DeviceId {
    return this.identity.device
  }

  get via(): DeviceId | undefined {
    return this.identity.via
  }

  get peer(): Peer {
    return this.reach.peer
  }

  get address(): string {
    return this.reach.peer.address
  }

  get isOver(): boolean {
    return this.#isOver
  }

  get keepaliveMs(): number {
    const { keepaliveDefaultMs, keepaliveMinMs, keepaliveMaxMs } = this.#house.core.limits
    const askedMs = this.identity.keepaliveMs ?? keepaliveDefaultMs
    return Math.min(keepaliveMaxMs, Math.max(keepaliveMinMs, askedMs)) // as the core grants it
  }

  /** Is it there to receive without being asked? */
  /** Something of it is attached, by a poll or otherwise. */
  get isAttached(): boolean {
    for (const _ of this.#links.values()) return true
    return false
  }

  get isListening(): boolean {
    for (const link of this.#links.values()) if (link.way !== this.#polling) return true
    return false
  }

  get observed(): readonly SendingRecord[] {
    return [...this.sendings.values()].map(({ record }) => record)
  }

  // Signs of life.

  /** A datagram with its token came from there. */
  heard(peer: Peer, bytes: number): void {
    const from = this.reach.peer.key
    if (this.reach.heard(peer, bytes)) {
      this.#house.moved(this, from)
      for (const sending of this.sendings.values()) sending.moved()
    }
    this.touch()
  }

  touch(): void {
    this.heardAtMs = this.#house.core.clock.nowMs()
    this.sleepUntilMs = 0
    this.speaking.touch()
    for (const link of this.#links.values()) link.session?.touch()
    let isDormant = false
    for (const sending of this.sendings.values()) {
      sending.heard()
      isDormant ||= sending.dormant
    }
    if (isDormant) void this.revival.run()
  }

  /** Somebody at its address answered what was sent there. */
  proved(): void {
    this.reach.prove()
    this.touch()
  }

  ping(): void {
    this.reach.ping()
  }

  // Links.

  linkOf(channel: ChannelName): CoapLink | undefined {
    return this.#links.get(channel)
  }

  /** A link for a channel, its commands going this way from now on. */
  async attach(channel: ChannelName, way: Way, resumeFrom?: Position): Promise<CoapLink | Refused> {
    const link = this.#links.get(channel)
    if (link !== undefined) {
      link.way = way
      return link
    }
    this.#attaching ??= new Map()
    let attaching = this.#attaching.get(channel)
    if (attaching === undefined) {
      attaching = this.#attach(channel, way, resumeFrom).finally(() => {
        this.#attaching?.delete(channel)
        if (this.#attaching?.size === 0) this.#attaching = undefined
      })
      this.#attaching.set(channel, attaching)
    }
    const attached = await attaching
    if (attached instanceof CoapLink) attached.way = way
    return attached
  }

  /** Its links of one way. */
  detach(way: Way, graceful: boolean, backAtMs?: number): void {
    for (const [channel, link] of this.#links) {
      if (link.way !== way) continue
      this.#links.delete(channel)
      link.detach(graceful, backAtMs)
    }
  }

  /** One that is made anew. */
  drop(link: CoapLink): void {
    if (this.#links.get(link.channel) === link) this.#links.delete(link.channel)
    link.detach(true)
  }

  linkClosed(link: CoapLink): void {
    if (this.#links.get(link.channel) === link) this.#links.delete(link.channel)
    if (!this.isListening) this.reach.stop()
  }

  sendingOver(sending: Sending, graceful: boolean): void {
    sending.stop()
    if (this.sendings.get(sending.resource) === sending) {
      this.sendings.delete(sending.resource)
      if (!this.#isOver) this.#house.keepSoon(this)
    }
    for (const link of this.#links.values()) {
      if (link.way === sending && link.held?.isPolled === true) this.polling.adopt(link)
    }
    this.detach(sending, graceful)
  }

  /** All of it: the device left, or may not stay. */
  end(graceful: boolean, backAtMs?: number): void {
    if (this.#isOver) return
    this.#isOver = true
    this.rest(graceful, backAtMs)
    this.speaking.stop()
    this.#trail?.end(graceful ? 'normal' : 'lost')
  }

  /** It receives nothing any more until it is heard of again. */
  rest(graceful: boolean, backAtMs?: number): void {
    for (const sending of this.sendings.values()) {
      sending.stop()
      sending.dormant = true
    }
    this.#detachAll(graceful, backAtMs)
  }

  /** It said that it sleeps, and for how long. */
  sleep(forMs: number): void {
    const { clock, limits } = this.#house.core
    this.sleepUntilMs = clock.nowMs() + Math.min(forMs, limits.queueTtlMs)
    this.rest(true, this.sleepUntilMs)
    this.#house.keepSoon(this)
  }

  /** The gateway stops: who waits for an answer is told, who observes need not know (rule 25). */
  suspend(retryAfterMs: number): void {
    for (const sending of this.sendings.values()) sending.stop()
    this.#polling?.goesAway(retryAfterMs)
    this.#detachAll(true)
  }

  #detachAll(graceful: boolean, backAtMs?: number): void {
    if (this.#polling !== undefined) {
      this.#polling.backAtMs = backAtMs
      this.#polling.stop(graceful)
    }
    for (const [channel, link] of this.#links) {
      this.#links.delete(channel)
      link.detach(graceful, backAtMs)
    }
    this.reach.stop()
  }

  silenced(reason: Reason): void {
    if (endsSession(reason)) this.#house.forget(this)
  }

  /** A reply to a command is kept: it needs no acknowledgement any more. */
  replied(id: string): void {
    for (const link of this.#links.values()) {
      if (link.held?.isNamed(id) !== true) continue
      link.forget(id)
      if (link.way !== this.#polling) (link.way as Sending).released(link)
    }
  }

  /** Once its device may speak; else `failed` says why not. */
  speak(speak: (intake: Intake) => void, failed: (refused: Refused) => void): void {
    const intake = this.speaking.intake(() => this.#house.isWelcome(this))
    if (!(intake instanceof Promise)) {
      speak(intake)
      return
    }
    intake.then(
      (admitted) => {
        if (!('kind' in admitted)) {
          speak(admitted)
          return
        }
        failed(admitted)
        this.silenced(admitted.reason)
      },
      () => failed({ kind: 'refused', reason: 'unavailable' }),
    )
  }

  // What it is given.

  shows(resource: string, link: CoapLink): void {
    this.#shown ??= new Map()
    this.#shown.set(resource, link)
  }

  shown(resource: string): CoapLink | undefined {
    return this.#shown?.get(resource)
  }

  /** As large as its address may get. */
  answer(exchange: Exchange, response: Response): void {
    traceAnswer(this.trail, exchange.message, response)
    const tokenBytes = exchange.message.token.length
    const fits = fitting(response, tokenBytes, this.reach.room)
    this.reach.mayWrite(sizeOf(fits, tokenBytes))
    exchange.isProven = this.reach.isProven && exchange.peer.key === this.reach.peer.key
    exchange.respond(fits)
  }

  async #attach(
    channel: ChannelName,
    way: Way,
    resumeFrom: Position | undefined,
  ): Promise<CoapLink | Refused> {
    const { core } = this.#house
    try {
      if (!(await this.#house.isWelcome(this))) return { kind: 'refused', reason: 'unauthorized' }
    } catch {
      return { kind: 'refused', reason: 'unavailable' }
    }
    const link = new CoapLink(this, this.#house.makeLinkId(), channel, way)
    const { app, device, keepaliveMs } = this.identity
    const attached = await core.attach(link, {
      app,
      device,
      channel,
      windowMaxCommands: 1,
      ...(keepaliveMs !== undefined && { keepaliveMs }),
      ...(resumeFrom !== undefined && { resumeFrom }),
    })
    if (attached.kind === 'refused') return attached
    if (link.closedBy !== undefined || this.#isOver) {
      attached.session.detach(true)
      return link.closedBy ?? { kind: 'refused', reason: 'normal' }
    }
    link.session = attached.session
    this.#links.set(channel, link)
    return link
  }
}
