import type { Shelf, ShelfChange, ShelfPage, ShelfQuery } from '../../contract/index.ts'
import type { Database } from './database.ts'
import { pathOfShelf, shelfKey, shelfUnder } from './keys.ts'
import type { Status } from './status.ts'

/** Nothing of it is held in memory: whoever keeps something here, knows what. */
export class LevelShelf implements Shelf {
  readonly #database: Database
  readonly #status: Status

  constructor(database: Database, status: Status) {
    this.#database = database
    this.#status = status
  }

  read(path: string): Promise<string | undefined> {
    return this.#status.reading(async () =>
      (await this.#database.store.get(shelfKey(path)))?.toString(),
    )
  }

  async write(changes: readonly ShelfChange[]): Promise<void> {
    if (!this.#status.ready) throw this.#status.unavailable()
    for (const { path, value } of changes) {
      if (value === undefined) this.#database.del(shelfKey(path))
      else this.#database.put(shelfKey(path), value)
    }
    if (!(await this.#database.kept())) throw this.#status.unavailable()
  }

  list(under: string, { after, limit }: ShelfQuery): Promise<ShelfPage> {
    const all = shelfUnder(under)
    // A cursor of somewhere else must not lead out of what was asked for.
    const isInside = after !== undefined && shelfKey(after) >= all.gte
    const range = isInside ? { gt: shelfKey(after), lt: all.lt } : all
    return this.#status.reading(async () => {
      const entries = await this.#database.store.iterator({ ...range, limit: limit + 1 }).all()
      const items = entries
        .slice(0, limit)
        .map(([key, value]) => ({ path: pathOfShelf(key), value: value.toString() }))
      return { items, next: entries.length > items.length ? items.at(-1)?.path : undefined }
    })
  }
}
