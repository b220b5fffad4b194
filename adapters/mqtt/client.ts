import type {
  Attached,
  ChannelName,
  Downlink,
  Intake,
  KeptCommand,
  Reason,
  Source,
  Stamp,
  Uplink,
} from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import { type ChannelHost, MqttChannel } from './channel.ts'
import { Downlinks } from './downlinks.ts'
import type { House } from './house.ts'
import { OnceNames } from './once.ts'
import { contentTypeOf, nothing, octets, own } from './payload.ts'
import { commandTopic, type Meaning } from './topics.ts'
import type { Wire } from './wire.ts'

/** Who a client is, once it has proved itself. */
export interface Who {
  readonly app: string
  readonly device: string
  readonly clientId: string
  /** Nothing is left of what this client id did before. */
  readonly isClean: boolean
  /** As it asked for; 0: it says nothing of itself while it is silent. */
  readonly keepaliveMs: number
  /** Said for it when it goes without a goodbye. */
  readonly will?: Incoming | undefined
}

/** A publish of a device. */
export interface Incoming {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1 | 2
  /** 0 at QoS 0. */
  readonly messageId: number
  readonly dup: boolean
  /** Left out: by what the payload looks like. */
  readonly contentType?: string | undefined
  readonly stamp?: Stamp | undefined
  /** Of a reply, where its topic does not say it. */
  readonly status?: string | undefined
  readonly reason?: string | undefined
}

/**
 * How a publish went. 'kept': acknowledge it. 'stale', 'unknown' (a reply to a command nobody has):
 * not kept, and it would not be if it came again. The rest is a refusal.
 */
export type Published =
  | 'kept'
  | 'stale'
  | 'unknown'
  | 'foreign-topic'
  | 'bad-name'
  | 'too-large'
  | 'unknown-channel'
  | 'unavailable'

/** How a subscription went. `start` once the client has been told. */
export type Subscribed =
  | { readonly kind: 'granted'; readonly qos: 0 | 1; start(): void }
  | { readonly kind: 'refused'; readonly reason: Reason; readonly retryAfterMs?: number }

interface Filter {
  readonly channels: readonly MqttChannel[]
  readonly qos: 0 | 1
}

/**
 * One connected client, whatever its version: who it is, what it says, what it is subscribed to.
 *
 *     publish ─────▶ topics ─▶ intake.receive | intake.reply ─▶ settled ─▶ PUBACK
 *     subscribe ───▶ topics ─▶ a channel each: Link ◀▶ Session
 *     PUBACK ──────▶ downlinks: packet id ─▶ session.acknowledge(offset)
 *     the end ─────▶ will ─▶ intake.leave, session.detach
 *
 * Holds no socket; what it writes goes through its {@link Wire}.
 */
export class MqttClient implements Source, ChannelHost {
  readonly house: House
  readonly who: Who
  readonly key: string
  readonly stays = true
  readonly #wire: Wire
  readonly #token: string
  readonly #downlinks: Downlinks
  readonly #channels = new Map<ChannelName, MqttChannel>()
  readonly #filters = new Map<string, Filter>()
  #links = 0
  #intake: Intake | undefined
  #once: OnceNames | undefined
  /** Subscriptions are taken one after the other. */
  #subscribing: Promise<unknown> | undefined
  #heardAtMs: number
  #held = false
  #over = false

  constructor(house: House, wire: Wire, who: Who, token: string) {
    this.house = house
    this.who = who
    this.key = `${who.app}/${who.device}/${who.clientId}`
    this.#wire = wire
    this.#token = token
    this.#downlinks = new Downlinks(wire, house.core.clock)
    this.#heardAtMs = house.core.clock.nowMs()
  }

  get app(): string {
    return this.who.app
  }

  get device(): string {
    return this.who.device
  }

  get protocol(): string {
    return this.#wire.protocol
  }

  get peer(): string {
    return this.#wire.peer
  }

  get isOver(): boolean {
    return this.#over
  }

  /**
   * Let it in; an older client of the same id is out by then [MQTT-3.1.4-2].
   * @returns why not.
   */
  async enter(): Promise<{ readonly reason: Reason; readonly retryAfterMs?: number } | undefined> {
    const { who } = this
    if (who.will !== undefined && this.#meaning(who.will) === undefined) {
      this.house.counts.foreignTotal++
      return { reason: 'protocol-error' }
    }
    const admitted = await this.house.core.admit(this)
    if (admitted.kind === 'refused') return admitted
    if (this.#over) {
      admitted.intake.leave(false)
      return { reason: 'normal' }
    }
    this.#intake = admitted.intake
    const older = this.house.clients.get(this.key)
    if (older !== undefined) {
      this.house.counts.takeoversTotal++
      older.close('taken-over')
    }
    this.house.enter(this)
    return undefined
  }

  // What the client says.

  /** Anything arrived. */
  touch(): void {
    this.#heardAtMs = this.house.core.clock.nowMs()
    this.#intake?.touch()
    for (const { session } of this.#channels.values()) session?.touch()
  }

  /** `settled` is called once, perhaps at once. */
  publish(message: Incoming, settled: (outcome: Published) => void): void {
    const intake = this.#intake
    if (intake === undefined || this.#over) {
      settled('unavailable')
      return
    }
    const meaning = this.#meaning(message)
    if (meaning === undefined) {
      this.house.counts.foreignTotal++
      settled('foreign-topic')
      return
    }
    const { limits } = this.house.core
    if (message.payload.length > limits.payloadMaxBytes) {
      settled('too-large')
      return
    }
    if (meaning.kind === 'reply') this.#reply(intake, meaning, message, settled)
    else this.#event(intake, meaning.channel, meaning.name, message, settled)
    this.#pace(intake)
  }

  /** PUBREL: `settled` once its packet id may be used anew. */
  release(messageId: number, settled: (outcome: 'kept' | 'unavailable') => void): void {
    if (this.#intake === undefined) settled('unavailable')
    else this.#onceNames().release(this.#intake, messageId, settled)
  }

  /** PUBACK of a command. @returns false: no such packet id is out. */
  acknowledge(messageId: number): boolean {
    return this.#downlinks.acknowledge(messageId)
  }

  /**
   * The client refused the message of a command (PUBACK of MQTT 5): it is rejected.
   * @returns false: no such packet id is out.
   */
  reject(messageId: number, reason: string): boolean {
    const id = this.#downlinks.reject(messageId)
    if (id === undefined) return false
    const reply = { status: 'rejected', reason, payload: nothing, contentType: octets } as const
    this.#intake?.reply(id, reply, (outcome) => {
      if (outcome === 'unavailable') this.close('unavailable')
    })
    return true
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

  /** There is room again after the wire was full. */
  drained(): void {
    for (const channel of this.#channels.values()) {
      if (!channel.full || this.#wire.isFull()) continue
      channel.full = false
      channel.session?.drained()
    }
  }

  /** The connection is gone. `graceful`: the client said goodbye, and its will is void. */
  end(graceful: boolean): void {
    if (this.#over) return
    this.#over = true
    this.house.leave(this)
    this.#downlinks.end()
    for (const channel of this.#channels.values()) channel.end()?.detach(graceful)
    this.#channels.clear()
    this.#filters.clear()
    const intake = this.#intake
    const { will } = this.who
    if (intake === undefined) return
    if (graceful || will === undefined) intake.leave(graceful)
    else this.#sayWill(intake, will)
  }

  // What the core does.

  close(reason: Reason, retryAfterMs?: number): void {
    if (this.#over) return
    this.#wire.close(reason, retryAfterMs)
    this.end(false)
  }

  carries(channel: MqttChannel, command: KeptCommand): boolean {
    return this.#wire.carries(commandTopic(channel.template, this, command, channel.name), command)
  }

  deliver(channel: MqttChannel, { command, repeated }: Downlink): 'open' | 'full' {
    const topic = commandTopic(channel.template, this, command, channel.name)
    this.#downlinks.send(channel, topic, command, repeated)
    // Once said it holds until `drained`, whatever else of this turn still comes and is taken.
    channel.full ||= this.#wire.isFull()
    return channel.full ? 'full' : 'open'
  }

  /**
   * Its time is over: one and a half times what it asked for [MQTT-3.1.2-24]; who asked for none is
   * given the longest there is. While it is not read the silence is ours.
   */
  watched(nowMs: number): void {
    if (this.#held) this.#heardAtMs = nowMs
    const { keepaliveMs } = this.who
    const silentMaxMs = 1.5 * (keepaliveMs || this.house.core.limits.keepaliveMaxMs)
    if (nowMs - this.#heardAtMs > silentMaxMs) this.close('keepalive-expired')
  }

  #meaning({ topic }: Incoming): Meaning | undefined {
    return this.house.topics.meaning(this, topic)
  }

  #event(
    intake: Intake,
    channel: ChannelName,
    name: string,
    message: Incoming,
    settled: (outcome: Published) => void,
  ): void {
    const { nameMaxBytes } = this.house.core.limits
    if (name.length * 3 > nameMaxBytes && Buffer.byteLength(name) > nameMaxBytes) {
      settled('bad-name')
      return
    }
    const once = message.qos === 2 ? this.#onceNames().name(intake, channel, message) : undefined
    intake.receive(channel, [uplinkOf(name, message, once)], settled)
  }

  #reply(
    intake: Intake,
    meaning: Meaning & { readonly kind: 'reply' },
    message: Incoming,
    settled: (outcome: Published) => void,
  ): void {
    const id = meaning.id ?? this.#downlinks.oldestUnanswered()
    if (id === undefined) {
      settled('unknown')
      return
    }
    const { contentType, payload, stamp } = message
    const reason = meaning.reason ?? message.reason
    const { nameMaxBytes } = this.house.core.limits
    if (reason !== undefined && Buffer.byteLength(reason) > nameMaxBytes) {
      settled('bad-name')
      return
    }
    this.#downlinks.answered(id)
    intake.reply(
      id,
      {
        status: statusOf(message.status) ?? meaning.status,
        ...(reason !== undefined && { reason }),
        payload: own(payload),
        contentType: contentType ?? contentTypeOf(payload),
        ...(stamp !== undefined && { stamp }),
      },
      settled,
    )
  }

  /** Read no more while too much of it is on its way into the store. */
  #pace(intake: Intake): void {
    if (this.#held || this.#over) return
    const wants = intake.wants(() => {
      this.#held = false
      this.touch()
      if (!this.#over) this.#wire.hold(false)
    })
    if (wants) return
    this.#held = true
    this.#wire.hold(true)
  }

  #onceNames(): OnceNames {
    this.#once ??= new OnceNames(this.who)
    return this.#once
  }

  async #subscribe(filter: string, qos: 0 | 1): Promise<Subscribed> {
    const { core, counts, topics } = this.house
    const wanted = topics.wanted(this, filter)
    if (wanted === undefined) {
      counts.foreignTotal++
      return { kind: 'refused', reason: 'unauthorized' }
    }
    const known = this.#filters.get(filter)
    if (known?.qos === qos) return { kind: 'granted', qos, start: nothingToStart }
    if (known !== undefined) this.#unsubscribe(filter)
    if (this.#filters.size >= core.limits.mqttSubscriptionsMax) {
      return { kind: 'refused', reason: 'overloaded' }
    }
    const channels: MqttChannel[] = []
    const fresh: MqttChannel[] = []
    for (const name of wanted.channels) {
      const there = this.#channels.get(name)
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
    this.#filters.set(filter, { channels, qos })
    const start = (): void => {
      for (const { session } of fresh) session?.start()
    }
    // Where it had a channel already, with another quality, that one holds.
    return { kind: 'granted', qos: channels.every((one) => one.qos === 1) ? 1 : 0, start }
  }

  /** All of them or none. */
  async #attach(fresh: readonly MqttChannel[]): Promise<Subscribed | undefined> {
    const all = await Promise.all(fresh.map((channel) => this.#attachOne(channel)))
    let refused: (Attached & { kind: 'refused' }) | undefined
    for (const [index, attached] of all.entries()) {
      if (attached.kind === 'refused') refused ??= attached
      else fresh[index]!.session = attached.session
    }
    for (const channel of fresh) {
      if (channel.refused !== undefined)
        refused ??= { kind: 'refused', ...channel.refused } as const
    }
    if (this.#over) refused ??= { kind: 'refused', reason: 'normal' }
    if (refused === undefined) {
      for (const channel of fresh) this.#channels.set(channel.name, channel)
      return undefined
    }
    for (const channel of fresh) channel.end()?.detach(false)
    return refused
  }

  #attachOne(link: MqttChannel): Promise<Attached> {
    // A reply that names no command belongs to the oldest: only one may be out (rule 26).
    const window = link.template.namesCommand ? this.#wire.receiveMaximum : 1
    return this.house.core.attach(link, {
      app: this.app,
      device: this.device,
      channel: link.name,
      keepaliveMs: this.who.keepaliveMs || this.house.core.limits.keepaliveMaxMs,
      windowMaxCommands: window,
    })
  }

  #unsubscribe(filter: string): boolean {
    const known = this.#filters.get(filter)
    if (known === undefined) return false
    this.#filters.delete(filter)
    for (const channel of known.channels) {
      channel.filters--
      if (channel.filters > 0) continue
      this.#channels.delete(channel.name)
      this.#downlinks.drop(channel)
      channel.end()?.detach(true)
    }
    return true
  }

  /** Kept before it counts as gone, so that it is told in this order. */
  #sayWill(intake: Intake, will: Incoming): void {
    const meaning = this.#meaning(will)
    if (meaning?.kind !== 'event') {
      intake.leave(false)
      return
    }
    const uplink = uplinkOf(meaning.name, will, undefined)
    intake.receive(meaning.channel, [uplink], () => intake.leave(false))
  }
}

const nothingToStart = (): void => {}

const statusOf = (text: string | undefined): 'done' | 'failed' | 'rejected' | undefined =>
  text === 'done' || text === 'failed' || text === 'rejected' ? text : undefined

const uplinkOf = (name: string, message: Incoming, once: string | undefined): Uplink => ({
  name,
  payload: own(message.payload),
  contentType: message.contentType ?? contentTypeOf(message.payload),
  ...(message.stamp !== undefined && { stamp: message.stamp }),
  // Rule 17. At QoS 2 the packet id tells.
  ...(message.dup && message.qos === 1 && message.stamp === undefined && { maybeRepeat: true }),
  ...(once !== undefined && { once }),
})

/** Should the client be closed for this, since nothing else would make it come again in time? */
export const endsConnection = (reason: Reason): boolean => reasons[reason].retry !== 'never'
