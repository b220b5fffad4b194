/**
 * Decides when a silent device is dead.
 *
 *      heard            heard                         dead-line
 *   ----|----------------|-------------------------------|---->
 *                        |<--- interval × 1.25 + 10 s --->|
 *
 *      probe asked           must be answered
 *   ----|------------------------|----------------------------->
 *       |<---- probe timeout --->|      any sign of life answers
 *
 * Holds no timer: the hub asks for the deadline and calls back once it has passed. Overdue is not
 * dead: only silence past the dead-line or an unanswered probe is (rule 21).
 */
export class Keepalive {
  /** Granted; a new one counts from when it is told. */
  intervalMs: number
  #heardAtMs: number
  /** Its silence counts from here. */
  #silentFromMs: number
  /** A probe is to be answered by then. */
  #answerByMs: number | undefined

  constructor(intervalMs: number, nowMs: number) {
    this.intervalMs = intervalMs
    this.#heardAtMs = nowMs
    this.#silentFromMs = nowMs
  }

  get heardAtMs(): number {
    return this.#heardAtMs
  }

  get silentFromMs(): number {
    return this.#silentFromMs
  }

  get probing(): boolean {
    return this.#answerByMs !== undefined
  }

  heard(nowMs: number): void {
    this.#heardAtMs = nowMs
    this.excused(nowMs)
  }

  /** Nobody listened until now: what it did not say says nothing. */
  excused(nowMs: number): void {
    this.#silentFromMs = nowMs
    this.#answerByMs = undefined
  }

  probe(nowMs: number, timeoutMs: number): void {
    if (!this.probing) this.#answerByMs = nowMs + timeoutMs
  }

  get deadlineMs(): number {
    const silentUntilMs = this.#silentFromMs + this.intervalMs * 1.25 + 10_000
    return this.#answerByMs === undefined
      ? silentUntilMs
      : Math.min(this.#answerByMs, silentUntilMs)
  }

  expired(nowMs: number): 'keepalive-expired' | 'unresponsive' | undefined {
    if (nowMs < this.deadlineMs) return undefined
    const unanswered = this.#answerByMs !== undefined && nowMs >= this.#answerByMs
    return unanswered ? 'unresponsive' : 'keepalive-expired'
  }
}
