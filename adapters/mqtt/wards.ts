import type { CommandId, DeviceId, Reason } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import type { MqttClient } from './client.ts'
import type { ForAnother } from './others.ts'
import { prefixOf } from './others.ts'
import type { Subscribed } from './receiver.ts'
import type { Incoming, Published } from './said.ts'
import type { Meaning } from './topics.ts'
import type { Voice } from './voice.ts'
import { Ward, type WardHost } from './ward.ts'
import type { Wire } from './wire.ts'

/** Who subscribes to it is told when a device's commands do not come this way any more. */
const closedFilter = 'devices/+/closed'

/** These are of the whole connection, whichever device the core says them of. */
const endsAll: ReadonlySet<Reason> = new Set(['going-away', 'unavailable'])

/**
 * The devices that one client speaks for: each by itself, and what ends one leaves the others.
 *
 *     devices/box-1/… ─▶ ward box-1 ─▶ core: is it granted?
 *     devices/box-2/… ─▶ ward box-2
 */
export class Wards implements WardHost {
  readonly client: MqttClient
  readonly #wire: Wire
  readonly #byDevice = new Map<DeviceId, Ward>()
  #isTold = false
  #heardAtMs = 0

  constructor(client: MqttClient, wire: Wire) {
    this.client = client
    this.#wire = wire
  }

  get areSubscribed(): boolean {
    for (const { receiver } of this.#byDevice.values()) if (receiver.isSubscribed) return true
    return false
  }

  publish(
    { device, what }: ForAnother<Meaning>,
    message: Incoming,
    settled: (outcome: Published) => void,
  ): void {
    this.#ward(device).say(what, message, settled)
  }

  /** @returns undefined: no commands of any device. */
  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<Subscribed | undefined> {
    if (filter === closedFilter) {
      this.#isTold = true
      return { kind: 'granted', qos: qos === 0 ? 0 : 1, start: () => {} }
    }
    const other = this.client.house.topics.wantedForAnother(this.client, filter)
    if (other === undefined) return undefined
    const ward = this.#ward(other.device)
    const subscribed = await ward.receiver.subscribe(filter, qos, other.what)
    if (ward.isIdle) this.#drop(ward)
    if (subscribed.kind === 'granted') return subscribed
    if (subscribed.reason === 'unauthorized') this.client.house.counts.foreignTotal++
    return { ...subscribed, spares: !endsAll.has(subscribed.reason) }
  }

  async unsubscribe(filter: string): Promise<boolean> {
    if (filter === closedFilter) {
      const was = this.#isTold
      this.#isTold = false
      return was
    }
    const other = this.client.house.topics.wantedForAnother(this.client, filter)
    const ward = other && this.#byDevice.get(other.device)
    if (ward === undefined) return false
    const was = await ward.receiver.unsubscribe(filter)
    if (ward.isIdle) this.#drop(ward)
    return was
  }

  reject(device: DeviceId, id: CommandId, reason: string, settled: (kept: boolean) => void): void {
    this.#ward(device).reject(id, reason, settled)
  }

  /** Whose publish at QoS 2 that packet id is. */
  voiceOf(messageId: number): Voice | undefined {
    for (const { voice } of this.#byDevice.values())
      if (voice?.owns(messageId) === true) return voice
    return undefined
  }

  drained(): void {
    for (const { receiver } of this.#byDevice.values()) receiver.drained()
  }

  /** What came since it was looked at last is a sign of life of all. */
  watched(heardAtMs: number): void {
    if (heardAtMs === this.#heardAtMs) return
    this.#heardAtMs = heardAtMs
    for (const ward of this.#byDevice.values()) ward.touch()
  }

  leave(device: DeviceId): void {
    const ward = this.#byDevice.get(device)
    if (ward === undefined) return
    this.#drop(ward)
    ward.end(false)
  }

  end(graceful: boolean): void {
    const wards = [...this.#byDevice.values()]
    this.#byDevice.clear()
    for (const ward of wards) ward.end(graceful)
  }

  // What a ward asks.

  hasRoom(channels: number): boolean {
    let count = channels
    let filters = 1
    for (const { receiver } of this.#byDevice.values()) {
      count += receiver.channelCount
      filters += receiver.filterCount
    }
    return Math.max(count, filters) <= this.#max
  }

  close(ward: Ward, reason: Reason, retryAfterMs?: number): void {
    if (reasons[reason].reset || endsAll.has(reason)) {
      this.client.close(reason, retryAfterMs)
      return
    }
    const wasSubscribed = ward.receiver.isSubscribed
    this.leave(ward.device)
    if (!wasSubscribed || !this.#isTold) return
    const retryAfter = retryAfterMs === undefined ? undefined : Math.ceil(retryAfterMs / 1000)
    const told = Buffer.from(JSON.stringify({ reason, retryAfter }))
    this.#wire.tell(`${prefixOf(ward.device)}closed`, told)
  }

  get #max(): number {
    return this.client.house.core.limits.connectionMaxChannels
  }

  #ward(device: DeviceId): Ward {
    const known = this.#byDevice.get(device)
    if (known !== undefined) return known
    this.#makeRoom()
    const ward = new Ward(this, device, this.#wire)
    this.#byDevice.set(device, ward)
    return ward
  }

  #drop(ward: Ward): void {
    if (this.#byDevice.get(ward.device) === ward) this.#byDevice.delete(ward.device)
  }

  /** Of those that only speak the oldest goes: its next word is asked about again. */
  #makeRoom(): void {
    let speaking = 0
    let oldest: Ward | undefined
    for (const ward of this.#byDevice.values()) {
      if (!ward.receiver.isEmpty || ward.isAsking) continue
      speaking++
      oldest ??= ward
    }
    if (oldest === undefined || speaking < this.#max) return
    this.#drop(oldest)
    oldest.end(true)
  }
}
