import type { CallOptions, QueryValue, Transport } from './transport.ts'
import type { Page } from './types.ts'

export interface PageQuery extends CallOptions {
  /** The `next` of the page before. */
  readonly after?: string
  /** At most 1,000; default 100. */
  readonly limit?: number
}

/**
 * All of something: `for await (const device of pike.devices.list())` goes over all pages, reading
 * the next only when it is needed.
 */
export class Listing<Item> implements AsyncIterable<Item> {
  readonly #transport: Transport
  readonly #path: string
  readonly #query: Readonly<Record<string, QueryValue>>
  readonly #options: CallOptions

  constructor(
    transport: Transport,
    path: string,
    query: Readonly<Record<string, QueryValue>>,
    options: CallOptions,
  ) {
    this.#transport = transport
    this.#path = path
    this.#query = query
    this.#options = options
  }

  async page({ after, limit, ...options }: PageQuery = {}): Promise<Page<Item>> {
    const { body } = await this.#transport.call<Page<Item>>('GET', this.#path, {
      ...this.#options,
      ...options,
      query: { ...this.#query, after, limit },
    })
    return body
  }

  /** All at once. */
  async all(): Promise<Item[]> {
    const items: Item[] = []
    for await (const item of this) items.push(item)
    return items
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    let after: string | undefined
    do {
      const page: Page<Item> = await this.page({
        limit: pageItems,
        ...(after !== undefined && { after }),
      })
      yield* page.items
      after = page.next ?? undefined
    } while (after !== undefined)
  }
}

/** Of pages nobody looks at singly. */
const pageItems = 500
