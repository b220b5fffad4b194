import { type Fleet, ladderStep, longer, type Settled, shorter } from './fleet.ts'

/** How long a device may be granted to be silent. */
export interface SilenceRange {
  readonly minMs: number
  readonly maxMs: number
}

/** Silence of at least this share of what was granted puts it to the proof. */
const idleShare = 0.9
/** How much later than its beat a device is back that had no answer: 10 s for the answer, and its way back. */
const backWithinMs = 20_000
/** Failures at what worked before, each paid off by sixteen beats that pass; then it works no more. */
const strikesMax = 2
const strikePaidByBeats = 16
/** Longer is tried again after this, twice as late each time it fails, with up to a quarter of jitter. */
const retryMs = 24 * 3_600_000
const retryMaxMs = 7 * 24 * 3_600_000

/** The link ended while its device was silent, and the device is back from the same network: was it the silence? */
export interface Return {
  /** From its last sign of life until it was back. */
  readonly silentMs: number
  /** What it had been granted then. */
  readonly grantedMs: number
  /** How many intervals its protocol waits for the answer to a beat: 0 where it waits only seconds. */
  readonly patience: number
}

/**
 * True only for a device that was idle until its beat was due, had no answer, and came back at once:
 *
 *     last sign of life                 beat due      no answer: back
 *   ----|----------------------------------|--------------|------▶
 *       |<---------- granted ------------->|<-- ≤ 20 s -->|
 *       rebooted, moved: back any time     ^ from 0.9 of it on
 *
 * So a reboot counts only by bad luck, and links that we ended, or it ended, never do.
 */
export const silenceFailed = ({ silentMs, grantedMs, patience }: Return): boolean =>
  silentMs >= idleShare * grantedMs && silentMs <= grantedMs * (1 + patience) + backWithinMs

/** Was it idle for as long as it may be, so that its next sign of life proves something? */
export const silenceProves = (silentMs: number, grantedMs: number): boolean =>
  silentMs >= idleShare * grantedMs

/**
 * How long one device may be silent in one network before something on the way forgets it. Pure.
 *
 *     silence that was survived | nobody knows | silence that was not
 *   --------------------------|----------------|--------------------▶
 *                       proven ^               ^ failed
 *      granted: proven while settled, a quarter more while it climbs or tries
 *
 *     climbing ──a beat passes: a quarter more──▶ climbing
 *        │ fails, reaches its most, or most of its network end here
 *        ▼
 *     settled ──a day later, then two, four, seven──▶ tries a quarter more ──▶ settled
 *        │ two failures where it worked
 *        ▼
 *     a step down; and again without a beat between: from the beginning
 *
 * What fails costs one connection and is within a quarter of what works: proven is more than 0.8 of
 * the longest that does. Nothing is ever granted beyond a step over what was proven.
 * Source: Tencent Mars, smart_heartbeat.cc; what is different and why is in docs/keep-alive.md.
 */
export class Heartbeat {
  /** 0: nothing yet. */
  #provenMs = 0
  /** Shortest that failed, above proven; 0: none. */
  #failedMs = 0
  #strikes = 0
  /** Steps down since a beat passed. */
  #downs = 0
  #tries = 0
  /** Longer is not tried before; 0: not settled. */
  #tryAtMs = 0
  /** What its network knows of it. */
  #told: Settled | undefined

  /** @param kept what `encode` gave once; anything else is a device nobody knows. */
  constructor(kept = '') {
    const read = kept.split(',').map(Number)
    if (read.length !== 7 || !read.every((one) => Number.isFinite(one) && one >= 0)) return
    const [proven, failed, strikes, tries, tryAt, told, limited] = read as [number, ...number[]]
    this.#provenMs = proven * 1_000
    this.#failedMs = failed! * 1_000
    this.#strikes = strikes!
    this.#tries = tries!
    this.#tryAtMs = tryAt! * 1_000
    if (told! > 0) this.#told = { ms: told! * 1_000, limited: limited === 1 }
  }

  get provenMs(): number {
    return this.#provenMs
  }

  /**
   * What to grant now, whole seconds.
   * @param startMs where to begin when nothing is proven and the network says nothing; left out: at the least.
   */
  grant(range: SilenceRange, fleet: Fleet | undefined, nowMs: number, startMs = 0): number {
    if (this.#provenMs === 0) {
      if (this.#failedMs === 0) return within(range, fleet?.startMs ?? startMs)
      const halfMs = Math.floor(this.#failedMs / 2_000) * 1_000
      return within(range, Math.min(startMs, halfMs))
    }
    const baseMs = within(range, this.#provenMs)
    if (baseMs > this.#provenMs) return baseMs // its least: there is no choice
    const nextMs = within(range, longer(baseMs))
    if (nextMs <= baseMs) return baseMs
    const fails = this.#failedMs > 0 && nextMs >= this.#failedMs
    if (!fails && fleet?.endsAt(baseMs) !== true) return nextMs
    if (this.#tryAtMs === 0) this.#later(nowMs, !fails)
    return nowMs >= this.#tryAtMs ? nextMs : baseMs
  }

  /** A sign of life after silence that put what was granted to the proof. */
  survived(grantedMs: number): void {
    this.#downs = 0
    if (grantedMs < this.#provenMs * 0.99) return
    this.#strikes = Math.max(0, this.#strikes - 1 / strikePaidByBeats)
    if (grantedMs <= this.#provenMs) return
    this.#provenMs = grantedMs
    if (this.#failedMs > grantedMs) return
    // It works by now: what was known above it is void.
    this.#failedMs = 0
    this.#tries = 0
    this.#tryAtMs = 0
  }

  /** The silence that was granted was not survived; see {@link silenceFailed}. */
  failed(range: SilenceRange, grantedMs: number, nowMs: number): void {
    if (grantedMs > this.#provenMs) {
      if (this.#failedMs === 0 || grantedMs < this.#failedMs) this.#failedMs = grantedMs
      this.#later(nowMs, false)
      return
    }
    this.#strikes++
    if (this.#strikes < strikesMax) return
    this.#strikes = 0
    this.#failedMs = this.#provenMs
    this.#downs++
    const lowerMs = shorter(this.#provenMs)
    this.#provenMs = this.#downs > 1 || lowerMs < range.minMs ? 0 : lowerMs
    this.#tries = 0
    this.#later(nowMs, false)
  }

  /** Where it stands now, if that is elsewhere than its network was told last. */
  news(
    range: SilenceRange,
  ): { readonly from: Settled | undefined; readonly to: Settled } | undefined {
    const limited = this.#failedMs > 0 && this.#failedMs <= this.#provenMs * ladderStep * 1.05
    if (this.#provenMs === 0 || (!limited && this.#provenMs < range.maxMs)) return undefined
    const from = this.#told
    if (from?.ms === this.#provenMs && from.limited === limited) return undefined
    const to = { ms: this.#provenMs, limited }
    this.#told = to
    return { from, to }
  }

  encode(): string {
    const told = this.#told
    return [
      ...[this.#provenMs / 1_000, this.#failedMs / 1_000, this.#strikes, this.#tries],
      ...[Math.round(this.#tryAtMs / 1_000), (told?.ms ?? 0) / 1_000, told?.limited ? 1 : 0],
    ].join(',')
  }

  /** @param others whether others of its network have tried: then there is less need to. */
  #later(nowMs: number, others: boolean): void {
    const delayMs = others ? retryMaxMs : Math.min(retryMaxMs, retryMs * 2 ** this.#tries)
    this.#tries++
    // Spread by what is at hand: who settled at another moment tries at another.
    const jitter = (Math.imul(nowMs % 2 ** 31, 2_654_435_761) >>> 0) / 2 ** 34
    this.#tryAtMs = nowMs + delayMs * (1 + jitter)
  }
}

const within = ({ minMs, maxMs }: SilenceRange, ms: number): number =>
  Math.min(maxMs, Math.max(minMs, ms))
