import type { DeviceKey, PresenceState, Shelf, ShelfChange } from '../contract/index.ts'

/** What is kept of a device while it is there, or asleep: that it was, should this process die. */
export interface Mark {
  readonly state: PresenceState
  readonly protocol: string
  readonly sinceMs: number
  readonly term: number
  readonly backAtMs?: number | undefined
}

const under = 'presence'
const pageItems = 1_000

/**
 * Who is there, as the next process finds it: without it a device that a crash took away would have
 * been online for ever, by the last event of it.
 *
 *     came ▶ mark     left ▶ no mark     start ▶ who has a mark was there, and nobody saw it go
 *
 * Marks of one turn are written together. One that is not kept costs a word after the next crash.
 */
export class PresenceMarks {
  readonly #shelf: Shelf
  #changed: Map<DeviceKey, Mark | undefined> | undefined

  constructor(shelf: Shelf) {
    this.#shelf = shelf
  }

  set(device: DeviceKey, mark: Mark | undefined): void {
    if (this.#changed === undefined) {
      this.#changed = new Map()
      queueMicrotask(() => this.flush())
    }
    this.#changed.set(device, mark)
  }

  flush(): void {
    const changed = this.#changed
    if (changed === undefined) return
    this.#changed = undefined
    const changes: ShelfChange[] = []
    for (const [device, mark] of changed)
      changes.push({
        path: `${under}/${device}`,
        value: mark === undefined ? undefined : JSON.stringify(mark),
      })
    this.#shelf.write(changes).catch(() => {}) // the store says so itself
  }

  /** @throws StoreUnavailable, as a rejection */
  async *all(): AsyncGenerator<readonly [DeviceKey, Mark]> {
    let after: string | undefined
    do {
      const query = { limit: pageItems, ...(after !== undefined && { after }) }
      const page = await this.#shelf.list(under, query)
      for (const { path, value } of page.items) {
        const mark = readMark(value)
        if (mark !== undefined) yield [path.slice(under.length + 1), mark]
      }
      after = page.next
    } while (after !== undefined)
  }
}

/** undefined: it is of another version, or damaged; then nothing is known. */
function readMark(text: string): Mark | undefined {
  try {
    const mark = JSON.parse(text) as Partial<Mark>
    return typeof mark.state === 'string' && typeof mark.term === 'number'
      ? (mark as Mark)
      : undefined
  } catch {
    return undefined
  }
}
