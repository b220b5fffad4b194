import type { Conditions } from './conditions.ts'

/** What came of something sent: pieces and when each arrives, nothing for ever, or the link's end. */
export type Carried =
  | { readonly kind: 'pieces'; readonly pieces: readonly Piece[] }
  | { readonly kind: 'swallowed' }
  | { readonly kind: 'reset' }

export interface Piece {
  readonly bytes: number
  readonly atMs: number
}

export type Way = 'up' | 'down'

/** TCP sends again what was lost after two round trips, at least this. Source: RFC 6298 §2.4, as Linux has it. */
const retransmitMinMs = 200
const stallMs = [1_000, 5_000] as const
const tearMs = [20, 100] as const
const darkMs = [1_000, 5_000] as const
const overtakenMs = [20, 200] as const

type Random = () => number

const between = ([min, max]: readonly [number, number], random: Random): number =>
  min + random() * (max - min)

/** Of something that happens again and again without memory, the time until it does. */
const untilNext = (meanMs: number, random: Random): number =>
  meanMs === 0 ? Number.POSITIVE_INFINITY : -Math.log(1 - random()) * meanMs

/**
 * What becomes of one TCP connection in bad weather. Pure: chance and time come in.
 *
 *     fine ──▶ silent (everything is swallowed, nobody is told)
 *       └────▶ reset
 */
export class StreamLink {
  readonly #conditions: Conditions
  readonly #random: Random
  readonly #diesAtMs: number
  readonly #diesSilently: boolean
  readonly #natIsSilent: boolean
  /** Nothing overtakes in a stream. */
  readonly #freeAtMs = { up: 0, down: 0 }
  #usedAtMs: number
  #silent = false

  constructor(conditions: Conditions, random: Random, nowMs: number) {
    this.#conditions = conditions
    this.#random = random
    this.#usedAtMs = nowMs
    this.#diesAtMs = nowMs + untilNext(conditions.flapMs, random)
    this.#diesSilently = random() < 0.5
    this.#natIsSilent = random() < 0.5
  }

  /** When it is reset though nobody sends. */
  get resetAtMs(): number {
    return this.#diesSilently ? Number.POSITIVE_INFINITY : this.#diesAtMs
  }

  carry(way: Way, bytes: number, nowMs: number): Carried {
    const { natMs, loss, rttMs, torn, reset, stall } = this.#conditions
    const random = this.#random
    if (this.#silent) return { kind: 'swallowed' }
    if (nowMs >= this.#diesAtMs) return this.#end(this.#diesSilently)
    const forgotten = natMs > 0 && nowMs - this.#usedAtMs > natMs
    // From inside the NAT answers for what it does not know, or does not; from outside nothing comes in.
    if (forgotten) return way === 'down' ? { kind: 'swallowed' } : this.#end(this.#natIsSilent)
    this.#usedAtMs = nowMs
    if (random() < reset) return { kind: 'reset' }
    let atMs = Math.max(this.#freeAtMs[way], nowMs + this.#delayMs())
    if (random() < loss) atMs += Math.max(retransmitMinMs, 2 * rttMs)
    if (random() < stall) atMs += between(stallMs, random)
    const pieces: Piece[] = []
    let left = bytes
    if (bytes > 1 && random() < torn) {
      const first = 1 + Math.floor(random() * (bytes - 1))
      pieces.push({ bytes: first, atMs })
      left -= first
      atMs += between(tearMs, random)
    }
    pieces.push({ bytes: left, atMs })
    this.#freeAtMs[way] = atMs
    return { kind: 'pieces', pieces }
  }

  #end(silently: boolean): Carried {
    if (!silently) return { kind: 'reset' }
    this.#silent = true
    return { kind: 'swallowed' }
  }

  #delayMs(): number {
    const { rttMs, jitterMs } = this.#conditions
    return rttMs / 2 + jitterMs * this.#random()
  }
}

/** What becomes of one device's datagrams in bad weather. Pure: chance and time come in. */
export class DatagramLink {
  readonly #conditions: Conditions
  readonly #random: Random
  #usedAtMs: number
  #darkFromMs: number
  #darkUntilMs: number
  #rebindAtMs: number

  constructor(conditions: Conditions, random: Random, nowMs: number) {
    this.#conditions = conditions
    this.#random = random
    this.#usedAtMs = nowMs
    this.#darkFromMs = nowMs + untilNext(conditions.flapMs, random)
    this.#darkUntilMs = this.#darkFromMs + between(darkMs, random)
    this.#rebindAtMs = nowMs + untilNext(conditions.rebindMs, random)
  }

  /** Has it another address from now on? Asked before something is sent up. */
  rebinds(nowMs: number): boolean {
    const { natMs, rebindMs } = this.#conditions
    const forgotten = natMs > 0 && nowMs - this.#usedAtMs > natMs
    if (!forgotten && nowMs < this.#rebindAtMs) return false
    this.#rebindAtMs = nowMs + untilNext(rebindMs, this.#random)
    this.#usedAtMs = nowMs
    return true
  }

  /** When it arrives; twice perhaps, or never. */
  carry(way: Way, nowMs: number): readonly number[] {
    const { natMs, loss, rttMs, jitterMs, twice, reorder } = this.#conditions
    const random = this.#random
    if (nowMs >= this.#darkUntilMs) {
      this.#darkFromMs = nowMs + untilNext(this.#conditions.flapMs, random)
      this.#darkUntilMs = this.#darkFromMs + between(darkMs, random)
    }
    const forgotten = natMs > 0 && nowMs - this.#usedAtMs > natMs
    if (way === 'down' && forgotten) return []
    this.#usedAtMs = nowMs
    if (nowMs >= this.#darkFromMs || random() < loss) return []
    const arrives = (): number => nowMs + rttMs / 2 + jitterMs * random()
    const first = arrives() + (random() < reorder ? between(overtakenMs, random) : 0)
    return random() < twice ? [first, arrives() + between(tearMs, random)] : [first]
  }
}
