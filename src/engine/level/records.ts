import type { Database, Part } from './database.ts'
import type { Range } from './keys.ts'
import { Pending } from './pending.ts'
import type { Status } from './status.ts'

interface Change<R> {
  readonly record: R | undefined
}

/** Records of one kind, of which there may be millions: those in use are held in memory. */
export class Records<R extends object> implements Part {
  readonly #database: Database
  readonly #status: Status
  readonly #heldMax: number
  /** Durable ones, the longest unused first. */
  readonly #held = new Map<string, R>()
  readonly #pending: Pending<Change<R>>
  /** Changes with every durable change, so that what was read before it is not held. */
  #version = 0

  constructor(database: Database, status: Status, heldMax: number) {
    this.#database = database
    this.#status = status
    this.#heldMax = heldMax
    this.#pending = new Pending((at, { record }) => {
      if (record === undefined) this.#held.delete(at)
      else this.#hold(at, record)
    })
  }

  /** As it is durable; at once where it is held. */
  get(at: string): R | undefined | Promise<R | undefined> {
    const held = this.#held.get(at)
    if (held === undefined) return this.#status.reading(() => this.#read(at))
    this.#hold(at, held)
    return held
  }

  /**
   * As it will be once all that was put is durable.
   * @throws StoreUnavailable
   */
  latest(at: string): R | undefined {
    const pending = this.#pending.get(at)
    if (pending !== undefined) return pending.record
    const held = this.#held.get(at)
    if (held !== undefined) return held
    try {
      const value = this.#database.store.getSync(at)
      return value === undefined ? undefined : parse<R>(value)
    } catch (error) {
      throw this.#status.unavailable(error)
    }
  }

  /** Part of the commit that gathers now. Nobody else changes the record any more. */
  put(at: string, record: R): void {
    this.#pending.set(at, { record })
    this.#database.put(at, JSON.stringify(record))
  }

  /** The same. */
  remove(at: string): void {
    this.#pending.set(at, { record: undefined })
    this.#database.del(at)
  }

  /** Durable ones, in order of key; `more`: others follow. */
  list(range: Range, after: string | undefined, limit: number): Promise<Listed<R>> {
    return this.#status.reading(async () => {
      const from = after === undefined ? range : { gt: after, lt: range.lt }
      const values = await this.#database.store.values({ ...from, limit: limit + 1 }).all()
      const items = values.slice(0, limit).map((value) => parse<R>(value))
      return { items, more: values.length > items.length }
    })
  }

  encode(): void {
    this.#pending.encode()
  }

  synced(): void {
    if (this.#pending.synced()) this.#version += 1
  }

  drop(): void {
    this.#pending.drop()
    this.#version += 1
    this.#held.clear()
  }

  async load(): Promise<void> {}

  async #read(at: string): Promise<R | undefined> {
    const version = this.#version
    const value = await this.#database.store.get(at)
    if (value === undefined) return undefined
    const record = lean(parse<R>(value))
    if (version === this.#version) this.#hold(at, record)
    return record
  }

  #hold(at: string, record: R): void {
    this.#held.delete(at)
    this.#held.set(at, record)
    if (this.#held.size <= this.#heldMax) return
    for (const oldest of this.#held.keys()) {
      this.#held.delete(oldest)
      return
    }
  }
}

export interface Listed<R> {
  readonly items: readonly R[]
  readonly more: boolean
}

/** It may be held for long: what is empty in it is the same in all, 140 bytes of a usual device. */
function lean<R extends object>(record: R): R {
  const parts = record as Record<string, unknown>
  for (const name in parts) {
    const part = parts[name]
    if (Array.isArray(part)) {
      if (part.length === 0) parts[name] = emptyList
    } else if (typeof part === 'object' && part !== null && isEmpty(part)) parts[name] = emptyObject
  }
  return record
}

const emptyList = Object.freeze([])
const emptyObject = Object.freeze({})

function isEmpty(object: object): boolean {
  for (const _ in object) return false
  return true
}

export const parse = <R>(value: Buffer): R => JSON.parse(value.toString()) as R
