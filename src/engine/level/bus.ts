import type { Bus, Hint, NodeId } from '../../contract/index.ts'

/** One process is all its nodes: hints to itself arrive in a later turn, others go nowhere. */
export class LevelBus implements Bus {
  readonly #node: NodeId
  readonly #surprised: (error: unknown) => void
  readonly #listeners = new Set<(hint: Hint) => void>()

  constructor(node: NodeId, surprised: (error: unknown) => void) {
    this.#node = node
    this.#surprised = surprised
  }

  send(to: NodeId, hint: Hint): void {
    if (to !== this.#node || this.#listeners.size === 0) return
    setImmediate(() => {
      for (const listener of this.#listeners) {
        try {
          listener(hint)
        } catch (error) {
          this.#surprised(error)
        }
      }
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
