import type { Clock, DeviceKey, Limits } from '../contract/index.ts'

/**
 * Where devices proved themselves from lately: wrong secrets sent from elsewhere in the name of a
 * device do not shut it out there. Source: OWASP, slow down online guessing attacks with device cookies.
 */
export class ProvedAddresses {
  readonly #clock: Clock
  readonly #limits: Limits
  /** Since when, the oldest first. */
  readonly #provedAtMs = new Map<string, number>()

  constructor(clock: Clock, limits: Limits) {
    this.#clock = clock
    this.#limits = limits
  }

  add(device: DeviceKey, peer: string): void {
    const who = `${device} ${peer}`
    this.#provedAtMs.delete(who)
    this.#provedAtMs.set(who, this.#clock.nowMs())
    if (this.#provedAtMs.size <= this.#limits.provedAddressesMax) return
    for (const oldest of this.#provedAtMs.keys()) {
      this.#provedAtMs.delete(oldest)
      return
    }
  }

  has(device: DeviceKey, peer: string): boolean {
    const atMs = this.#provedAtMs.get(`${device} ${peer}`)
    return atMs !== undefined && this.#clock.nowMs() - atMs < this.#limits.provedAddressMs
  }
}
