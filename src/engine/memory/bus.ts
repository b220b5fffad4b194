import type { Bus, Hint, NodeId } from '../../contract/index.ts'

/** One node talking to itself: heard in a later turn, as from a network. */
export class MemoryBus implements Bus {
  readonly #node: NodeId
  readonly #listeners = new Set<(hint: Hint) => void>()

  constructor(node: NodeId) {
    this.#node = node
  }

  send(to: NodeId, hint: Hint): void {
    if (to !== this.#node) return
    setImmediate(() => {
      for (const listener of this.#listeners) listener(hint)
    })
  }

  listen(heard: (hint: Hint) => void): () => void {
    const listener = (hint: Hint) => heard(hint)
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }
}
