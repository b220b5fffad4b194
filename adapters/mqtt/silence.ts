import type { Pulse } from '../../src/contract/index.ts'

/**
 * How long a client has been silent, and how long it may be: one and a half times what it goes by
 * [MQTT-3.1.2-24]; who goes by nothing is given the longest there is.
 */
export class Silence {
  /** When it was heard last. */
  fromMs: number
  /** What it goes by, ms; 0: nothing. */
  keepaliveMs: number
  /** What is learned of it, where that is for us to say. */
  #pulse: Pulse | undefined

  constructor(keepaliveMs: number, nowMs: number) {
    this.keepaliveMs = keepaliveMs
    this.fromMs = nowMs
  }

  /** It is told how long it may be silent. @returns what to tell, ms. */
  learn(pulse: Pulse): number {
    this.#pulse = pulse
    this.keepaliveMs = pulse.grant()
    return this.keepaliveMs
  }

  heard(nowMs: number): void {
    this.#pulse?.heard(this.#since, nowMs)
    this.fromMs = nowMs
  }

  isOver(nowMs: number, keepaliveMaxMs: number): boolean {
    return nowMs - this.fromMs > 1.5 * (this.keepaliveMs || keepaliveMaxMs)
  }

  /** It is given up, or a newer one of its kind is here. */
  ended(why: 'keepalive-expired' | 'taken-over'): void {
    this.#pulse?.left(this.#since, why)
  }

  get #since() {
    return { silentFromMs: this.fromMs, keepaliveMs: this.keepaliveMs }
  }
}
