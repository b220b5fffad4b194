import type { Shelf, ShelfChange, ShelfPage, ShelfQuery } from '../contract/index.ts'

/** The engine's shelf as adapters have it: what lies under `adapters/` is theirs, the rest is not. */
export class AdapterShelf implements Shelf {
  readonly #shelf: Shelf

  constructor(shelf: Shelf) {
    this.#shelf = shelf
  }

  read(path: string): Promise<string | undefined> {
    checkOwn(path)
    return this.#shelf.read(path)
  }

  write(changes: readonly ShelfChange[]): Promise<void> {
    for (const { path } of changes) checkOwn(path)
    return this.#shelf.write(changes)
  }

  list(under: string, query: ShelfQuery): Promise<ShelfPage> {
    checkOwn(under)
    return this.#shelf.list(under, query)
  }
}

/** A mistake of an adapter, which no peer can bring about: paths are ours. */
function checkOwn(path: string): void {
  if (!path.startsWith('adapters/')) throw new Error(`not on an adapter's shelf: ${path}`)
}
