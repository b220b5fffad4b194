import type { Limits } from '../contract/index.ts'
import type { Effect } from './effects.ts'
import { Keepalive } from './keepalive.ts'
import { Roundtrip } from './roundtrip.ts'
import type { Window } from './window.ts'

/** Devices acknowledge within this, or with whatever goes their way. */
const ackDelayMs = 200

/**
 * Is somebody there? Silence past the dead-line says no. An acknowledgement that is overdue only
 * asks: a slow door is slow, and an answered probe proves life (rule 21).
 */
export class Liveness {
  readonly #effects: Effect[]
  readonly #window: Window
  readonly #limits: Limits
  readonly #keepalive: Keepalive
  /** From the first acknowledgement on: many a channel never has one. */
  #roundtrip: Roundtrip | undefined
  #askAgainAtMs = 0
  #acknowledgedAtMs: number | undefined

  constructor(
    effects: Effect[],
    window: Window,
    limits: Limits,
    keepaliveMs: number,
    nowMs: number,
  ) {
    this.#effects = effects
    this.#window = window
    this.#limits = limits
    this.#keepalive = new Keepalive(keepaliveMs, nowMs)
  }

  get keepaliveMs(): number {
    return this.#keepalive.intervalMs
  }

  /** It is told another interval now. */
  set keepaliveMs(ms: number) {
    this.#keepalive.intervalMs = ms
  }

  /** Since when it has said nothing while somebody listened. */
  get silentFromMs(): number {
    return this.#keepalive.silentFromMs
  }

  get heardAtMs(): number {
    return this.#keepalive.heardAtMs
  }

  get acknowledgedAtMs(): number | undefined {
    return this.#acknowledgedAtMs
  }

  get suspect(): boolean {
    return this.#keepalive.probing
  }

  /** Any sign of life. */
  touch(nowMs: number): void {
    this.#keepalive.heard(nowMs)
  }

  /** Nobody listened to it until now. */
  excused(nowMs: number): void {
    this.#keepalive.excused(nowMs)
    this.#askAgainAtMs = nowMs + this.#limits.ackOverdueMaxMs
  }

  /** The device has acknowledged a command; what was sent before on an older link tells no time. */
  acknowledged(out: { readonly sentAtMs: number; readonly repeated: boolean }, nowMs: number) {
    this.#acknowledgedAtMs = nowMs
    if (out.repeated) return
    this.#roundtrip ??= new Roundtrip()
    this.#roundtrip.sample(nowMs - out.sentAtMs)
  }

  /** The probe is on its way. */
  probing(nowMs: number): void {
    this.#keepalive.probe(nowMs, this.#limits.ackOverdueMaxMs)
  }

  /** When to call `tick` if nothing else happens. */
  get deadlineMs(): number {
    return Math.min(this.#keepalive.deadlineMs, this.#askAtMs)
  }

  tick(nowMs: number): void {
    const dead = this.#keepalive.expired(nowMs)
    if (dead !== undefined) {
      this.#effects.push({ kind: 'close', reason: dead })
      return
    }
    if (nowMs < this.#askAtMs) return
    this.#effects.push({ kind: 'probe' })
    this.#askAgainAtMs = nowMs + this.#limits.ackOverdueMaxMs
  }

  /** When the oldest command out is overdue, unless somebody has been asked already. */
  get #askAtMs(): number {
    const oldestMs = this.#window.oldestSentAtMs
    if (oldestMs === undefined || this.#keepalive.probing) return Number.POSITIVE_INFINITY
    const { ackOverdueMinMs, ackOverdueMaxMs } = this.#limits
    const overdueMs =
      this.#roundtrip?.overdueMs(ackDelayMs, ackOverdueMinMs, ackOverdueMaxMs) ?? ackOverdueMaxMs
    return Math.max(oldestMs + overdueMs, this.#askAgainAtMs)
  }
}
