import type { AppId, Core, DeviceId, DeviceKey, Timer } from '../../../src/contract/index.ts'
import { deviceKey } from '../../../src/contract/index.ts'
import type { MqttClient } from '../client.ts'
import type { House } from '../house.ts'
import { contentTypeOf, own } from '../payload.ts'
import type { Incoming } from '../said.ts'
import type { Topics } from '../topics.ts'
import type { Qos } from './packets.ts'

/** How a client was subscribed to a filter. */
export interface Kept {
  readonly qos: Qos
  /** Subscription identifier. */
  readonly id: number | undefined
}

/** What is left of a client that went. */
export interface Session {
  readonly filters: ReadonlyMap<string, Kept> | undefined
  /** Waits for its client to come back instead (§3.1.3.2.2). */
  readonly will: { readonly message: Incoming; readonly atMs: number } | undefined
  readonly endsAtMs: number
}

interface Waiting extends Session {
  readonly app: AppId
  readonly device: DeviceId
  readonly peer: string
  timer: Timer | undefined
}

/** Client ids of one device that may come back; it has no use for more. */
const perDeviceMax = 4

/**
 * Sessions of clients that went and may come back (§4.1). Commands are not in them: these wait in the
 * device's mailbox, whatever becomes of a session. So they live in memory, and after a restart a
 * client is told that there is none.
 *
 *     gone ──────────── will delay ──▶ its will is an event
 *       ├────────────── session expiry ──▶ forgotten
 *       ╰─ back before: subscribed as it was, the will is void
 */
export class Sessions {
  readonly #core: Core
  readonly #topics: Topics
  /** By device, those of it by client id; each in the order they came. */
  readonly #byDevice = new Map<DeviceKey, Map<string, Waiting>>()
  #count = 0

  constructor({ core, topics }: House) {
    this.#core = core
    this.#topics = topics
  }

  get count(): number {
    return this.#count
  }

  /** That client went. */
  keep(client: MqttClient, session: Session): void {
    const { app, device, who, peer } = client
    this.end(client)
    const key = deviceKey(app, device)
    const mine = this.#byDevice.get(key)
    if (mine !== undefined && mine.size >= perDeviceMax) this.#endOldest(mine)
    if (this.#count >= this.#core.limits.mqttSessionsMax) {
      for (const oldest of this.#byDevice.values()) {
        this.#endOldest(oldest)
        break
      }
    }
    const waiting: Waiting = { ...session, app, device, peer, timer: undefined }
    const ofDevice = this.#byDevice.get(key) ?? new Map<string, Waiting>()
    this.#byDevice.set(key, ofDevice)
    ofDevice.set(who.clientId, waiting)
    this.#count++
    this.#arm(who.clientId, waiting)
  }

  /** It is back, and goes on where it was; its will is void. */
  resume(client: MqttClient): Session | undefined {
    return this.#take(client, client.who.clientId)
  }

  /** It is over, by a client that begins anew [MQTT-3.1.2-4]; with it its will is due. */
  end(client: MqttClient): void {
    this.#say(this.#take(client, client.who.clientId))
  }

  /** Nobody can come back any more. */
  stop(): void {
    for (const ofDevice of [...this.#byDevice.values()]) {
      while (ofDevice.size > 0) this.#endOldest(ofDevice)
    }
  }

  #endOldest(ofDevice: ReadonlyMap<string, Waiting>): void {
    for (const [clientId, session] of ofDevice) {
      this.#say(this.#take(session, clientId))
      return
    }
  }

  #take(of: { app: AppId; device: DeviceId }, clientId: string): Waiting | undefined {
    const key = deviceKey(of.app, of.device)
    const ofDevice = this.#byDevice.get(key)
    const session = ofDevice?.get(clientId)
    if (ofDevice === undefined || session === undefined) return undefined
    session.timer?.cancel()
    ofDevice.delete(clientId)
    if (ofDevice.size === 0) this.#byDevice.delete(key)
    this.#count--
    return session
  }

  #arm(clientId: string, session: Waiting): void {
    const nextMs = Math.min(session.will?.atMs ?? Number.POSITIVE_INFINITY, session.endsAtMs)
    session.timer = this.#core.clock.at(nextMs, 'mqtt-session', () => {
      if (session.endsAtMs <= this.#core.clock.nowMs()) {
        this.#say(this.#take(session, clientId))
        return
      }
      this.#say(session)
      const willSaid: Waiting = { ...session, will: undefined }
      this.#byDevice.get(deviceKey(session.app, session.device))?.set(clientId, willSaid)
      this.#arm(clientId, willSaid)
    })
  }

  /** The will of a session, as an event of a device that is not there. */
  #say(session: Waiting | undefined): void {
    if (session?.will === undefined) return
    const { app, device, peer } = session
    const { payload, contentType, topic } = session.will.message
    const meaning = this.#topics.meaning(session, topic)
    if (meaning?.kind !== 'event') return
    const uplink = {
      name: meaning.name,
      payload: own(payload),
      contentType: contentType ?? contentTypeOf(payload),
    }
    const source = { app, device, protocol: 'mqtt5', peer, stays: false, close: () => {} }
    void this.#core.admit(source).then((admitted) => {
      if (admitted.kind === 'refused') return // it was removed meanwhile, or the store is away
      const { intake } = admitted
      intake.receive(meaning.channel, [uplink], () => intake.leave(true))
    })
  }
}
