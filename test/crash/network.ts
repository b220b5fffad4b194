import type { Ear, Paper } from './ear.ts'
import { HttpEar } from './ear-http.ts'
import { MqttEar } from './ear-mqtt.ts'
import { PikeEar } from './ear-pike.ts'
import type { Family, Journal } from './journal.ts'
import type { Random } from './random.ts'
import type { Server } from './server.ts'
import { Tap } from './tap.ts'
import { CoapTap } from './tap-coap.ts'

export interface NetworkOptions {
  readonly journal: Journal
  readonly random: Random
  readonly lifeMs: readonly [min: number, max: number] | undefined
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

  constructor({ journal, random, lifeMs }: NetworkOptions) {
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
    for (const [family, tap] of this.#taps) this.#ports.set(family, await tap.listen())
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
