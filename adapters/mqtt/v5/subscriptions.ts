import type { Limits, Reason } from '../../../src/contract/index.ts'
import { reasons } from '../../../src/contract/index.ts'
import type { MqttClient } from '../client.ts'
import { endsConnection, wordsFor } from '../reasons.ts'
import { isFilter, isShared, isShort, matches } from './filters.ts'
import { code, type SubscribePacket, type Subscription, type UnsubscribePacket } from './packets.ts'
import type { Kept } from './sessions.ts'

/** How a SUBSCRIBE went: a code for each filter, and what follows once they are told. */
export interface Granted {
  readonly codes: readonly number[]
  readonly text: string | undefined
  start(): void
  /** It would not come again by itself, so the connection is ended for this. */
  readonly ends: { readonly reason: Reason; readonly retryAfterMs: number | undefined } | undefined
}

interface One {
  readonly code: number
  readonly text?: string
  readonly start?: () => void
  readonly ends?: Granted['ends']
}

const none: readonly number[] = []

/** What a client is subscribed to, in MQTT 5's words; what it gets for that is in `MqttClient`. */
export class Subscriptions {
  readonly #limits: Limits
  /** By filter, where there is something to know: an identifier (§3.8.2.1.2), or a session. */
  #kept: Map<string, Kept> | undefined
  /** Its client may come back and find them as they were. */
  lasts = false

  constructor(limits: Limits) {
    this.#limits = limits
  }

  async subscribe(packet: SubscribePacket, client: MqttClient): Promise<Granted> {
    const codes: number[] = []
    const starts: (() => void)[] = []
    let text: string | undefined
    let ends: Granted['ends']
    for (const [index, subscription] of packet.subscriptions.entries()) {
      const isTooMany = index >= this.#limits.mqttSubscriptionsMax
      const one = isTooMany ? tooMany : await this.#subscribeOne(subscription, client)
      codes.push(one.code)
      text ??= one.text
      ends ??= one.ends
      if (one.start !== undefined) {
        starts.push(one.start)
        this.#keep(subscription, packet.properties.subscriptionId)
      }
    }
    const start = (): void => {
      for (const one of starts) one()
    }
    return { codes, text, ends, start }
  }

  async unsubscribe({ filters }: UnsubscribePacket, client: MqttClient): Promise<number[]> {
    const codes: number[] = []
    for (const filter of filters) {
      const was = await client.unsubscribe(filter)
      this.#kept?.delete(filter)
      codes.push(was ? code.success : code.noSubscriptionExisted)
    }
    return codes
  }

  /** The identifiers a publish to this topic has to carry [MQTT-3.3.4-3]. */
  idsFor(topic: string): readonly number[] {
    if (this.#kept === undefined) return none
    const found: number[] = []
    for (const [filter, { id }] of this.#kept) {
      if (id !== undefined && matches(filter, topic)) found.push(id)
    }
    return found
  }

  /** For the session. */
  get all(): ReadonlyMap<string, Kept> | undefined {
    return this.#kept
  }

  /**
   * As they were.
   * @returns what follows once the client is told; undefined: not all of them could be had, so none
   * of it counts.
   */
  async restore(
    filters: ReadonlyMap<string, Kept> | undefined,
    client: MqttClient,
  ): Promise<(() => void) | undefined> {
    const starts: (() => void)[] = []
    for (const [filter, { qos, id }] of filters ?? []) {
      const subscribed = await client.subscribe(filter, qos)
      if (subscribed.kind === 'refused') {
        for (const one of this.#kept?.keys() ?? []) await client.unsubscribe(one)
        this.#kept = undefined
        return undefined
      }
      starts.push(() => subscribed.start())
      this.#keep({ filter, qos }, id)
    }
    return () => {
      for (const start of starts) start()
    }
  }

  #keep({ filter, qos }: Subscription, id: number | undefined): void {
    if (id === undefined && !this.lasts) {
      this.#kept?.delete(filter)
      return
    }
    this.#kept ??= new Map()
    this.#kept.set(filter, { qos, id })
  }

  async #subscribeOne({ filter, qos }: Subscription, client: MqttClient): Promise<One> {
    if (isShared(filter)) return shared
    if (!isShort(filter, this.#limits) || !isFilter(filter)) return noFilter
    const subscribed = await client.subscribe(filter, qos)
    if (subscribed.kind === 'granted') {
      return { code: subscribed.qos, start: () => subscribed.start() }
    }
    const { reason, retryAfterMs, spares } = subscribed
    const told = { code: wordsFor[reason].suback5, text: reasons[reason].text }
    return endsConnection(reason) && spares !== true
      ? { ...told, ends: { reason, retryAfterMs } }
      : told
  }
}

const shared: One = {
  code: code.sharedNotSupported,
  text: 'a device shares its commands with nobody',
}
const noFilter: One = { code: code.topicFilterInvalid, text: 'this is no topic filter' }
const tooMany: One = { code: code.quotaExceeded, text: 'more filters than one client may have' }
