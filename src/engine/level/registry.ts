import type { AppId } from '../../contract/index.ts'
import type { Database, Part } from './database.ts'
import { under } from './keys.ts'
import { Pending } from './pending.ts'
import type { Store } from './store.ts'

interface Kind<R> {
  /** First part of their keys. */
  readonly prefix: string
  keyOf(app: AppId, name: string): string
  nameOf(record: R): string
}

interface Change<R> {
  readonly app: AppId
  readonly name: string
  readonly record: R | undefined
}

/** Records of one kind, all of them in memory: they are few, and asked for all the time. */
export class Registry<R extends { readonly app: AppId }> implements Part {
  readonly #database: Database
  readonly #kind: Kind<R>
  readonly #all = new Map<AppId, Map<string, R>>()
  readonly #pending: Pending<Change<R>>
  readonly #changed: (before: R | undefined, now: R | undefined) => void

  /** `changed` is told of everything that is held from now on, or no more. */
  constructor(
    database: Database,
    kind: Kind<R>,
    changed: (before: R | undefined, now: R | undefined) => void = () => {},
  ) {
    this.#database = database
    this.#kind = kind
    this.#changed = changed
    this.#pending = new Pending((_at, { app, name, record }) => this.#hold(app, name, record))
  }

  /** As it is durable. */
  get(app: AppId, name: string): R | undefined {
    return this.#all.get(app)?.get(name)
  }

  ofApp(app: AppId): readonly R[] {
    return [...(this.#all.get(app)?.values() ?? [])]
  }

  all(): readonly R[] {
    return [...this.#all.values()].flatMap((ofApp) => [...ofApp.values()])
  }

  /** Whether it will be there once all that was put is durable. */
  exists(app: AppId, name: string): boolean {
    const pending = this.#pending.get(this.#kind.keyOf(app, name))
    return (pending === undefined ? this.get(app, name) : pending.record) !== undefined
  }

  /** Part of the commit that gathers now. */
  put(record: R): void {
    const { app } = record
    const name = this.#kind.nameOf(record)
    const at = this.#kind.keyOf(app, name)
    this.#pending.set(at, { app, name, record })
    this.#database.put(at, JSON.stringify(record))
  }

  /** The same. */
  remove(app: AppId, name: string): void {
    const at = this.#kind.keyOf(app, name)
    this.#pending.set(at, { app, name, record: undefined })
    this.#database.del(at)
  }

  /** The same, of all that this app has, durable or not. */
  removeAll(app: AppId): void {
    const names = new Set(this.#all.get(app)?.keys())
    for (const pending of this.#pending.values()) if (pending.app === app) names.add(pending.name)
    for (const name of names) this.remove(app, name)
  }

  encode(): void {
    this.#pending.encode()
  }

  synced(): void {
    this.#pending.synced()
  }

  drop(): void {
    // What is held stays: it is durable, and callers still want their answer.
    this.#pending.drop()
  }

  async load(store: Store): Promise<void> {
    const values = await store.values(under(this.#kind.prefix)).all()
    for (const record of this.all()) this.#hold(record.app, this.#kind.nameOf(record), undefined)
    for (const value of values) {
      const record = JSON.parse(value.toString()) as R
      this.#hold(record.app, this.#kind.nameOf(record), record)
    }
  }

  #hold(app: AppId, name: string, record: R | undefined): void {
    const ofApp = this.#all.get(app) ?? new Map<string, R>()
    const before = ofApp.get(name)
    if (record === undefined) ofApp.delete(name)
    else ofApp.set(name, record)
    if (ofApp.size === 0) this.#all.delete(app)
    else this.#all.set(app, ofApp)
    this.#changed(before, record)
  }
}
