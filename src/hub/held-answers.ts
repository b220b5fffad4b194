import { waitMaxMs } from './token-bucket.ts'

/**
 * Answers to a device that are held back because its app is over its quota. What they answer is
 * kept already; held back they slow the device down, since a link stops reading when so many of
 * its uplinks are unanswered (`uplinkMaxPending`), which also bounds how many wait here.
 */
export class HeldAnswers {
  readonly #waiting: { atMs: number; readonly answer: () => void }[] = []

  /** When the next one is to be given; undefined: none waits. */
  get nextAtMs(): number | undefined {
    return this.#waiting[0]?.atMs
  }

  /** Times only grow: what an app owes is paid in the order in which it was taken. */
  hold(atMs: number, answer: () => void): void {
    this.#waiting.push({ atMs, answer })
  }

  /** The quota is another: what is left to wait takes so many times as long. */
  retime(slower: number, nowMs: number): void {
    for (const one of this.#waiting) {
      const leftMs = Math.max(0, one.atMs - nowMs)
      one.atMs = nowMs + Math.min(waitMaxMs, leftMs * slower)
    }
  }

  release(nowMs: number): void {
    let due = 0
    while (due < this.#waiting.length && this.#waiting[due]!.atMs <= nowMs) due++
    for (const { answer } of this.#waiting.splice(0, due)) answer()
  }

  /** Nobody waits for them any more, but each is to be given once. @returns whether there are any. */
  end(): boolean {
    const rest = this.#waiting.splice(0)
    if (rest.length === 0) return false
    queueMicrotask(() => {
      for (const { answer } of rest) answer()
    })
    return true
  }
}
