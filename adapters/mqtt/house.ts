import { randomBytes } from 'node:crypto'
import type { Core, LinkId, Timer } from '../../src/contract/index.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import type { MqttClient } from './client.ts'
import type { Topics } from './topics.ts'

/** Counted for /metrics. */
export interface MqttCounts {
  connectionsTotal: number
  connectionsRefusedTotal: number
  loginsTotal: number
  loginsFailedTotal: number
  malformedTotal: number
  /** Publishes and subscriptions outside a device's own topics. */
  foreignTotal: number
  packetsInTotal: number
  bytesInTotal: number
  bytesOutTotal: number
  resetsTotal: number
  takeoversTotal: number
}

/** How often it is looked who has been silent for too long. */
const watchMs = 1_000

/** What all clients of one adapter share, whatever their version. */
export class House {
  readonly core: Core
  readonly topics: Topics
  /** Those that proved themselves, by `app/device/client id`. */
  readonly clients = new Map<string, MqttClient>()
  readonly counts: MqttCounts = {
    connectionsTotal: 0,
    connectionsRefusedTotal: 0,
    loginsTotal: 0,
    loginsFailedTotal: 0,
    malformedTotal: 0,
    foreignTotal: 0,
    packetsInTotal: 0,
    bytesInTotal: 0,
    bytesOutTotal: 0,
    resetsTotal: 0,
    takeoversTotal: 0,
  }
  readonly #refusals: Sweep<() => void>
  /** New for every start, so that a token is never used twice. */
  readonly #prefix = randomBytes(5).toString('hex')
  #made = 0
  #watch: Timer | undefined

  constructor(core: Core, topics: Topics) {
    this.core = core
    this.topics = topics
    const { refusalDelayMs } = core.limits
    this.#refusals = new Sweep(core.clock, refusalDelayMs, 'mqtt-refusals', (tell) => tell())
  }

  /** Before whoever comes too often is told so: a loop without a pause gets ours. */
  pause(): Promise<void> {
    return new Promise((resolve) => this.#refusals.add(resolve))
  }

  /** A name for one connection, by which it can be traced. */
  makeToken(): LinkId {
    this.#made++
    // Joined it is one piece; put together it would be held in three.
    return [this.#prefix, this.#made.toString(36)].join('-')
  }

  /** It is connected from now on, and watched for its keep-alive. */
  enter(client: MqttClient): void {
    this.clients.set(client.key, client)
    this.#arm()
  }

  leave(client: MqttClient): void {
    if (this.clients.get(client.key) === client) this.clients.delete(client.key)
  }

  stop(): void {
    this.#watch?.cancel()
    this.#watch = undefined
    this.#refusals.stop()
  }

  /** One timer for all: a client that speaks often moves nothing. */
  #arm(): void {
    if (this.#watch !== undefined || this.clients.size === 0) return
    const { clock } = this.core
    this.#watch = clock.at(clock.nowMs() + watchMs, 'mqtt-keepalive', () => {
      this.#watch = undefined
      const nowMs = clock.nowMs()
      for (const client of this.clients.values()) client.watched(nowMs)
      this.#arm()
    })
  }
}
