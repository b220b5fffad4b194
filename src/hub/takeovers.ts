import type { ChannelId, Limits } from '../contract/index.ts'

/**
 * Notices two clients that take one channel from each other: three take-overs within a minute hold
 * both off for a while (rule 18). A client that takes over from itself is not said here. Only channels taken over lately are remembered.
 */
export class Takeovers {
  readonly #limits: Limits
  readonly #lately = new Map<ChannelId, { atMs: number[]; heldUntilMs: number }>()

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** How long this channel takes nobody; 0: it does. */
  heldMs(channel: ChannelId, nowMs: number): number {
    const one = this.#lately.get(channel)
    return one === undefined ? 0 : Math.max(0, one.heldUntilMs - nowMs)
  }

  /** @returns true when this one makes it a fight. */
  taken(channel: ChannelId, nowMs: number): boolean {
    let one = this.#lately.get(channel)
    if (one === undefined) {
      one = { atMs: [], heldUntilMs: 0 }
      this.#lately.set(channel, one)
    }
    one.atMs = one.atMs.filter((atMs) => nowMs - atMs < this.#limits.takeoverWindowMs)
    one.atMs.push(nowMs)
    if (one.atMs.length < this.#limits.takeoversMax) return false
    one.atMs = []
    one.heldUntilMs = nowMs + this.#limits.conflictHoldMs
    return true
  }

  /** Forget what is over. */
  sweep(nowMs: number): void {
    for (const [channel, one] of this.#lately) {
      const lastMs = one.atMs.at(-1) ?? 0
      if (one.heldUntilMs <= nowMs && nowMs - lastMs >= this.#limits.takeoverWindowMs) {
        this.#lately.delete(channel)
      }
    }
  }
}
