import { webhookBounds } from './bounds.ts'
import type { SlotOwner } from './slots.ts'

/**
 * Which lanes of callbacks may send at once. Each receiver has several lanes, since its callbacks
 * have no order to keep:
 *
 *     lane   0 … 7      | 8 … 15     | 16 … 23    | …
 *            receiver 0 | receiver 1 | receiver 2 | …      by hash of its origin
 *
 * One request of each receiver always goes; more of them only while few are under way in all. So
 * silent receivers, which hold what they have until it times out, hold up nobody else.
 */
export class Receivers {
  readonly #owner: Pick<SlotOwner, 'slots'>
  readonly #open = new Map<number, number>()

  constructor(owner: Pick<SlotOwner, 'slots'>) {
    this.#owner = owner
  }

  hasRoom(lane: number): boolean {
    return (
      this.#owner.slots < webhookBounds.callbackRequestsMax || !this.#open.has(receiverOf(lane))
    )
  }

  take(lane: number): void {
    const receiver = receiverOf(lane)
    this.#open.set(receiver, (this.#open.get(receiver) ?? 0) + 1)
  }

  give(lane: number): void {
    const receiver = receiverOf(lane)
    const left = this.#open.get(receiver)! - 1
    if (left > 0) this.#open.set(receiver, left)
    else this.#open.delete(receiver)
  }
}

const receiverOf = (lane: number): number => Math.floor(lane / webhookBounds.callbackLanes)
