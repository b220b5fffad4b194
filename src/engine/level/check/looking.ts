import type { AppId, EndStatus, EpochSpan } from '../../../contract/index.ts'
import type { Range } from '../keys.ts'
import { under } from '../keys.ts'
import type { Store } from '../store.ts'
import { textOf } from '../store.ts'
import type { Code, Finding } from './findings.ts'

const stepRecords = 1_000
const stepBytes = 1_048_576

/** Counters of an app, as they are kept. */
export interface Counters {
  readonly accepted: number
  readonly open: number
  readonly ended: Readonly<Record<string, number>>
  readonly devices: number
  readonly aliases: number
  readonly logBytes: number
  readonly top: number
  readonly oldest: number
}

/** What was seen of an app, to be held against its counters. */
export class Seen {
  open = 0
  devices = 0
  aliases = 0
  events = 0
  logBytes = 0
  readonly ended = new Map<string, number>()
}

/** What was seen of a broadcast. */
export interface Cast {
  readonly made: boolean
  readonly forgotten: boolean
  members: number
  waiting: number
  open: number
  /** Outcomes that are still in the log. */
  readonly ended: Map<EndStatus, number>
  /** The first, by name, that waits. */
  firstWaiting: string | undefined
}

export interface KindFigures {
  readonly kind: string
  readonly records: number
  readonly bytes: number
}

/** What all parts of a check share. */
export class Looking {
  readonly store: Store
  readonly apps = new Set<AppId>()
  readonly counters = new Map<AppId, Counters>()
  readonly logs = new Map<AppId, readonly EpochSpan[]>()
  readonly casts = new Map<string, Cast>()
  readonly figures: KindFigures[] = []
  readonly #seen = new Map<AppId, Seen>()
  readonly #found: (finding: Finding) => void
  readonly #progress: (records: number) => void

  constructor(
    store: Store,
    found: (finding: Finding) => void,
    progress: (records: number) => void,
  ) {
    this.store = store
    this.#found = found
    this.#progress = progress
  }

  seen(app: AppId): Seen {
    let seen = this.#seen.get(app)
    if (seen === undefined) {
      seen = new Seen()
      this.#seen.set(app, seen)
    }
    return seen
  }

  seenApps(): Iterable<[AppId, Seen]> {
    return this.#seen
  }

  found(code: Code, where: string, detail = ''): void {
    this.#found({ code, where, detail })
  }

  /** All records of a kind, some at a time, in order; counted, unless they were before. */
  async kind(
    letter: string,
    title: string,
    look: (entries: readonly Entry[]) => Promise<void> | void,
  ): Promise<void> {
    let records = 0
    let bytes = 0
    await this.range(under(letter), async (entries) => {
      for (const [key, value] of entries) bytes += key.length + value.length
      records += entries.length
      await look(entries)
      this.#progress(entries.length)
    })
    this.figures.push({ kind: title, records, bytes })
  }

  async range(
    range: Partial<Range>,
    look: (entries: readonly Entry[]) => Promise<void> | void,
  ): Promise<void> {
    const options = { ...range, highWaterMarkBytes: stepBytes, fillCache: false }
    const iterator = this.store.iterator(options)
    try {
      for (;;) {
        const entries = await iterator.nextv(stepRecords)
        if (entries.length === 0) return
        await look(entries)
      }
    } finally {
      await iterator.close()
    }
  }

  /** What lies under these keys, in their order. */
  many(keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    return keys.length === 0 ? Promise.resolve([]) : this.store.getMany([...keys])
  }

  /** @returns undefined, and says so, for what cannot be read. */
  read<T>(key: string, decode: () => T): T | undefined {
    try {
      return decode()
    } catch (error) {
      this.found('unreadable', key, textOf(error))
      return undefined
    }
  }

  /** JSON with all of these in it, each of its type. */
  json<T extends object>(key: string, value: Buffer, shape: Shape): T | undefined {
    return this.read(key, () => {
      const record: unknown = JSON.parse(value.toString())
      if (typeof record !== 'object' || record === null) throw new RangeError('it is no record')
      for (const [name, type] of Object.entries(shape)) {
        const part = (record as Record<string, unknown>)[name]
        const is = Array.isArray(part) ? 'array' : typeof part
        if (is !== type) throw new RangeError(`${name} is ${is}, not ${type}`)
      }
      return record as T
    })
  }
}

export type Entry = [key: string, value: Buffer]
export type Shape = Readonly<Record<string, 'string' | 'number' | 'boolean' | 'object' | 'array'>>

const name = '[A-Za-z0-9][A-Za-z0-9._~-]{0,127}'

/** What keys of a kind look like: `names('d', 2)` is `d/<name>/<name>`. */
export const names = (letter: string, count: number, behind = ''): RegExp =>
  new RegExp(`^${letter}${`/${name}`.repeat(count)}${behind}$`)

/** A number at the end of a key. */
export const number = '/[0-9a-z]{11}'
