import { randomBytes } from 'node:crypto'
import type {
  AppId,
  ChannelName,
  Core,
  DeviceId,
  Intake,
  LinkId,
  Offset,
  Reason,
  Trail,
} from '../../src/contract/index.ts'
import { deviceKey } from '../../src/contract/index.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import type { Doorman } from './auth.ts'
import { httpBounds } from './bounds.ts'
import type { Closed, HttpLink } from './link.ts'
import { type Refusal, refusalOf } from './problems.ts'

/** One device that spoke lately: what receives for it, and its way up. */
export class Visitor {
  readonly app: AppId
  readonly device: DeviceId
  /** The device that speaks for it, if not itself. */
  readonly via: DeviceId | undefined
  /** What is attached, by channel. */
  readonly links = new Map<ChannelName, HttpLink>()
  /** Of which channel the last answer was: the next is of another, where that has something. */
  lastAnswered: ChannelName | undefined
  /** By channel, up to where it was handed something, over all its links. */
  readonly handedUpTo = new Map<ChannelName, Offset>()
  /** Of all its requests: they are one conversation, over however many sockets. */
  readonly trail: Trail
  readonly #visitors: Visitors
  /** Why links ended of which no request was there to be told. */
  readonly #untold = new Map<ChannelName, Closed & { readonly untilMs: number }>()
  #peer: string
  #intake: Intake | undefined
  #admitting: Promise<Intake | Refusal> | undefined

  constructor(
    visitors: Visitors,
    { app, device, via }: Pick<Visitor, 'app' | 'device' | 'via'>,
    peer: string,
  ) {
    this.#visitors = visitors
    this.app = app
    this.device = device
    this.via = via
    this.#peer = peer
    const { recorder } = visitors.core
    this.trail = recorder.connect(visitors.makeToken(), 'http', peer).as(app, device)
  }

  /** Any request of it is a sign of life of all that is attached. */
  came(peer: string): void {
    this.#peer = peer
    for (const link of this.links.values()) link.came()
    this.#intake?.touch()
  }

  /** Its way up; it claims nothing (rule 18). */
  intake(): Intake | Promise<Intake | Refusal> {
    if (this.#intake !== undefined) return this.#intake
    this.#admitting ??= this.#admit().finally(() => {
      this.#admitting = undefined
    })
    return this.#admitting
  }

  /** Whoever polls again in a moment is told then; later it does not matter any more. */
  tellLater(channel: ChannelName, closed: Closed): void {
    const untilMs = this.#visitors.core.clock.nowMs() + httpBounds.pollLingerMs
    this.#untold.set(channel, { ...closed, untilMs })
  }

  /** Why the last link of this channel ended, once. */
  untold(channel: ChannelName): Closed | undefined {
    const closed = this.#untold.get(channel)
    if (closed === undefined) return undefined
    this.#untold.delete(channel)
    return this.#visitors.core.clock.nowMs() < closed.untilMs ? closed : undefined
  }

  leave(): void {
    this.trail.end('normal')
    this.#intake?.leave(true)
    this.#intake = undefined
  }

  async #admit(): Promise<Intake | Refusal> {
    let closed: { readonly reason: Reason; readonly retryAfterMs: number | undefined } | undefined
    const admitted = await this.#visitors.core.admit({
      app: this.app,
      device: this.device,
      via: this.via,
      protocol: 'http',
      peer: this.#peer,
      trail: this.trail,
      stays: false,
      close: (reason, retryAfterMs) => {
        closed = { reason, retryAfterMs }
        this.#intake = undefined
        if (this.via === undefined) this.#visitors.doorman.forget(this)
      },
    })
    if (admitted.kind === 'refused') return refusalOf(admitted.reason, admitted.retryAfterMs)
    if (closed !== undefined) return refusalOf(closed.reason, closed.retryAfterMs)
    this.#intake = admitted.intake
    return admitted.intake
  }
}

/** All devices that spoke lately. */
export class Visitors {
  readonly core: Core
  readonly doorman: Doorman
  readonly #known = new Map<string, Visitor>()
  readonly #idle: Sweep<Visitor>
  /** New for every start, so that a token is never used twice. */
  readonly #prefix = randomBytes(5).toString('hex')
  #made = 0

  constructor(core: Core, doorman: Doorman) {
    this.core = core
    this.doorman = doorman
    this.#idle = new Sweep(core.clock, httpBounds.visitorIdleMs, 'http-visitors', (visitor) =>
      this.#idled(visitor),
    )
  }

  get size(): number {
    return this.#known.size
  }

  /** It has proved itself, by this request. */
  come(app: AppId, device: DeviceId, peer: string, via?: DeviceId): Visitor {
    const key = keyOf({ app, device, via })
    let visitor = this.#known.get(key)
    if (visitor === undefined) {
      visitor = new Visitor(this, { app, device, via }, peer)
      this.#known.set(key, visitor)
    }
    visitor.came(peer)
    this.#idle.add(visitor)
    return visitor
  }

  /** A name for one link, by which it can be traced. */
  makeToken(): LinkId {
    this.#made++
    return `${this.#prefix}-${this.#made.toString(36)}`
  }

  *links(): Iterable<HttpLink> {
    for (const { links } of this.#known.values()) yield* links.values()
  }

  stop(): void {
    this.#idle.stop()
    for (const visitor of this.#known.values()) visitor.leave()
    this.#known.clear()
  }

  #idled(visitor: Visitor): void {
    if (visitor.links.size > 0) {
      this.#idle.add(visitor)
      return
    }
    visitor.leave()
    this.#known.delete(keyOf(visitor))
  }
}

/** By itself and by each that speaks for it: whoever comes newest receives, as ever. */
const keyOf = ({ app, device, via }: Pick<Visitor, 'app' | 'device' | 'via'>): string =>
  via === undefined ? deviceKey(app, device) : `${deviceKey(app, device)}/${via}`
