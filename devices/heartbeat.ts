/** An acknowledgement or answer later than this is overdue: between the two, by the measured round trip. */
export const overdueMinMs = 2_000
export const overdueMaxMs = 10_000
/** Acknowledgements overdue in a row, each followed by an answered probe, before it is given up. */
export const overduesMax = 3
/** How long the server may hold an acknowledgement back. */
const ackDelayMs = 200

/**
 * Is the other end alive, and does it work? Pure.
 *
 *     nothing sent for an interval ────────▶ PING
 *     an acknowledgement is overdue ───────▶ PING, a question and not a verdict (rule 21)
 *     a PING without any byte after it ────▶ dead
 *     alive, but overdue three times ──────▶ dead to us all the same
 *
 * What we send suppresses the beat. Asked before each send too, so that finding out does not wait
 * for the next beat. Source: Pike 2.0; round-trip estimate of RFC 6298.
 */
export class Heartbeat {
  #intervalMs = Number.POSITIVE_INFINITY
  #wroteAtMs = 0
  #probeAtMs: number | undefined
  /** Not overdue again before the round trip after this. */
  #askedAtMs = 0
  #overdues = 0
  #srttMs: number | undefined
  #rttvarMs = 0

  /** A new connection: nothing is outstanding. What was learned of the round trip stays. */
  begin(intervalMs: number, nowMs: number): void {
    this.#intervalMs = intervalMs
    this.#wroteAtMs = nowMs
    this.#probeAtMs = undefined
    this.#askedAtMs = nowMs
    this.#overdues = 0
  }

  get intervalMs(): number {
    return this.#intervalMs
  }

  set intervalMs(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  wrote(nowMs: number): void {
    this.#wroteAtMs = nowMs
  }

  pinged(nowMs: number): void {
    this.#wroteAtMs = nowMs
    this.#probeAtMs = nowMs
  }

  /** Any byte proves life. */
  heard(): void {
    this.#probeAtMs = undefined
  }

  ponged(nowMs: number): void {
    if (this.#probeAtMs !== undefined) this.#measure(nowMs - this.#probeAtMs)
    this.#probeAtMs = undefined
  }

  /** One of ours was acknowledged, this long after it was written. */
  acknowledged(afterMs: number): void {
    this.#measure(afterMs)
    this.#overdues = 0
  }

  /** @param oldestMs when the oldest unacknowledged uplink was written; undefined for none. */
  check(nowMs: number, oldestMs: number | undefined): 'fine' | 'ping' | 'dead' {
    const overdueMs = this.overdueMs
    if (this.#probeAtMs !== undefined) return nowMs >= this.#probeAtMs + overdueMs ? 'dead' : 'fine'
    if (oldestMs !== undefined && nowMs >= Math.max(oldestMs, this.#askedAtMs) + overdueMs) {
      this.#askedAtMs = nowMs
      return ++this.#overdues >= overduesMax ? 'dead' : 'ping'
    }
    return nowMs >= this.#wroteAtMs + this.#intervalMs ? 'ping' : 'fine'
  }

  /** When `check` may answer something else. */
  dueMs(oldestMs: number | undefined): number {
    if (this.#probeAtMs !== undefined) return this.#probeAtMs + this.overdueMs
    const beatMs = this.#wroteAtMs + this.#intervalMs
    if (oldestMs === undefined) return beatMs
    return Math.min(beatMs, Math.max(oldestMs, this.#askedAtMs) + this.overdueMs)
  }

  get overdueMs(): number {
    if (this.#srttMs === undefined) return overdueMaxMs
    const estimateMs = 2 * this.#srttMs + 4 * this.#rttvarMs + ackDelayMs
    return Math.min(overdueMaxMs, Math.max(overdueMinMs, estimateMs))
  }

  #measure(rttMs: number): void {
    if (this.#srttMs === undefined) {
      this.#srttMs = rttMs
      this.#rttvarMs = rttMs / 2
      return
    }
    this.#rttvarMs += (Math.abs(rttMs - this.#srttMs) - this.#rttvarMs) / 4
    this.#srttMs += (rttMs - this.#srttMs) / 8
  }
}
