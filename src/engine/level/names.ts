import type {
  AppId,
  AppRecord,
  DeviceId,
  DeviceRecord,
  KeyName,
  KeyRecord,
  Names,
} from '../../contract/index.ts'
import type { Apps } from './apps.ts'
import type { Database, Part } from './database.ts'
import { apiKeyKey, appKey, deviceRecordKey, devicesOf, under } from './keys.ts'
import type { Status } from './status.ts'
import type { Store } from './store.ts'

/** Records of devices held in memory; beyond it the longest unused is read again when asked for. */
const deviceCacheMax = 50_000

interface Write {
  readonly exists: boolean
  readonly apply: () => void
}

/** Apps and keys are all in memory, devices as far as they are used; all of it durable. */
export class LevelNames implements Names, Part {
  readonly #database: Database
  readonly #status: Status
  readonly #counters: Apps
  readonly #apps = new Map<AppId, AppRecord>()
  readonly #keys = new Map<AppId, Map<KeyName, KeyRecord>>()
  readonly #keysByHash = new Map<string, KeyRecord>()
  readonly #devices = new Map<string, DeviceRecord>()
  /** What is written and not durable yet, by key in the store. */
  #fresh = new Map<string, Write>()
  #writing = new Map<string, Write>()
  /** Changes with every durable change, so that what was read before it is not held. */
  #version = 0

  constructor(database: Database, status: Status, counters: Apps) {
    this.#database = database
    this.#status = status
    this.#counters = counters
  }

  device(
    app: AppId,
    device: DeviceId,
  ): DeviceRecord | undefined | Promise<DeviceRecord | undefined> {
    const at = deviceRecordKey(app, device)
    const held = this.#devices.get(at)
    if (held === undefined) return this.#status.reading(() => this.#readDevice(at))
    this.#hold(at, held)
    return held
  }

  async putDevice(record: DeviceRecord): Promise<void> {
    const { app, device } = record
    const at = deviceRecordKey(app, device)
    const copy = structuredClone(record)
    this.#usable()
    if (!this.#exists(at)) this.#counters.use(app).devices += 1
    await this.#write(at, copy, () => this.#hold(at, copy))
  }

  async removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    const at = deviceRecordKey(app, device)
    this.#usable()
    const exists = this.#exists(at)
    if (exists) this.#counters.use(app).devices -= 1
    await this.#write(at, undefined, () => this.#devices.delete(at))
    return exists
  }

  async devices(
    app: AppId,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceRecord[]; readonly next: DeviceId | undefined }> {
    const all = devicesOf(app)
    const range =
      query.after === undefined ? all : { gt: deviceRecordKey(app, query.after), lt: all.lt }
    return this.#status.reading(async () => {
      const values = await this.#database.store.values({ ...range, limit: query.limit + 1 }).all()
      const items = values.slice(0, query.limit).map((value) => parse<DeviceRecord>(value))
      return { items, next: values.length > items.length ? items.at(-1)?.device : undefined }
    })
  }

  async deviceCount(app: AppId): Promise<number> {
    this.#usable()
    return this.#counters.get(app)?.devices ?? 0
  }

  async app(app: AppId): Promise<AppRecord | undefined> {
    return this.#apps.get(app)
  }

  async apps(): Promise<readonly AppRecord[]> {
    return [...this.#apps.values()]
  }

  async putApp(record: AppRecord): Promise<void> {
    const copy = structuredClone(record)
    this.#usable()
    await this.#write(appKey(copy.app), copy, () => this.#apps.set(copy.app, copy))
  }

  keyByHash(hash: string): KeyRecord | undefined {
    return this.#keysByHash.get(hash)
  }

  async keys(app: AppId): Promise<readonly KeyRecord[]> {
    return [...(this.#keys.get(app)?.values() ?? [])]
  }

  async putKey(record: KeyRecord): Promise<void> {
    const copy = structuredClone(record)
    this.#usable()
    await this.#write(apiKeyKey(copy.app, copy.name), copy, () => this.#holdKey(copy))
  }

  async removeKey(app: AppId, name: KeyName): Promise<boolean> {
    const at = apiKeyKey(app, name)
    this.#usable()
    const waiting = this.#fresh.get(at) ?? this.#writing.get(at)
    const exists = waiting?.exists ?? this.#keys.get(app)?.has(name) ?? false
    await this.#write(at, undefined, () => this.#forgetKey(app, name))
    return exists
  }

  encode(): void {
    this.#writing = this.#fresh
    if (this.#fresh.size > 0) this.#fresh = new Map()
  }

  synced(): void {
    if (this.#writing.size === 0) return
    this.#version += 1
    for (const { apply } of this.#writing.values()) apply()
    this.#writing = new Map()
  }

  drop(): void {
    this.#fresh = new Map()
    this.#writing = new Map()
    this.#version += 1
    this.#devices.clear()
    // Apps and keys stay: what is in memory is durable, and callers still want their answer.
  }

  async load(store: Store): Promise<void> {
    const apps = await store.values(under('a')).all()
    const keys = await store.values(under('k')).all()
    this.#apps.clear()
    this.#keys.clear()
    this.#keysByHash.clear()
    for (const record of apps.map((value) => parse<AppRecord>(value))) {
      this.#apps.set(record.app, record)
    }
    for (const record of keys.map((value) => parse<KeyRecord>(value))) this.#holdKey(record)
  }

  #usable(): void {
    if (!this.#status.ready) throw this.#status.unavailable()
  }

  async #write(at: string, record: object | undefined, apply: () => void): Promise<void> {
    // A later write of the same record in the same commit stands for the earlier one.
    this.#fresh.set(at, { exists: record !== undefined, apply })
    if (record === undefined) this.#database.del(at)
    else this.#database.put(at, JSON.stringify(record))
    if (!(await this.#database.kept())) throw this.#status.unavailable()
  }

  #exists(at: string): boolean {
    const waiting = this.#fresh.get(at) ?? this.#writing.get(at)
    if (waiting !== undefined) return waiting.exists
    if (this.#devices.has(at)) return true
    try {
      return this.#database.store.getSync(at) !== undefined
    } catch (error) {
      throw this.#status.unavailable(error)
    }
  }

  async #readDevice(at: string): Promise<DeviceRecord | undefined> {
    const version = this.#version
    const value = await this.#database.store.get(at)
    if (value === undefined) return undefined
    const record = parse<DeviceRecord>(value)
    if (version === this.#version) this.#hold(at, record)
    return record
  }

  #hold(at: string, record: DeviceRecord): void {
    this.#devices.delete(at)
    this.#devices.set(at, record)
    if (this.#devices.size <= deviceCacheMax) return
    for (const oldest of this.#devices.keys()) {
      this.#devices.delete(oldest)
      return
    }
  }

  #holdKey(record: KeyRecord): void {
    this.#forgetKey(record.app, record.name)
    const ofApp = this.#keys.get(record.app) ?? new Map<KeyName, KeyRecord>()
    this.#keys.set(record.app, ofApp.set(record.name, record))
    this.#keysByHash.set(record.hash, record)
  }

  #forgetKey(app: AppId, name: KeyName): void {
    const record = this.#keys.get(app)?.get(name)
    if (record === undefined) return
    this.#keys.get(app)?.delete(name)
    if (this.#keysByHash.get(record.hash) === record) this.#keysByHash.delete(record.hash)
  }
}

const parse = <T>(value: Buffer): T => JSON.parse(value.toString()) as T
