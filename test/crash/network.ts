import { type Conditions, fair } from '../../cli/weather/conditions.ts'
import { relayDatagrams } from '../../cli/weather/datagram-relay.ts'
import { type Figures, noFigures, type Relay } from '../../cli/weather/relay.ts'
import { relayStreams } from '../../cli/weather/stream-relay.ts'
import type { Random } from '../support/random.ts'
import type { Ear, Paper } from './ear.ts'
import { HttpEar } from './ear-http.ts'
import { MqttEar } from './ear-mqtt.ts'
import { PikeEar } from './ear-pike.ts'
import type { Family, Journal } from './journal.ts'
import type { Server } from './server.ts'
import { Tap } from './tap.ts'
import { CoapTap } from './tap-coap.ts'

export interface NetworkOptions {
  readonly journal: Journal
  readonly random: Random
  readonly lifeMs: readonly [min: number, max: number] | undefined
  /** What lies between devices and taps; undefined: nothing. */
  readonly weather?: Conditions | undefined
  readonly seed: number
}

const ears: Record<Exclude<Family, 'coap'>, (paper: Paper) => Ear> = {
  pike: (paper) => new PikeEar(paper),
  mqtt: (paper) => new MqttEar(paper),
  http: (paper) => new HttpEar(paper),
}

/** Between devices and gateway, whatever they speak: a tap for each listener, by its name. */
export class Network {
  readonly #taps: ReadonlyMap<Family, Tap | CoapTap>
  readonly #ports = new Map<string, number>()
  readonly #relays: Relay[] = []
  readonly #weather: Conditions | undefined
  readonly #seed: number

  constructor({ journal, random, lifeMs, weather, seed }: NetworkOptions) {
    this.#weather = weather
    this.#seed = seed
    let sessions = 0
    const paper: Paper = { journal, nextSession: () => ++sessions }
    const taps = new Map<Family, Tap | CoapTap>()
    for (const [family, make] of Object.entries(ears) as [keyof typeof ears, typeof ears.pike][]) {
      taps.set(family, new Tap({ makeEar: () => make(paper), random: random.fork(), lifeMs }))
    }
    taps.set('coap', new CoapTap({ paper, random: random.fork(), lifeMs }))
    this.#taps = taps
  }

  async listen(): Promise<void> {
    for (const [family, tap] of this.#taps) {
      const port = await tap.listen()
      this.#ports.set(family, this.#weather === undefined ? port : await this.#relay(family, port))
    }
  }

  async #relay(family: Family, port: number): Promise<number> {
    const host = '127.0.0.1'
    const options = {
      host,
      port: 0,
      to: { host, port },
      conditions: this.#weather!,
      seed: this.#seed,
    }
    const relay = await (family === 'coap' ? relayDatagrams : relayStreams)(options)
    this.#relays.push(relay)
    return relay.port
  }

  /** What the weather did; undefined where there was none. */
  get weather(): Figures | undefined {
    if (this.#weather === undefined) return undefined
    const sum = noFigures()
    for (const { figures } of this.#relays)
      for (const name of Object.keys(sum) as (keyof Figures)[]) sum[name] += figures[name]
    return sum
  }

  /** Whatever the weather was. */
  clearUp(): void {
    for (const relay of this.#relays) relay.become(fair)
  }

  /** Where devices find this listener; the same over all restarts. */
  port(listener: string): number {
    const port = this.#ports.get(listener)
    if (port === undefined) throw new Error(`nobody taps ${listener}`)
    return port
  }

  /** Where the gateway listens now; undefined while it does not. */
  target(server: Server | undefined): void {
    for (const [family, tap] of this.#taps) tap.target(server?.listeners.get(family))
  }

  /** From here on nothing passes, in either direction, and nothing is written down. */
  gag(on: boolean): void {
    for (const tap of this.#taps.values()) tap.gag(on)
  }

  /** How long connections live; undefined: until somebody ends them. */
  lifeMs(life: NetworkOptions['lifeMs']): void {
    for (const tap of this.#taps.values()) tap.lifeMs(life)
  }

  async close(): Promise<void> {
    for (const relay of this.#relays) await relay.stop()
    for (const tap of this.#taps.values()) await tap.close()
  }

  /** Connections taken, and addresses changed. */
  get cuts(): number {
    return [...this.#taps.values()].reduce((sum, tap) => sum + tap.cuts, 0)
  }

  /** Streams or datagrams an ear gave up on; 0 unless gateway, clients and ears disagree. */
  get undecodable(): number {
    return [...this.#taps.values()].reduce((sum, tap) => sum + tap.undecodable, 0)
  }
}
