import type { Shelf, ShelfChange, ShelfPage, ShelfQuery } from '../../contract/index.ts'
import type { Commits } from './commits.ts'
import type { MemoryDisk } from './disk.ts'
import { pageOf } from './pages.ts'

export class MemoryShelf implements Shelf {
  readonly #disk: MemoryDisk
  readonly #commits: Commits

  constructor(disk: MemoryDisk, commits: Commits) {
    this.#disk = disk
    this.#commits = commits
  }

  async read(path: string): Promise<string | undefined> {
    return this.#disk.shelf.get(path)
  }

  write(changes: readonly ShelfChange[]): Promise<void> {
    const copy = changes.map(({ path, value }) => ({ path, value }))
    return this.#commits.kept(() => {
      for (const { path, value } of copy) {
        if (value === undefined) this.#disk.shelf.delete(path)
        else this.#disk.shelf.set(path, value)
      }
    })
  }

  async list(under: string, query: ShelfQuery): Promise<ShelfPage> {
    const records = [...this.#disk.shelf].map(([path, value]) => ({ path, value }))
    const below = records.filter(({ path }) => path.startsWith(`${under}/`))
    return pageOf(below, ({ path }) => path, query)
  }
}
