import type {
  Attached,
  ChannelName,
  Downlink,
  KeptCommand,
  Reason,
  Trail,
} from '../../src/contract/index.ts'
import { type ChannelHost, MqttChannel } from './channel.ts'
import type { MqttClient } from './client.ts'
import { Downlinks } from './downlinks.ts'
import { commandTopic } from './topics.ts'
import type { Wire } from './wire.ts'

/** How a subscription went. `start` once the client has been told. */
export type Subscribed =
  | { readonly kind: 'granted'; readonly qos: 0 | 1; start(): void }
  | { readonly kind: 'refused'; readonly reason: Reason; readonly retryAfterMs?: number }

interface Filter {
  readonly filter: string
  readonly channels: readonly MqttChannel[]
  readonly qos: 0 | 1
}

/**
 * What one client receives: its subscriptions, the channels they ask for, and what comes down.
 *
 *     subscribe ─▶ topics ─▶ a channel each: Link ◀▶ Session
 *     deliver ───▶ downlinks: a packet id ─▶ wire         PUBACK ─▶ session.acknowledge(offset)
 */
export class Receiver implements ChannelHost {
  readonly downlinks: Downlinks
  readonly #client: MqttClient
  readonly #wire: Wire
  readonly #token: string
  // Lists, each as long as it must be: they are few, and every idle device has them.
  #channels: readonly MqttChannel[] = []
  #filters: readonly Filter[] = []
  #links = 0
  /** Subscriptions are taken one after the other. */
  #subscribing: Promise<unknown> | undefined

  /** @param token names the connection; its links are named after it. */
  constructor(client: MqttClient, wire: Wire, token: string) {
    this.#client = client
    this.#wire = wire
    this.#token = token
    this.downlinks = new Downlinks(wire, client.house.core.clock)
  }

  get protocol(): string {
    return this.#wire.protocol
  }

  get peer(): string {
    return this.#wire.peer
  }

  trailOf(name: ChannelName): Trail {
    const { trail, app, device } = this.#client
    return trail.as(app, device, name)
  }

  get isSubscribed(): boolean {
    return this.#channels.length > 0
  }

  touch(): void {
    for (const { session } of this.#channels) session?.touch()
  }

  /** @param qos the most it wants; at most 1 is granted. */
  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<Subscribed> {
    const before = this.#subscribing
    const subscribed = (async () => {
      await before
      return this.#subscribe(filter, qos === 0 ? 0 : 1)
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

  /** PUBACK of a command. @returns false: no such packet id is out. */
  acknowledge(messageId: number): boolean {
    return this.downlinks.acknowledge(messageId)
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
    this.downlinks.end()
    const channels = this.#channels
    this.#channels = []
    this.#filters = []
    for (const channel of channels) channel.end()?.detach(graceful)
  }

  // What the core does.

  close(reason: Reason, retryAfterMs?: number): void {
    this.#client.close(reason, retryAfterMs)
  }

  carries(channel: MqttChannel, command: KeptCommand): boolean {
    const topic = this.#topicOf(channel, command)
    return this.#wire.carries(topic, command)
  }

  deliver(channel: MqttChannel, { command, repeated }: Downlink): 'open' | 'full' {
    const topic = this.#topicOf(channel, command)
    this.downlinks.send(channel, topic, command, repeated)
    // Once said it holds until `drained`, whatever else of this turn still comes and is taken.
    channel.full ||= this.#wire.isFull()
    return channel.full ? 'full' : 'open'
  }

  #topicOf({ template, name }: MqttChannel, command: KeptCommand): string {
    const nowMs = this.#client.house.core.clock.nowMs()
    return commandTopic(template, this.#client, command, name, nowMs)
  }

  async #subscribe(filter: string, qos: 0 | 1): Promise<Subscribed> {
    const { core, counts, topics } = this.#client.house
    const wanted = topics.wanted(this.#client, filter)
    if (wanted === undefined) {
      counts.foreignTotal++
      return { kind: 'refused', reason: 'unauthorized' }
    }
    const known = this.#filters.find((one) => one.filter === filter)
    if (known?.qos === qos) return { kind: 'granted', qos, start: nothingToStart }
    if (known !== undefined) this.#unsubscribe(filter)
    if (this.#filters.length >= core.limits.mqttSubscriptionsMax) {
      return { kind: 'refused', reason: 'overloaded' }
    }
    const channels: MqttChannel[] = []
    const fresh: MqttChannel[] = []
    for (const name of wanted.channels) {
      const there = this.#channels.find((one) => one.name === name)
      if (there === undefined) {
        const id = this.#links++ === 0 ? this.#token : `${this.#token}.${this.#links}`
        const made = new MqttChannel(this, id, name, qos, wanted.template)
        channels.push(made)
        fresh.push(made)
      } else channels.push(there)
    }
    const refused = await this.#attach(fresh)
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
    this.#client.inherit()
    let refused: (Attached & { kind: 'refused' }) | undefined
    for (const [index, attached] of all.entries()) {
      if (attached.kind === 'refused') refused ??= attached
      else fresh[index]!.session = attached.session
    }
    for (const channel of fresh) {
      if (channel.refused !== undefined)
        refused ??= { kind: 'refused', ...channel.refused } as const
    }
    if (this.#client.isOver) refused ??= { kind: 'refused', reason: 'normal' }
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
    return this.#client.house.core.attach(link, {
      app: this.#client.app,
      device: this.#client.device,
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
      this.downlinks.drop(channel)
      channel.end()?.detach(true)
    }
    return true
  }
}

const nothingToStart = (): void => {}
