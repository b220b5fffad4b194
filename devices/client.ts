import { EventEmitter } from 'node:events'
import type { Clock, Timer } from '../src/contract/index.ts'
import { type DeviceKeys, deriveKeys, kdfFor } from '../src/secrets/secrets.ts'
import type { DeviceChannel } from './channel.ts'
import { deviceClock } from './clock.ts'
import { type Command, type CommandReply, toPayload } from './command.ts'
import { type Answer, Downlink } from './downlink.ts'
import { Heartbeat } from './heartbeat.ts'
import { Keeper } from './keeper.ts'
import { type Effect, type Input, Lifecycle, type State } from './lifecycle.ts'
import { type DeviceLimits, deviceLimits } from './limits.ts'
import type { PikeClientEvents, PikeClientOptions } from './options.ts'
import type { SendFailure, Sent, Slot } from './outbox.ts'
import { reconnectPolicy } from './reconnect.ts'
import { type ClientSession, Session, type SessionEvents, type SessionParts } from './session.ts'
import { memoryStorage, type StorageChange, type Uplink } from './storage.ts'

const never = Number.POSITIVE_INFINITY

/**
 * A device's end of Pike. Keeps one connection to the gateway while it is started, and in its
 * storage what must not be lost: where it stands in each channel, and what the gateway has not
 * acknowledged yet. Its states, with their picture, are in `lifecycle.ts`.
 *
 *     application ──send──▶ outbox ──▶ storage ──▶ session ──▶ gateway
 *     application ◀─receive─ downlink ◀── inbox ◀── session ◀── gateway
 *                               └──▶ storage ──▶ ACK or REPLY
 *
 * One timer a client. Nothing a peer sends makes it throw.
 */
export class PikeClient extends EventEmitter<PikeClientEvents> {
  readonly device: string
  readonly #options: PikeClientOptions
  readonly #names: readonly string[]
  readonly #clock: Clock
  readonly #limits: DeviceLimits
  readonly #keeper: Keeper
  readonly #lifecycle: Lifecycle
  readonly #heartbeat = new Heartbeat()
  readonly #downlink: Downlink
  #keys: Promise<DeviceKeys> | undefined
  #session: ClientSession | undefined
  /** Ends when nothing of us is open any more. */
  #closed: Promise<void> = Promise.resolve()
  #timer: Timer | undefined
  #timerAtMs = never
  #patrolAtMs = never

  /** @throws RangeError for channels that cannot be. */
  constructor(options: PikeClientOptions) {
    super()
    this.device = options.device
    this.#options = options
    this.#names = options.channels ?? ['main', 'urgent']
    const count = this.#names.length
    if (count < 1 || count > 64 || new Set(this.#names).size !== count)
      throw new RangeError('a client has 1 to 64 channels, each once')
    this.#clock = options.clock ?? deviceClock
    this.#limits = { ...deviceLimits, ...options.limits }
    this.#lifecycle = new Lifecycle({
      startTimeoutMs: this.#limits.startTimeoutMs,
      random: options.random ?? Math.random,
      policy: options.reconnect ?? reconnectPolicy,
    })
    this.#keeper = new Keeper({
      storage: options.storage ?? memoryStorage(),
      names: this.#names,
      limits: this.#limits,
      loaded: () => this.#connect(),
      failed: (error) => this.#input({ kind: 'storage-failed', text: error.message }),
    })
    this.#downlink = new Downlink({
      device: options.device,
      nowMs: () => this.#clock.nowMs(),
      running: () => this.#lifecycle.state.kind === 'running',
      receivers: () => this.listeners('receive') as ((...args: unknown[]) => unknown)[],
      acted: (channel, position, answer, stored) => {
        const change = { kind: 'position', channel: channel.name, position } as const
        if (answer === undefined) this.#keeper.change(channel, [change], stored)
        else this.#answer(channel, answer, [change], stored)
      },
      answered: (channel, answer) => this.#answer(channel, answer, [], () => {}),
      late: (command) => this.emit('late', command),
      failed: (error, command) => {
        if (this.emit('fault', error, command)) return
        process.emitWarning(error instanceof Error ? error : String(error))
      },
      owing: () => this.#session?.scheduleFlush(),
    })
  }

  get state(): State {
    return this.#lifecycle.state
  }

  /** Uplinks the gateway has not acknowledged yet, over all channels. */
  get outboxSize(): number {
    return this.#keeper.channels.reduce((sum, { outbox }) => sum + outbox.size, 0)
  }

  /** Connect, and stay connected until `stop`. Does nothing unless stopped. */
  start(): void {
    this.#input({ kind: 'start' })
  }

  /**
   * Say goodbye and do nothing more. Resolves when the socket is gone and the storage closed. What
   * was not acknowledged stays stored and goes after a start; whoever waits for it hears `stopped`.
   */
  async stop(): Promise<void> {
    this.#input({ kind: 'stop' })
    await this.#closed
  }

  /** Drop what connection there is and make a new one at once. Also after a refusal. */
  restart(): void {
    this.#input({ kind: 'restart' })
  }

  /**
   * Send an event. Reliable unless asked otherwise: stored first, then sent until the gateway has
   * it; kept there once, in order within its channel.
   *
   * @param payload a Uint8Array goes as bytes, anything else as JSON.
   * @returns resolves once the gateway has it, or with why it never will. Never rejects.
   */
  send(
    name: string,
    payload?: unknown,
    options?: { readonly channel?: string; readonly reliable?: boolean },
  ): Promise<Sent> {
    const channelName = options?.channel ?? this.#names[0]!
    const data = toPayload(payload)
    if (this.state.kind === 'stopped') return this.#refuse(channelName, 'stopped', name)
    if (data === undefined || name === '' || !this.#names.includes(channelName))
      return this.#refuse(channelName, 'invalid', name)
    if (this.#keeper.tooLarge(name, data.bytes)) return this.#refuse(channelName, 'too-large', name)
    // Finding out that the connection is dead does not wait for the next beat.
    this.#session?.checkLife(this.#clock.nowMs())
    const { bytes, binary } = data
    if (options?.reliable === false) {
      const channel = this.#keeper.find(channelName)
      if (this.state.kind !== 'running' || this.#session === undefined || channel === undefined)
        return this.#refuse(channelName, 'not-connected', name)
      const kind = this.#session.writeUnreliable(channel, name, bytes, binary)
      return kind === 'busy' ? this.#refuse(channelName, 'busy', name) : Promise.resolve({ kind })
    }
    return new Promise((settle) => {
      const add = () => {
        const channel = this.#keeper.find(channelName)
        if (channel === undefined) return settle({ kind: 'failed', reason: 'storage' })
        if (!channel.outbox.room('event', bytes.length))
          return settle(this.#failure(channelName, 'outbox-full', name))
        const sequence = channel.outbox.nextSequence
        const uplink: Uplink = { kind: 'event', sequence, name, payload: bytes, binary }
        this.#keeper.keep(channel, uplink, settle, [], () => this.#session?.scheduleFlush())
      }
      if (!this.#keeper.whenLoaded(add, settle))
        settle(this.#failure(channelName, 'outbox-full', name))
    })
  }

  /** The same as the `respond` that came with the command. Once a command; never rejects. */
  reply(command: Command, reply: CommandReply): Promise<Sent> {
    return this.#downlink.respond(command, reply)
  }

  #input(input: Input): void {
    for (const effect of this.#lifecycle.input(input, this.#clock.nowMs())) this.#perform(effect)
    this.#arm()
  }

  #perform(effect: Effect) {
    switch (effect.kind) {
      case 'connect':
        if (this.#keeper.ready) this.#connect()
        else this.#keeper.load()
        return
      case 'disconnect': {
        const session = this.#session
        this.#session = undefined
        for (const channel of this.#keeper.channels) channel.lost()
        session?.end(effect.politely)
        return
      }
      case 'state':
        return this.#entered(effect.state)
    }
  }

  /** Storage loaded and a connection wanted: make it. */
  #connect(): void {
    const connection = this.#lifecycle.connection
    if (connection === 0 || this.#session !== undefined) return
    const events: SessionEvents = {
      ready: (policy) => this.#input({ kind: 'ready', connection, policy }),
      acknowledged: () => {
        this.#lifecycle.input({ kind: 'acknowledged', connection }, 0)
      },
      kept: (channel, slot) => this.#kept(channel, slot),
      tooLarge: (channel, slot) => {
        const { kind, sequence } = slot.uplink
        const { name } = channel
        this.#settle(slot, this.#failure(name, 'too-large', nameOf(slot), kind, sequence))
      },
      tailLost: (report) => this.emit('tailLost', report),
      lost: (cause) => this.#input({ kind: 'lost', connection, cause }),
    }
    const parts: SessionParts = {
      options: this.#options,
      limits: this.#limits,
      keeper: this.#keeper,
      heartbeat: this.#heartbeat,
      downlink: this.#downlink,
      nowMs: () => this.#clock.nowMs(),
      keys: (kdf) => this.#deriveKeys(kdf),
      changed: () => this.#arm(),
    }
    this.#session = this.#options.session?.(parts, events) ?? new Session(parts, events)
    this.#alsoClose(this.#session.closed)
  }

  #entered(state: State): void {
    this.#patrolAtMs = never
    if (state.kind === 'running')
      this.#patrolAtMs = this.#clock.nowMs() + this.#heartbeat.intervalMs
    if (state.kind === 'stopped') {
      this.#keeper.settleAll({ kind: 'failed', reason: 'stopped' })
      this.#alsoClose(this.#keeper.close())
    }
    this.emit('state', state)
    if (this.state !== state) return // whoever heard it has moved us on
    if (state.kind === 'starting') this.emit('starting')
    else if (state.kind === 'waiting') this.emit('waiting', state)
    else if (state.kind === 'stopped') this.emit('stopped', state.reason)
    else this.#began()
  }

  /** Each connection adds to it for as long as the client lives, so what came before must not stay in it. */
  #alsoClose(closing: Promise<void>): void {
    this.#closed = Promise.all([this.#closed, closing]).then(nothing)
  }

  #began(): void {
    const { channels } = this.#keeper
    this.emit('running', {
      connection: channels[0]?.session?.connection ?? '',
      keepaliveMs: this.#heartbeat.intervalMs,
      channels: channels.map(({ name, session }) => ({
        channel: name,
        resumed: session?.resumed ?? 'fresh',
      })),
    })
    for (const channel of channels) this.#downlink.pump(channel)
    this.#session?.scheduleFlush()
  }

  /** One timer for everything. A due time that moved away leaves it standing: it looks again. */
  #arm(): void {
    const dueMs = Math.min(this.#lifecycle.dueMs, this.#patrolAtMs, this.#session?.dueMs ?? never)
    if (dueMs >= this.#timerAtMs && this.state.kind !== 'stopped') return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAtMs = dueMs
    if (dueMs === never) return
    this.#timer = this.#clock.at(dueMs, 'pike client', () => {
      this.#timer = undefined
      this.#timerAtMs = never
      this.#tick(this.#clock.nowMs())
    })
  }

  #tick(nowMs: number): void {
    this.#session?.tick(nowMs)
    if (nowMs >= this.#patrolAtMs) {
      this.#patrolAtMs = nowMs + this.#heartbeat.intervalMs
      this.#input({ kind: 'patrol', usable: this.#session?.usable ?? false })
    } else this.#input({ kind: 'tick' })
  }

  /** Once, not for each connection: it is meant to be slow. */
  #deriveKeys(kdf: DeviceKeys['kdf']): Promise<DeviceKeys> {
    const { app = 'default', device, secret } = this.#options
    // A proof over keys that cost nothing to guess would give a weak secret away to whoever asks.
    if (kdf !== kdfFor(secret))
      return Promise.reject(new Error(`the server challenged with ${kdf}, which was not asked for`))
    this.#keys ??= deriveKeys(secret, app, device, kdf)
    return this.#keys
  }

  #answer(
    channel: DeviceChannel,
    answer: Answer,
    changes: StorageChange[],
    stored: () => void,
  ): void {
    const failure = this.#keeper.keepAnswer(channel, answer, changes, () => {
      stored()
      this.#session?.scheduleFlush()
    })
    if (failure !== undefined) answer.settle(this.#failure(channel.name, failure, '', 'reply'))
  }

  #kept(channel: DeviceChannel, slot: Slot): void {
    const { sequence } = slot.uplink
    this.#settle(slot, { kind: 'kept', sequence })
    if (this.listenerCount('sendSuccess') === 0) return
    const { kind } = slot.uplink
    const { uplinkEpoch } = channel.outbox
    const report = { channel: channel.name, kind, sequence, uplinkEpoch, name: nameOf(slot) }
    this.emit('sendSuccess', report)
  }

  #settle(slot: Slot, sent: Sent): void {
    slot.settle?.(sent)
    slot.settle = undefined
  }

  #refuse(channel: string, reason: SendFailure, name: string): Promise<Sent> {
    return Promise.resolve(this.#failure(channel, reason, name))
  }

  #failure(
    channel: string,
    reason: SendFailure,
    name: string,
    kind: Uplink['kind'] = 'event',
    sequence = 0,
  ): Sent {
    const uplinkEpoch = this.#keeper.find(channel)?.outbox.uplinkEpoch ?? 0
    this.emit('sendFailure', { channel, kind, sequence, uplinkEpoch, name, reason })
    return { kind: 'failed', reason }
  }
}

const nothing = (): void => {}

const nameOf = ({ uplink }: Slot): string => (uplink.kind === 'event' ? uplink.name : '')
