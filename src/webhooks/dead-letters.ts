import type { DeadLetter, EventId } from '../contract/index.ts'
import type { Ledger } from './ledger.ts'
import { shelfName } from './place.ts'

const folder = 'dead'

/**
 * Events of one webhook that were given up, in order of the log. Bounded: the oldest go, since what
 * was given up last is what somebody may still want.
 */
export class DeadLetters {
  readonly #ledger: Ledger
  readonly #max: number
  #count = 0
  #turn: Promise<unknown> = Promise.resolve()

  constructor(ledger: Ledger, max: number) {
    this.#ledger = ledger
    this.#max = max
  }

  get count(): number {
    return this.#count
  }

  /** Calls that look at what is there and then change it come one after another. */
  alone<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(run)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async load(): Promise<void> {
    let count = 0
    for await (const _ of this.#ledger.all(folder)) count++
    this.#count = count
  }

  add(letter: DeadLetter): void {
    this.#ledger.put(nameOf(letter.event), JSON.stringify(letter))
    this.#count++
  }

  /** Another attempt has failed. */
  change(letter: DeadLetter): void {
    this.#ledger.put(nameOf(letter.event), JSON.stringify(letter))
  }

  remove(event: EventId): void {
    this.#ledger.put(nameOf(event), undefined)
    this.#count = Math.max(0, this.#count - 1)
  }

  async find(event: EventId): Promise<DeadLetter | undefined> {
    return decode(await this.#ledger.read(nameOf(event)))
  }

  async list(query: {
    readonly after?: EventId
    readonly limit: number
  }): Promise<{ readonly items: readonly DeadLetter[]; readonly next: EventId | undefined }> {
    const { after, limit } = query
    const page = await this.#ledger.list(folder, {
      limit,
      ...(after !== undefined && { after: shelfName(after) }),
    })
    const items = page.items.flatMap(({ value }) => decode(value) ?? [])
    return { items, next: page.next === undefined ? undefined : items.at(-1)?.event }
  }

  async *all(): AsyncGenerator<DeadLetter> {
    for await (const { value } of this.#ledger.all(folder)) {
      const letter = decode(value)
      if (letter !== undefined) yield letter
    }
  }

  /** Let the oldest go while there are too many. @returns how many went. */
  async trim(): Promise<number> {
    const over = this.#count - this.#max
    if (over <= 0) return 0
    const { items } = await this.#ledger.list(folder, { limit: over })
    for (const { name } of items) this.#ledger.put(`${folder}/${name}`, undefined)
    this.#count -= items.length
    return items.length
  }
}

const nameOf = (event: EventId): string => `${folder}/${shelfName(event)}`

function decode(text: string | undefined): DeadLetter | undefined {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as DeadLetter)
  } catch {
    return undefined
  }
}
