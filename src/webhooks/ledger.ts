import type { AppId, Shelf, ShelfChange, WebhookName } from '../contract/index.ts'

/**
 * What one webhook has to keep, gathered until it is written: how far it has come and what it set
 * aside go in one batch, so that a crash between them is a repeat and not a loss.
 */
export class Ledger {
  readonly #shelf: Shelf
  readonly #base: string
  #pending = new Map<string, string | undefined>()
  #writing = new Map<string, string | undefined>()

  constructor(shelf: Shelf, app: AppId, name: WebhookName) {
    this.#shelf = shelf
    this.#base = `webhooks/${app}/${name}`
  }

  get isEmpty(): boolean {
    return this.#pending.size === 0
  }

  /** Durable with the next write; undefined removes it. */
  put(name: string, value: string | undefined): void {
    this.#pending.set(`${this.#base}/${name}`, value)
  }

  /** What is to be written now; answer with `written` or `failed`. */
  changes(): readonly ShelfChange[] {
    this.#writing = this.#pending
    this.#pending = new Map()
    return [...this.#writing].map(([path, value]) => ({ path, value }))
  }

  written(): void {
    this.#writing.clear()
  }

  /** Nothing was written: it goes with the next, unless that knows better. */
  failed(): void {
    for (const [path, value] of this.#writing) {
      if (!this.#pending.has(path)) this.#pending.set(path, value)
    }
    this.#writing.clear()
  }

  /** @throws StoreUnavailable */
  read(name: string): Promise<string | undefined> {
    return this.#shelf.read(`${this.#base}/${name}`)
  }

  /** Records below a name, as they are on the shelf: what is pending is not among them. */
  async list(
    under: string,
    query: { readonly after?: string; readonly limit: number },
  ): Promise<{ items: readonly { name: string; value: string }[]; next: string | undefined }> {
    const base = `${this.#base}/${under}`
    const after = query.after === undefined ? {} : { after: `${base}/${query.after}` }
    const page = await this.#shelf.list(base, { limit: query.limit, ...after })
    const short = (path: string): string => path.slice(base.length + 1)
    return {
      items: page.items.map(({ path, value }) => ({ name: short(path), value })),
      next: page.next === undefined ? undefined : short(page.next),
    }
  }

  /** Every record below a name, page by page. */
  async *all(under: string): AsyncGenerator<{ name: string; value: string }> {
    let after: string | undefined
    do {
      const page = await this.list(under, { limit: 512, ...(after !== undefined && { after }) })
      yield* page.items
      after = page.next
    } while (after !== undefined)
  }

  /** Forget everything of this webhook. */
  async erase(): Promise<void> {
    this.#pending.clear()
    for (;;) {
      const { items } = await this.#shelf.list(this.#base, { limit: 512 })
      if (items.length === 0) return
      await this.#shelf.write(items.map(({ path }) => ({ path, value: undefined })))
    }
  }
}
