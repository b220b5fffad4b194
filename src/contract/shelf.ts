/**
 * Small records that services beside the core keep: how far a webhook has come, its dead letters.
 *
 * A path is identifiers joined by slashes, e.g. `webhooks/default/orders/lanes`; values are text.
 * A change resolves once it is durable and rejects with {@link StoreUnavailable} when it cannot be.
 *
 * Exam: test/exams/shelf.exam.ts.
 */
export interface Shelf {
  read(path: string): Promise<string | undefined>
  /** All or nothing, in one batch. Without a value the record is removed. */
  write(changes: readonly ShelfChange[]): Promise<void>
  /**
   * Records whose path begins with `under/`, in order of path. `after` is the last path of the
   * page before.
   */
  list(under: string, query: ShelfQuery): Promise<ShelfPage>
}

export interface ShelfChange {
  readonly path: string
  readonly value: string | undefined
}

export interface ShelfQuery {
  readonly after?: string
  readonly limit: number
}

export interface ShelfPage {
  readonly items: readonly { readonly path: string; readonly value: string }[]
  readonly next: string | undefined
}
