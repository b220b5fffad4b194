import { Fleet } from '../../src/channel/fleet.ts'
import { Heartbeat, silenceFailed, silenceProves } from '../../src/channel/heartbeat.ts'

/** How a connection ended, as its device knows it. */
export type Ending =
  /** A beat had no answer. */
  | 'beat-unanswered'
  /** Something else it sent had none. */
  | 'unanswered'
  | 'reboot'
  | 'moved'
  | 'server'

/** One way to find an interval, for one device. */
export interface Policy {
  /**
   * A connection is made. @returns what to beat at, ms.
   * @param network where from.
   */
  attach(nowMs: number, network: number): number
  /** A beat was answered. @returns what to beat at from now on. */
  beat(nowMs: number): number
  /** Anything else arrived, either way. */
  data(nowMs: number): void
  /** The connection is no more. `told`: the server saw its end. */
  ended(nowMs: number, how: Ending, told: boolean): void
}

export interface Range {
  readonly minMs: number
  readonly maxMs: number
}

/** Made anew for each run; what it makes may share what a fleet learns. */
export interface Kind {
  readonly name: string
  make(range: Range): Policy
}

/** What most firmware does. */
export const fixed = (intervalMs: number): Kind => ({
  name: `fixed ${intervalMs / 1_000} s`,
  make: ({ minMs, maxMs }) => {
    const ms = Math.min(maxMs, Math.max(minMs, intervalMs))
    return { attach: () => ms, beat: () => ms, data: () => {}, ended: () => {} }
  },
})

/** Ours: what the gateway sees, and nothing else. */
export function ours(shares: boolean): Kind {
  const fleets = new Map<number, Fleet>()
  const name = shares ? 'ours, each network shared' : 'ours, each device alone'
  return { name, make: (range) => new Ours(range, shares ? fleets : undefined) }
}

class Ours implements Policy {
  readonly #range: Range
  readonly #fleets: Map<number, Fleet> | undefined
  readonly #networks = new Map<number, Heartbeat>()
  #network = -1
  #grantedMs = 0
  #heardAtMs = 0
  /** The server has seen no end of the last connection. */
  #isOpen = false

  constructor(range: Range, fleets: Map<number, Fleet> | undefined) {
    this.#range = range
    this.#fleets = fleets
  }

  attach(nowMs: number, network: number): number {
    const silentMs = nowMs - this.#heardAtMs
    let known = this.#networks.get(network)
    if (known === undefined) {
      known = new Heartbeat()
      this.#networks.set(network, known)
    }
    if (this.#isOpen && network === this.#network) {
      const grantedMs = this.#grantedMs
      if (silenceFailed({ silentMs, grantedMs, patience: 0 })) {
        known.failed(this.#range, grantedMs, nowMs)
      }
    }
    this.#isOpen = true
    this.#network = network
    this.#heardAtMs = nowMs
    return this.#grant(known, nowMs)
  }

  beat(nowMs: number): number {
    this.data(nowMs)
    return this.#grant(this.#networks.get(this.#network)!, nowMs)
  }

  data(nowMs: number): void {
    if (silenceProves(nowMs - this.#heardAtMs, this.#grantedMs)) {
      this.#networks.get(this.#network)!.survived(this.#grantedMs)
    }
    this.#heardAtMs = nowMs
  }

  ended(_nowMs: number, _how: Ending, told: boolean): void {
    if (told) this.#isOpen = false
  }

  #grant(known: Heartbeat, nowMs: number): number {
    const fleets = this.#fleets
    let fleet = fleets?.get(this.#network)
    if (fleets !== undefined && fleet === undefined) {
      fleet = new Fleet()
      fleets.set(this.#network, fleet)
    }
    const news = known.news(this.#range)
    if (news !== undefined) fleet?.move(news.from, news.to)
    this.#grantedMs = known.grant(this.#range, fleet, nowMs)
    return this.#grantedMs
  }
}
