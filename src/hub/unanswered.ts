import type { AppId, Limits } from '../contract/index.ts'
import type { Deadlines, Sleeper } from './deadlines.ts'
import { HeldAnswers } from './held-answers.ts'
import type { HoldsAnswers, Quotas } from './quotas.ts'

/** What it needs of the hub. */
interface Host {
  readonly limits: Limits
  readonly deadlines: Deadlines
  readonly quotas: Quotas
}

/**
 * The uplinks of one source that its device has no answer to yet, and whether it should send more.
 *
 *     taken ──▶ pending ──┬─▶ answered
 *                         ╰─▶ kept, its app over its quota: held back ──▶ answered
 *     too many pending, or one held back: no more is wanted, until half of that is left and none
 */
export class Unanswered implements Sleeper, HoldsAnswers {
  heapIndex = -1
  armedAtMs = 0
  readonly #host: Host
  readonly #app: AppId
  readonly #late = new HeldAnswers()
  /** Who is to be told that more is wanted. */
  #more: Set<() => void> | undefined
  #pending = 0
  #over = false

  constructor(host: Host, app: AppId) {
    this.#host = host
    this.#app = app
  }

  get deadlineMs(): number {
    return this.#late.nextAtMs ?? Number.POSITIVE_INFINITY
  }

  /** So many came; `settled` is their answer. */
  counted<Outcome>(count: number, settled: (outcome: Outcome) => void): (outcome: Outcome) => void {
    this.#pending += count
    return (outcome) => {
      this.#pending -= count
      settled(outcome)
      this.#askForMore()
    }
  }

  wants(more: () => void): boolean {
    const { uplinkMaxPending } = this.#host.limits
    if (this.#pending <= uplinkMaxPending && this.#late.nextAtMs === undefined) return true
    if (this.#over) return false
    this.#more ??= new Set()
    this.#more.add(more)
    return false
  }

  /** Its app is over its quota: answered only when that is paid for. */
  hold(atMs: number, nowMs: number, answer: () => void): void {
    if (this.#over) {
      answer()
      return
    }
    this.#late.hold(atMs, answer)
    this.#host.quotas.holding(this.#app, this, nowMs)
    this.#host.deadlines.arm(this)
  }

  /** The source is gone: what is held back is answered at once. */
  end(): void {
    this.#over = true
    this.#more = undefined
    if (this.#late.end()) this.#host.quotas.answered(this.#app, this)
    this.#host.deadlines.remove(this)
  }

  wake(nowMs: number): void {
    this.#late.release(nowMs)
    if (this.#late.nextAtMs === undefined) this.#host.quotas.answered(this.#app, this)
    this.#askForMore()
  }

  retime(slower: number, nowMs: number): void {
    this.#late.retime(slower, nowMs)
    this.#host.deadlines.arm(this)
  }

  /** At half, so that it does not stop and go for each. */
  #askForMore(): void {
    if (this.#more === undefined || this.#late.nextAtMs !== undefined) return
    if (this.#pending > this.#host.limits.uplinkMaxPending / 2) return
    const all = this.#more
    this.#more = undefined
    for (const more of all) more()
  }
}
