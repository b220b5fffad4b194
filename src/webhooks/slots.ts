/** Who asks for slots. */
export interface SlotOwner {
  slots: number
  /** It is this one's turn to ask again. */
  slotFree(): void
}

/** What each may have, however many others have taken. */
const assured = 4

/**
 * Requests under way over all webhooks. Where there are too many, those who wait go in turn, one
 * request each; and everybody always gets a few, so that one app's silent receivers, which hold
 * theirs until they time out, delay nobody else.
 */
export class Slots {
  readonly #max: number
  #taken = 0
  readonly #waiting = new Set<SlotOwner>()

  constructor(max: number) {
    this.#max = max
  }

  get taken(): number {
    return this.#taken
  }

  /** False: not now; `slotFree` comes. */
  take(owner: SlotOwner): boolean {
    if (this.#taken >= this.#max && owner.slots >= assured) {
      this.#waiting.add(owner)
      return false
    }
    this.#taken++
    owner.slots++
    return true
  }

  give(owner: SlotOwner): void {
    this.#taken--
    owner.slots--
    // Its own turn first, where it is among those that are always let through.
    if (owner.slots < assured && this.#waiting.delete(owner)) owner.slotFree()
    // Whoever has nothing to send any more passes its turn on.
    while (this.#taken < this.#max) {
      const [first] = this.#waiting
      if (first === undefined) return
      this.#waiting.delete(first)
      first.slotFree()
    }
  }
}
