/** How long an acknowledgement usually takes. Source: RFC 6298 §2. */
export class Roundtrip {
  #smoothedMs = -1
  #variationMs = 0

  sample(ms: number): void {
    if (this.#smoothedMs < 0) {
      this.#smoothedMs = ms
      this.#variationMs = ms / 2
      return
    }
    this.#variationMs += (Math.abs(this.#smoothedMs - ms) - this.#variationMs) / 4
    this.#smoothedMs += (ms - this.#smoothedMs) / 8
  }

  /** After this an acknowledgement is overdue: time to ask, not to give up. */
  overdueMs(ackDelayMs: number, minMs: number, maxMs: number): number {
    if (this.#smoothedMs < 0) return maxMs
    const ms = 2 * this.#smoothedMs + 4 * this.#variationMs + ackDelayMs
    return Math.min(maxMs, Math.max(minMs, ms))
  }
}
