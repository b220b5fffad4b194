import type {
  AppId,
  Attached,
  ChannelName,
  CommandId,
  DeviceId,
  Downlink,
  KeptCommand,
  LinkId,
  Reason,
  Trail,
} from '../../src/contract/index.ts'
import { type ChannelHost, MqttChannel } from './channel.ts'
import type { Downlinks } from './downlinks.ts'
import type { House } from './house.ts'
import { commandTopic, type Wanted } from './topics.ts'
import { UnansweredCommands } from './unanswered.ts'
import type { Publisher } from './voice.ts'
import type { Wire } from './wire.ts'

/** How a subscription went. `start` once the client has been told. */
export type Subscribed =
  | { readonly kind: 'granted'; readonly qos: 0 | 1; start(): void }
  | {
      readonly kind: 'refused'
      readonly reason: Reason
      readonly retryAfterMs?: number
      /** It concerns one of several devices on the connection, which goes on. */
      readonly spares?: boolean
    }

/** Whose commands it receives. */
export interface ReceiverHost {
  readonly house: House
  readonly app: AppId
  readonly device: DeviceId
  readonly via?: DeviceId | undefined
  readonly trail: Trail
  readonly publisher: Publisher
  readonly isOver: boolean
  /** Of the whole connection: packet ids are. */
  readonly downlinks: Downlinks
  makeLinkId(): LinkId
  /** May it have so many channels more, for one filter more? */
  hasRoom(channels: number): boolean
  /** The connection is old. */
  leave(spreadMs: number): void
  /** Who received before it, by the same client id, does no more. */
  inherit(): void
  close(reason: Reason, retryAfterMs?: number): void
}

interface Filter {
  readonly filter: string
  readonly channels: readonly MqttChannel[]
  readonly qos: 0 | 1
}

/**
 * What one device receives over a connection: its subscriptions, the channels they ask for, and what comes down.
 *
 *     subscribe ─▶ topics ─▶ a channel each: Link ◀▶ Session
 *     deliver ───▶ downlinks: a packet id ─▶ wire         PUBACK ─▶ session.acknowledge(offset)
 */
export class Receiver implements ChannelHost {
  readonly #host: ReceiverHost
  readonly #wire: Wire
  // Lists, each as long as it must be: they are few, and every idle device has them.
  #channels: readonly MqttChannel[] = []
  #filters: readonly Filter[] = []
  /** Channels on their way to be attached. */
  #coming = 0
  #unanswered: UnansweredCommands | undefined
  /** Subscriptions are taken one after the other. */
  #subscribing: Promise<unknown> | undefined

  constructor(host: ReceiverHost, wire: Wire) {
    this.#host = host
    this.#wire = wire
  }

  get app(): AppId {
    return this.#host.app
  }

  get device(): DeviceId {
    return this.#host.device
  }

  get via(): DeviceId | undefined {
    return this.#host.via
  }

  get protocol(): string {
    return this.#wire.protocol
  }

  get peer(): string {
    return this.#wire.peer
  }

  get client(): string {
    return this.#host.publisher.clientId
  }

  whyEnded(): Reason | undefined {
    const { why } = this.#wire
    return why === 'lost' ? undefined : why
  }

  trailOf(name: ChannelName): Trail {
    const { trail, app, device } = this.#host
    return trail.as(app, device, name)
  }

  get isSubscribed(): boolean {
    return this.#channels.length > 0
  }

  /** Nothing of it is there, nor on its way. */
  get isEmpty(): boolean {
    return this.#channels.length === 0 && this.#subscribing === undefined
  }

  /** How many it has, those on their way with them. */
  get channelCount(): number {
    return this.#channels.length + this.#coming
  }

  get filterCount(): number {
    return this.#filters.length
  }

  touch(): void {
    for (const { session } of this.#channels) session?.touch()
  }

  /**
   * @param wanted what the filter means.
   * @param qos the most it wants; at most 1 is granted.
   */
  async subscribe(filter: string, qos: 0 | 1 | 2, wanted: Wanted): Promise<Subscribed> {
    const before = this.#subscribing
    const subscribed = (async () => {
      await before
      return this.#subscribe(filter, qos === 0 ? 0 : 1, wanted)
    })()
    this.#subscribing = subscribed
    const outcome = await subscribed
    if (this.#subscribing === subscribed) this.#subscribing = undefined
    return outcome
  }

  /** @returns false: it was not subscribed to that. */
  async unsubscribe(filter: string): Promise<boolean> {
    await this.#subscribing
    return this.#unsubscribe(filter)
  }

  /** Rule 26: to what a reply without a command's id belongs. */
  oldestUnanswered(): CommandId | undefined {
    return this.#unanswered?.oldest(this.#host.house.core.clock.nowMs())
  }

  answered(id: CommandId): void {
    this.#unanswered?.answered(id)
  }

  /** Its reply is kept: it is not written any more. */
  ended(id: CommandId): void {
    this.#host.downlinks.ended(id)
  }

  /** There is room again after the wire was full. */
  drained(): void {
    for (const channel of this.#channels) {
      if (!channel.full || this.#wire.isFull()) continue
      channel.full = false
      channel.session?.drained()
    }
  }

  end(graceful: boolean): void {
    this.#unanswered = undefined
    const channels = this.#channels
    this.#channels = []
    this.#filters = []
    for (const channel of channels) {
      this.#host.downlinks.drop(channel)
      channel.end()?.detach(graceful)
    }
  }

  // What the core does.

  leave(spreadMs: number): void {
    this.#host.leave(spreadMs)
  }

  close(reason: Reason, retryAfterMs?: number): void {
    this.#host.close(reason, retryAfterMs)
  }

  carries(channel: MqttChannel, command: KeptCommand): boolean {
    const topic = this.#topicOf(channel, command)
    return this.#wire.carries(topic, command, channel)
  }

  remember(command: KeptCommand): void {
    this.#unanswered ??= new UnansweredCommands()
    this.#unanswered.add(command)
  }

  deliver(channel: MqttChannel, { command, repeated }: Downlink): 'open' | 'full' {
    const topic = this.#topicOf(channel, command)
    this.#host.downlinks.send(channel, topic, command, repeated)
    // Once said it holds until `drained`, whatever else of this turn still comes and is taken.
    channel.full ||= this.#wire.isFull()
    return channel.full ? 'full' : 'open'
  }

  #topicOf({ template, prefix, name }: MqttChannel, command: KeptCommand): string {
    const nowMs = this.#host.house.core.clock.nowMs()
    return commandTopic(template, this.#host, command, name, nowMs, prefix)
  }

  async #subscribe(filter: string, qos: 0 | 1, wanted: Wanted): Promise<Subscribed> {
    const { limits } = this.#host.house.core
    const known = this.#filters.find((one) => one.filter === filter)
    if (known?.qos === qos) return { kind: 'granted', qos, start: nothingToStart }
    if (known !== undefined) this.#unsubscribe(filter)
    if (this.#filters.length >= limits.mqttSubscriptionsMax) {
      return { kind: 'refused', reason: 'overloaded' }
    }
    const channels: MqttChannel[] = []
    const fresh: MqttChannel[] = []
    for (const name of wanted.channels) {
      const there = this.#channels.find((one) => one.name === name)
      if (there === undefined) {
        const made = new MqttChannel(this, this.#host.makeLinkId(), name, qos, wanted)
        channels.push(made)
        fresh.push(made)
      } else channels.push(there)
    }
    if (!this.#host.hasRoom(fresh.length)) return { kind: 'refused', reason: 'overloaded' }
    this.#coming += fresh.length
    const refused = await this.#attach(fresh).finally(() => {
      this.#coming -= fresh.length
    })
    if (refused !== undefined) return refused
    for (const channel of channels) if (!fresh.includes(channel)) channel.filters++
    this.#filters = this.#filters.concat({ filter, channels: channels.slice(), qos })
    const start = (): void => {
      for (const { session } of fresh) session?.start()
    }
    // Where it had a channel already, with another quality, that one holds.
    return { kind: 'granted', qos: channels.every((one) => one.qos === 1) ? 1 : 0, start }
  }

  /** All of them or none. */
  async #attach(fresh: readonly MqttChannel[]): Promise<Subscribed | undefined> {
    const all = await Promise.all(fresh.map((channel) => this.#attachOne(channel)))
    this.#host.inherit()
    let refused: (Attached & { kind: 'refused' }) | undefined
    for (const [index, attached] of all.entries()) {
      if (attached.kind === 'refused') refused ??= attached
      else fresh[index]!.session = attached.session
    }
    for (const channel of fresh) {
      if (channel.refused !== undefined)
        refused ??= { kind: 'refused', ...channel.refused } as const
    }
    if (this.#host.isOver) refused ??= { kind: 'refused', reason: 'normal' }
    if (refused === undefined) {
      this.#channels = this.#channels.concat(fresh)
      return undefined
    }
    for (const channel of fresh) channel.end()?.detach(false)
    return refused
  }

  #attachOne(link: MqttChannel): Promise<Attached> {
    // A reply that names no command belongs to the oldest: only one may be out (rule 26).
    // Half of what the client takes, so that one channel that is stuck leaves room for the other.
    const half = Math.max(1, Math.floor(this.#wire.receiveMaximum / 2))
    const window = link.template.namesCommand ? half : 1
    return this.#host.house.core.attach(link, {
      app: this.#host.app,
      device: this.#host.device,
      channel: link.name,
      adapterWatches: true,
      windowMaxCommands: window,
    })
  }

  #unsubscribe(filter: string): boolean {
    const known = this.#filters.find((one) => one.filter === filter)
    if (known === undefined) return false
    this.#filters = this.#filters.filter((one) => one !== known)
    for (const channel of known.channels) {
      channel.filters--
      if (channel.filters > 0) continue
      this.#channels = this.#channels.filter((one) => one !== channel)
      this.#host.downlinks.drop(channel)
      channel.end()?.detach(true)
    }
    return true
  }
}

const nothingToStart = (): void => {}
