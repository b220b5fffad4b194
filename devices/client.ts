import { EventEmitter } from 'node:events'
import type { Clock } from '../src/contract/index.ts'
import { type DeviceKeys, deriveKeys, kdfFor } from '../src/secrets/secrets.ts'
import type { DeviceChannel } from './channel.ts'
import { deviceClock } from './clock.ts'
import { type Command, type CommandReply, toPayload } from './command.ts'
import { type Answer, Downlink } from './downlink.ts'
import { Keeper } from './keeper.ts'
import type { Input, State } from './lifecycle.ts'
import { type DeviceLimits, deviceLimits } from './limits.ts'
import type { PikeClientEvents, PikeClientOptions } from './options.ts'
import type { SendFailure, Sent, Slot } from './outbox.ts'
import type { Road, RoadHost } from './road.ts'
import { Roads } from './roads.ts'
import type { Move } from './session.ts'
import { memoryStorage, type StorageChange, type Uplink } from './storage.ts'

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
  readonly #roads: Roads
  readonly #downlink: Downlink
  #keys: Promise<DeviceKeys> | undefined
  /** Ends when nothing of us is open any more. */
  #closed: Promise<void> = Promise.resolve()

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
    this.#keeper = new Keeper({
      storage: options.storage ?? memoryStorage(),
      names: this.#names,
      limits: this.#limits,
      loaded: () => {
        for (const road of this.#roads.all) road.connect()
      },
      failed: (error) => this.#input({ kind: 'storage-failed', text: error.message }),
    })
    this.#downlink = new Downlink({
      device: options.device,
      nowMs: () => this.#clock.nowMs(),
      running: ({ name, session }) =>
        session !== undefined && this.#roads.of(name)?.state.kind === 'running',
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
      owing: (channel) => this.#flush(channel),
    })
    const host: RoadHost = {
      options,
      limits: this.#limits,
      clock: this.#clock,
      keeper: this.#keeper,
      downlink: this.#downlink,
      keys: (kdf) => this.#deriveKeys(kdf),
      kept: (channel, slot) => this.#kept(channel, slot),
      notTaken: (channel, slot, why) => {
        const { kind, sequence } = slot.uplink
        this.#settle(slot, this.#failure(channel.name, why, nameOf(slot), kind, sequence))
      },
      tailLost: (report) => this.emit('tailLost', report),
      entered: (road, state) => this.#entered(road, state),
      opened: (closed) => this.#alsoClose(closed),
      moves: (road, channel, to) => this.#moves(road, channel, to),
    }
    this.#roads = new Roads(host, this.#names)
  }

  /** Of the connection by which its first channel goes. */
  get state(): State {
    return this.#roads.home.state
  }

  /** Of the connection by which this channel goes: an independent one has its own. */
  stateOf(channel: string): State | undefined {
    return this.#roads.of(channel)?.state
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
    const road = this.#roads.of(channelName)
    road?.session?.checkLife(this.#clock.nowMs())
    const { bytes, binary } = data
    if (options?.reliable === false) {
      const channel = this.#keeper.find(channelName)
      if (channel?.session === undefined || road?.session === undefined)
        return this.#refuse(channelName, 'not-connected', name)
      if (road.state.kind !== 'running') return this.#refuse(channelName, 'not-connected', name)
      const kind = road.session.writeUnreliable(channel, name, bytes, binary)
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
        this.#keeper.keep(channel, uplink, settle, [], () => this.#flush(channel))
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
    for (const road of this.#roads.all) road.input(input)
  }

  #moves(road: Road, channel: string, to: Move): boolean {
    const was = road.independent
    const moved = this.#roads.moves(road, channel, to)
    if (moved || road.independent !== was)
      this.emit('moved', { channel, connection: to === 'shared' ? 'shared' : 'independent' })
    return moved
  }

  #flush(channel: DeviceChannel): void {
    this.#roads.of(channel.name)?.session?.scheduleFlush()
  }

  #entered(road: Road, state: State): void {
    if (!this.#roads.all.includes(road)) return // it was given up: its channel goes another way
    if (state.kind === 'stopped' && state.reason.kind === 'refused')
      for (const other of this.#roads.all) other.input({ kind: 'refused', reason: state.reason })
    if (road === this.#roads.home) this.#tell(road, state)
    if (state.kind !== 'running' || road.state !== state) return
    for (const channel of road.channels) this.#downlink.pump(channel)
    road.session?.scheduleFlush()
  }

  /** The first channel's road speaks for the client. */
  #tell(road: Road, state: State): void {
    if (state.kind === 'stopped') {
      this.#keeper.settleAll({ kind: 'failed', reason: 'stopped' })
      this.#alsoClose(this.#keeper.close())
    }
    this.emit('state', state)
    if (this.state !== state) return // whoever heard it has moved us on
    if (state.kind === 'starting') this.emit('starting')
    else if (state.kind === 'waiting') this.emit('waiting', state)
    else if (state.kind === 'stopped') this.emit('stopped', state.reason)
    else this.#report(road)
  }

  /** Each connection adds to it for as long as the client lives, so what came before must not stay in it. */
  #alsoClose(closing: Promise<void>): void {
    this.#closed = Promise.all([this.#closed, closing]).then(nothing)
  }

  #report({ channels, heartbeat }: Road): void {
    this.emit('running', {
      connection: channels[0]?.session?.connection ?? '',
      keepaliveMs: heartbeat.intervalMs,
      channels: channels.map(({ name, session }) => ({
        channel: name,
        resumed: session?.resumed ?? 'fresh',
      })),
    })
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
      this.#flush(channel)
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
