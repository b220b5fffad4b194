import type { AliasName, AliasRecord, AppId } from '../../contract/index.ts'
import type { Apps } from './apps.ts'
import type { Database, Part } from './database.ts'
import { aliasesOf, aliasKey, aliasPrefix, under } from './keys.ts'
import { parse, Records } from './records.ts'
import type { Status } from './status.ts'

/** Records of aliases held in memory; beyond it the longest unused is read again when asked for. */
const heldMax = 50_000
/** Aliases looked at between two commits while the expired are forgotten. */
const purgeStep = 1_000
const purgeStepBytes = 1_048_576
/** Stands in the text of every record that may expire, and is cheaper to look for than to parse. */
const mayExpire = '"expiresAtMs":'

/** Which device an alias stands for; how many an app has is counted in its record. */
export class Aliases implements Part {
  readonly #database: Database
  readonly #status: Status
  readonly #counters: Apps
  readonly #records: Records<AliasRecord>

  constructor(database: Database, status: Status, counters: Apps) {
    this.#database = database
    this.#status = status
    this.#counters = counters
    this.#records = new Records(database, status, heldMax)
  }

  get(app: AppId, alias: AliasName): AliasRecord | undefined | Promise<AliasRecord | undefined> {
    return this.#records.get(aliasKey(app, alias))
  }

  count(app: AppId): number {
    return this.#counters.get(app)?.aliases ?? 0
  }

  /** Part of the commit that gathers now. */
  put(record: AliasRecord): void {
    const at = aliasKey(record.app, record.alias)
    if (this.#records.latest(at) === undefined) this.#counters.use(record.app).aliases += 1
    this.#records.put(at, record)
  }

  /** The same. @returns false when there was none. */
  remove(app: AppId, alias: AliasName): boolean {
    const at = aliasKey(app, alias)
    if (this.#records.latest(at) === undefined) return false
    this.#counters.use(app).aliases -= 1
    this.#records.remove(at)
    return true
  }

  async list(
    app: AppId,
    { after, limit }: { readonly after?: AliasName; readonly limit: number },
  ): Promise<{ readonly items: readonly AliasRecord[]; readonly next: AliasName | undefined }> {
    const from = after === undefined ? undefined : aliasKey(app, after)
    const { items, more } = await this.#records.list(aliasesOf(app), from, limit)
    return { items, next: more ? items.at(-1)?.alias : undefined }
  }

  async purge(expiredBeforeMs: number): Promise<number> {
    const isOld = (record: AliasRecord | undefined) =>
      record?.expiresAtMs !== undefined && record.expiresAtMs < expiredBeforeMs
    let count = 0
    if (!this.#status.ready) throw this.#status.unavailable()
    const range = { ...under(aliasPrefix), highWaterMarkBytes: purgeStepBytes }
    const entries = this.#database.store.iterator(range)
    try {
      for (;;) {
        const step = await this.#status.reading(() => entries.nextv(purgeStep))
        if (step.length === 0) return count
        if (!this.#status.ready) throw this.#status.unavailable()
        let gone = 0
        for (const [at, value] of step) {
          if (!value.includes(mayExpire)) continue
          const record = parse<AliasRecord>(value)
          // It may have been bound anew since the store was looked at.
          if (!isOld(record) || !isOld(this.#records.latest(at))) continue
          if (this.remove(record.app, record.alias)) gone += 1
        }
        if (gone > 0 && !(await this.#database.kept())) throw this.#status.unavailable()
        count += gone
      }
    } finally {
      await entries.close()
    }
  }

  encode(): void {
    this.#records.encode()
  }

  synced(): void {
    this.#records.synced()
  }

  drop(): void {
    this.#records.drop()
  }

  async load(): Promise<void> {}
}
