import { StoreUnavailable } from '../../contract/index.ts'

/** What a change answers once it is kept; run after all of its batch are applied. */
type Answer = () => void

interface Change {
  readonly apply: () => Answer
  readonly refuse: (full: boolean) => void
}

/**
 * The order in which everything happens.
 *
 *     call, call ──▶ waiting ──(end of the tick)──▶ applied, one by one ──▶ heard ──▶ answered
 *
 * A change touches nothing before its commit. So what can be read is always what was committed,
 * and a failed commit needs no undoing.
 */
export class Commits {
  #waiting: Change[] = []
  #looks: (() => void)[] = []
  #scheduled = false
  #refusing: 'full' | 'down' | undefined
  #stopped = false
  readonly #committed: () => void
  #count = 0

  /** `committed` runs after each batch is applied and before its answers. */
  constructor(committed: () => void) {
    this.#committed = committed
  }

  get count(): number {
    return this.#count
  }

  /** Why nothing can be kept at the moment; undefined while it can. */
  get refusal(): StoreUnavailable | undefined {
    return this.#refusing && new StoreUnavailable(this.#refusing === 'full')
  }

  /** Exactly one of both runs, in a later turn: the answer `apply` gives, or `refuse`. */
  keep(apply: () => Answer, refuse: (full: boolean) => void): void {
    this.#waiting.push({ apply, refuse })
    this.#schedule()
  }

  /** The same as a promise; rejects with {@link StoreUnavailable}. */
  kept<T>(apply: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.keep(
        () => {
          const value = apply()
          return () => resolve(value)
        },
        (full) => reject(new StoreUnavailable(full)),
      )
    })
  }

  /** Look at what is committed: at once when nothing waits, else after what was called before. */
  look<T>(read: () => T): T | Promise<T> {
    if (this.#waiting.length === 0) return read()
    return new Promise((resolve) => {
      this.#looks.push(() => resolve(read()))
      this.#schedule()
    })
  }

  /** From now on nothing can be kept, nor what waits already. */
  refuse(why: 'full' | 'down'): void {
    this.#refusing = why
    this.#commit()
  }

  accept(): void {
    this.#refusing = undefined
  }

  /** As if the process were killed: what waits is neither applied nor answered. */
  stop(): void {
    this.#stopped = true
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#commit()
    })
  }

  #commit(): void {
    if (this.#stopped) return
    const changes = this.#waiting
    const looks = this.#looks
    this.#waiting = []
    this.#looks = []
    if (this.#refusing !== undefined) {
      for (const change of changes) change.refuse(this.#refusing === 'full')
    } else if (changes.length > 0) {
      const answers = changes.map((change) => change.apply())
      this.#count += 1
      this.#committed()
      for (const answer of answers) answer()
    }
    for (const look of looks) look()
  }
}
