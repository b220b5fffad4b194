import type {
  AppId,
  ChannelName,
  Credential,
  DeviceId,
  Intake,
  Reason,
  Trail,
} from '../../src/contract/index.ts'
import type { Peer } from './datagrams.ts'
import type { Exchange, Response } from './exchange.ts'
import { Hint } from './hint.ts'
import type { House } from './house.ts'
import type { CoapLink, LinkHost } from './link.ts'
import { Links } from './links.ts'
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
 *                       ├─ links, one a channel ◀─ sendings: observations, its server; or its polling
 *                       ╰─ reach: where it is, and what may be sent there
 */
export class CoapSession implements LinkHost {
  /** Empty until a session of before a restart is heard of. */
  token: string
  /** By which such a one is found until then. */
  hash: string | undefined
  readonly identity: Identity
  readonly reach: Reach
  readonly links: Links
  readonly #house: House
  /** One a resource: an array, since there are few and every device at rest has it. */
  #sendings: readonly Sending[] = none
  // Made when needed, like all that a device at rest does without.
  #speaking: Speaking | undefined
  #polling: Polling | undefined
  #hint: Hint | undefined
  #revival: Revival | undefined
  #trail: Trail | undefined
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
    this.links = new Links(house, this)
    this.heardAtMs = house.core.clock.nowMs()
  }

  get speaking(): Speaking {
    this.#speaking ??= new Speaking(this.#house.core, this)
    return this.#speaking
  }

  /** undefined: it has not reported anything yet. */
  get spoken(): Speaking | undefined {
    return this.#speaking
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

  /** Something of it is attached, by a poll or otherwise. */
  get isAttached(): boolean {
    return this.links.all.length > 0
  }

  /** Is it there to receive without being asked? */
  get isListening(): boolean {
    return this.links.all.some((link) => link.way !== this.#polling)
  }

  get observed(): readonly SendingRecord[] {
    return this.#sendings.map(({ record }) => record)
  }

  // Signs of life.

  /** A datagram with its token came from there. */
  heard(peer: Peer, bytes: number): void {
    const from = this.reach.peer.key
    if (this.reach.heard(peer, bytes)) {
      this.#house.moved(this, from)
      for (const sending of this.#sendings) sending.moved()
    }
    this.touch()
  }

  touch(): void {
    this.heardAtMs = this.#house.core.clock.nowMs()
    this.sleepUntilMs = 0
    this.#speaking?.touch()
    for (const link of this.links.all) link.session?.touch()
    let isDormant = false
    for (const sending of this.#sendings) {
      sending.heard()
      isDormant ||= sending.dormant
    }
    if (isDormant) void this.revival.run()
  }

  /** Somebody at its address answered what was sent there. */
  proved(): void {
    this.reach.prove()
    for (const sending of this.#sendings) sending.reached()
    this.touch()
  }

  ping(): void {
    this.reach.ping()
  }

  // What its commands go by.

  get sendings(): readonly Sending[] {
    return this.#sendings
  }

  sendingOf(resource: string): Sending | undefined {
    for (const sending of this.#sendings) if (sending.resource === resource) return sending
    return undefined
  }

  /** There is none of its resource yet. */
  addSending(sending: Sending): void {
    this.#sendings = this.#sendings.concat(sending)
  }

  linkClosed(link: CoapLink): void {
    this.links.remove(link)
    if (!this.isListening) this.reach.stop()
  }

  sendingOver(sending: Sending, graceful: boolean): void {
    sending.stop()
    if (this.#sendings.includes(sending)) {
      this.#sendings = this.#sendings.filter((one) => one !== sending)
      if (!this.#isOver) this.#house.keepSoon(this)
    }
    for (const link of this.links.all) {
      if (link.way === sending && link.held?.isPolled === true) this.polling.adopt(link)
    }
    this.links.detach(graceful, undefined, sending)
  }

  /** All of it: the device left, or may not stay. */
  end(graceful: boolean, backAtMs?: number): void {
    if (this.#isOver) return
    this.#isOver = true
    this.rest(graceful, backAtMs)
    this.#speaking?.stop()
    this.#trail?.end(graceful ? 'normal' : 'lost')
  }

  /** It receives nothing any more until it is heard of again. */
  rest(graceful: boolean, backAtMs?: number): void {
    for (const sending of this.#sendings) {
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
    for (const sending of this.#sendings) sending.stop()
    this.#polling?.goesAway(retryAfterMs)
    this.#detachAll(true)
  }

  #detachAll(graceful: boolean, backAtMs?: number): void {
    if (this.#polling !== undefined) {
      this.#polling.backAtMs = backAtMs
      this.#polling.stop(graceful)
    }
    this.links.detach(graceful, backAtMs)
    this.reach.stop()
  }

  silenced(reason: Reason): void {
    if (endsSession(reason)) this.#house.forget(this)
  }

  /** A reply to a command is kept: it needs no acknowledgement any more. */
  replied(id: string): void {
    for (const link of this.links.all) {
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
}

const none: readonly Sending[] = []
