import { closeCode } from '../adapters/pike/frames.ts'
import type { Clock, Timer } from '../src/contract/index.ts'
import type { DeviceKeys } from '../src/secrets/secrets.ts'
import type { DeviceChannel } from './channel.ts'
import type { Downlink } from './downlink.ts'
import { Heartbeat } from './heartbeat.ts'
import type { Keeper } from './keeper.ts'
import { type Cause, type Effect, type Input, Lifecycle, type State } from './lifecycle.ts'
import type { DeviceLimits } from './limits.ts'
import type { PikeClientEvents, PikeClientOptions } from './options.ts'
import type { SendFailure, Slot } from './outbox.ts'
import { Session } from './pike/session.ts'
import { reconnectPolicy } from './reconnect.ts'
import type { ClientSession, Move, SessionEvents, SessionParts } from './session.ts'

const never = Number.POSITIVE_INFINITY

/** What its roads need of a client. */
export interface RoadHost {
  readonly options: PikeClientOptions
  readonly limits: DeviceLimits
  readonly clock: Clock
  readonly keeper: Keeper
  readonly downlink: Downlink
  keys(kdf: DeviceKeys['kdf']): Promise<DeviceKeys>
  kept(channel: DeviceChannel, slot: Slot): void
  notTaken(channel: DeviceChannel, slot: Slot, why: SendFailure): void
  tailLost(report: PikeClientEvents['tailLost'][0]): void
  entered(road: Road, state: State): void
  /** Something was opened; it ends with that promise. */
  opened(closed: Promise<void>): void
  /** The gateway wants a channel on another road. @returns false: it stays on this one. */
  moves(road: Road, channel: string, to: Move): boolean
}

/**
 * One connection to the gateway at a time, for some of a client's channels: with its own states,
 * heartbeat, patrol and timer. The channels outlive it, and may move to another one.
 */
export class Road {
  /** The first is what the session opens first. */
  names: readonly string[]
  /** It is for one channel that is to be alone. */
  independent: boolean
  readonly heartbeat = new Heartbeat()
  readonly #host: RoadHost
  readonly #lifecycle: Lifecycle
  #session: ClientSession | undefined
  #timer: Timer | undefined
  #timerAtMs = never
  #patrolAtMs = never

  constructor(host: RoadHost, names: readonly string[], independent: boolean) {
    const { options, limits } = host
    this.#host = host
    this.names = names
    this.independent = independent
    this.#lifecycle = new Lifecycle({
      startTimeoutMs: limits.startTimeoutMs,
      random: options.random ?? Math.random,
      policy: options.reconnect ?? reconnectPolicy,
      ...(options.refusedRetryMs !== undefined && { refusedRetryMs: options.refusedRetryMs }),
    })
  }

  get state(): State {
    return this.#lifecycle.state
  }

  get session(): ClientSession | undefined {
    return this.#session
  }

  get channels(): readonly DeviceChannel[] {
    return this.#host.keeper.channels.filter(({ name }) => this.names.includes(name))
  }

  input(input: Input): void {
    for (const effect of this.#lifecycle.input(input, this.#host.clock.nowMs()))
      this.#perform(effect)
    this.#arm()
  }

  /** One more channel goes this way. */
  add(name: string): void {
    this.names = [...this.names, name]
    const channel = this.#host.keeper.find(name)
    if (channel !== undefined) this.#session?.add?.(channel)
  }

  remove(name: string): void {
    this.names = this.names.filter((one) => one !== name)
  }

  /** Storage loaded and a connection wanted: make it. */
  connect(): void {
    const connection = this.#lifecycle.connection
    if (connection === 0 || this.#session !== undefined) return
    const host = this.#host
    const { options, limits, keeper, downlink, clock } = host
    const events: SessionEvents = {
      ready: (policy) => this.input({ kind: 'ready', connection, policy }),
      acknowledged: () => {
        this.#lifecycle.input({ kind: 'acknowledged', connection }, 0)
      },
      kept: (channel, slot) => host.kept(channel, slot),
      notTaken: (channel, slot, why) => host.notTaken(channel, slot, why),
      tailLost: (report) => host.tailLost(report),
      moves: (channel, to) => host.moves(this, channel.name, to),
      lost: (cause) => this.#lost(connection, cause),
    }
    const parts: SessionParts = {
      options,
      limits,
      keeper,
      channels: this.channels,
      independent: this.independent,
      heartbeat: this.heartbeat,
      downlink,
      nowMs: () => clock.nowMs(),
      keys: (kdf) => host.keys(kdf),
      changed: () => this.#arm(),
    }
    this.#session = options.session?.(parts, events) ?? new Session(parts, events)
    host.opened(this.#session.closed)
  }

  #lost(connection: number, cause: Cause): void {
    const freed =
      this.independent &&
      connection === this.#lifecycle.connection &&
      cause.kind === 'closed' &&
      cause.code === closeCode.shared
    if (freed && this.#host.moves(this, this.names[0]!, 'shared')) return
    this.input({ kind: 'lost', connection, cause })
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'connect':
        if (this.#host.keeper.ready) this.connect()
        else this.#host.keeper.load()
        return
      case 'disconnect': {
        const session = this.#session
        this.#session = undefined
        for (const channel of this.channels) channel.lost()
        session?.end(effect.politely)
        return
      }
      case 'state':
        this.#patrolAtMs = never
        if (effect.state.kind === 'running')
          this.#patrolAtMs = this.#host.clock.nowMs() + this.heartbeat.intervalMs
        this.#host.entered(this, effect.state)
    }
  }

  /** One timer for everything. A due time that moved away leaves it standing: it looks again. */
  #arm(): void {
    const dueMs = Math.min(this.#lifecycle.dueMs, this.#patrolAtMs, this.#session?.dueMs ?? never)
    if (dueMs >= this.#timerAtMs && this.state.kind !== 'stopped') return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAtMs = dueMs
    if (dueMs === never) return
    this.#timer = this.#host.clock.at(dueMs, 'pike client', () => {
      this.#timer = undefined
      this.#timerAtMs = never
      this.#tick(this.#host.clock.nowMs())
    })
  }

  #tick(nowMs: number): void {
    this.#session?.tick(nowMs)
    if (nowMs >= this.#patrolAtMs) {
      this.#patrolAtMs = nowMs + this.heartbeat.intervalMs
      this.input({ kind: 'patrol', usable: this.#session?.usable ?? false })
    } else this.input({ kind: 'tick' })
  }
}
