import { waitMaxMs } from './token-bucket.ts'

/**
 * Answers to a device that are held back because its app is over its quota. What they answer is
 * kept already; held back they slow the device down, since a link stops reading when so many of
 * its uplinks are unanswered (`uplinkMaxPending`), which also bounds how many wait here.
 */
export class HeldAnswers {
  /** Made when first needed: nearly nobody is ever over a quota. */
  #waiting: { atMs: number; readonly answer: () => void }[] | undefined

  /** When the next one is to be given; undefined: none waits. */
  get nextAtMs(): number | undefined {
    return this.#waiting?.[0]?.atMs
  }

  /** Times only grow: what an app owes is paid in the order in which it was taken. */
  hold(atMs: number, answer: () => void): void {
    this.#waiting ??= []
    this.#waiting.push({ atMs, answer })
  }

  /** The quota is another: what is left to wait takes so many times as long. */
  retime(slower: number, nowMs: number): void {
    for (const one of this.#waiting ?? []) {
      const leftMs = Math.max(0, one.atMs - nowMs)
      one.atMs = nowMs + Math.min(waitMaxMs, leftMs * slower)
    }
  }

  release(nowMs: number): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    let due = 0
    while (due < waiting.length && waiting[due]!.atMs <= nowMs) due++
    for (const { answer } of waiting.splice(0, due)) answer()
  }

  /** Nobody waits for them any more, but each is to be given once. @returns whether there are any. */
  end(): boolean {
    const rest = this.#waiting
    this.#waiting = undefined
    if (rest === undefined || rest.length === 0) return false
    queueMicrotask(() => {
      for (const { answer } of rest) answer()
    })
    return true
  }
}
