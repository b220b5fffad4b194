import type { Ending, Kind, Policy, Range } from './policies.ts'

const second = 1_000
/** Its constants. Source: Tencent Mars, mars/stn/config.h. */
const published = { minMs: 210 * second, maxMs: 600 * second } as const
const stepMs = 60 * second
const marginMs = 20 * second
const failsMax = 2
const oksToStep = 5
const warmUpBeats = 3
const dayMs = 24 * 3_600 * second

interface Learned {
  curMs: number
  oks: number
  fails: number
  isStable: boolean
  changedAtMs: number
}

/**
 * Tencent Mars's smart heartbeat, as published (mars/stn/src/smart_heartbeat.cc): decided by the
 * device, by what the device sees; kept for each network.
 *
 * @param opened whether it may use all of the device's range; else its own constants.
 */
export const mars = (opened: boolean): Kind => ({
  name: opened ? 'Mars, 60 s to the most' : 'Mars as published',
  make: (range) =>
    new Mars(
      opened ? range : { minMs: published.minMs, maxMs: Math.min(range.maxMs, published.maxMs) },
    ),
})

class Mars implements Policy {
  readonly #range: Range
  readonly #networks = new Map<number, Learned>()
  #known!: Learned
  #okHere = 0
  #lastMs = 0

  constructor({ minMs, maxMs }: Range) {
    this.#range = { minMs: Math.min(minMs, maxMs), maxMs }
  }

  attach(nowMs: number, network: number): number {
    let known = this.#networks.get(network)
    if (known === undefined) {
      const curMs = this.#range.minMs
      known = { curMs, oks: 0, fails: 0, isStable: false, changedAtMs: nowMs }
      this.#networks.set(network, known)
    }
    this.#known = known
    this.#okHere = 0
    return this.#next()
  }

  beat(nowMs: number): number {
    this.#okHere++
    if (this.#known.isStable) this.#tryMore(nowMs)
    else if (this.#isTest) this.#passed(nowMs)
    return this.#next()
  }

  data(): void {}

  /** Any end counts while a beat is out; nothing else does. */
  ended(nowMs: number, how: Ending): void {
    const known = this.#known
    const { minMs } = this.#range
    if (how === 'beat-unanswered' && this.#isTest && this.#lastMs !== minMs) {
      known.changedAtMs = nowMs
      if (++known.fails >= failsMax) {
        known.fails = 0
        known.oks = 0
        known.curMs = known.isStable ? minMs : Math.max(minMs, known.curMs - stepMs - marginMs)
        known.isStable = !known.isStable
      }
    }
    if (known.isStable) known.oks = 0
  }

  get #isTest(): boolean {
    return this.#lastMs === this.#known.curMs && this.#okHere >= warmUpBeats
  }

  /** Settled: on one day of the week a little more is tried. */
  #tryMore(nowMs: number): void {
    const known = this.#known
    const isTheDay = Math.floor(nowMs / dayMs) % 7 === 2
    if (this.#okHere < warmUpBeats || known.curMs >= this.#range.maxMs - marginMs) return
    if (!isTheDay || nowMs - known.changedAtMs < dayMs) return
    known.curMs += marginMs
    known.oks = 0
    known.fails = 0
    known.isStable = false
    known.changedAtMs = nowMs
  }

  #passed(nowMs: number): void {
    const known = this.#known
    const { maxMs } = this.#range
    known.oks++
    known.fails = 0
    known.changedAtMs = nowMs
    if (known.curMs >= maxMs) {
      known.curMs = Math.max(this.#range.minMs, maxMs - marginMs)
      known.oks = 0
      known.isStable = true
    } else if (known.oks >= oksToStep) {
      known.curMs = Math.min(known.curMs + stepMs, maxMs)
      known.oks = 0
    }
  }

  #next(): number {
    this.#lastMs = this.#okHere < warmUpBeats ? this.#range.minMs : this.#known.curMs
    return this.#lastMs
  }
}
