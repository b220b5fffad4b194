import type {
  AliasName,
  AliasRecord,
  AppId,
  AppRecord,
  DeviceId,
  DeviceRecord,
  KeyName,
  KeyRecord,
  Names,
  TagName,
  WebhookName,
  WebhookRecord,
} from '../../contract/index.ts'
import { Aliases } from './aliases.ts'
import type { Apps } from './apps.ts'
import type { Database, Part } from './database.ts'
import { Devices } from './devices.ts'
import { apiKeyKey, appKey, webhookKey } from './keys.ts'
import { Registry } from './registry.ts'
import { removeApp } from './removal.ts'
import type { Status } from './status.ts'
import type { Store } from './store.ts'
import { Tags } from './tags.ts'

/** Apps, keys and webhooks are all in memory, devices and aliases as far as they are used. */
export class LevelNames implements Names, Part {
  readonly #database: Database
  readonly #status: Status
  readonly #counters: Apps
  readonly #tags: Tags
  readonly #devices: Devices
  readonly #aliases: Aliases
  readonly #apps: Registry<AppRecord>
  readonly #keys: Registry<KeyRecord>
  readonly #webhooks: Registry<WebhookRecord>
  readonly #keysByHash = new Map<string, KeyRecord>()
  readonly #parts: readonly Part[]

  constructor(database: Database, status: Status, counters: Apps) {
    this.#database = database
    this.#status = status
    this.#counters = counters
    this.#tags = new Tags(database, status)
    this.#devices = new Devices(database, status, counters, this.#tags)
    this.#aliases = new Aliases(database, status, counters)
    this.#apps = new Registry(database, {
      ...{ prefix: 'a', keyOf: appKey, nameOf: ({ app }: AppRecord) => app },
    })
    this.#keys = new Registry(
      database,
      { prefix: 'k', keyOf: apiKeyKey, nameOf: ({ name }: KeyRecord) => name },
      (before, now) => this.#keyChanged(before, now),
    )
    this.#webhooks = new Registry(database, {
      ...{ prefix: 'w', keyOf: webhookKey, nameOf: ({ name }: WebhookRecord) => name },
    })
    this.#parts = [this.#devices, this.#aliases, this.#apps, this.#keys, this.#webhooks]
  }

  device(
    app: AppId,
    device: DeviceId,
  ): DeviceRecord | undefined | Promise<DeviceRecord | undefined> {
    return this.#devices.get(app, device)
  }

  putDevice(record: DeviceRecord): Promise<void> {
    return this.putDevices([record])
  }

  putDevices(records: readonly DeviceRecord[]): Promise<void> {
    return this.#change(() => this.#devices.put(structuredClone(records)))
  }

  removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#change(() => this.#devices.remove(app, device))
  }

  devices(
    app: AppId,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceRecord[]; readonly next: DeviceId | undefined }> {
    return this.#devices.list(app, query)
  }

  async deviceCount(app: AppId): Promise<number> {
    this.#usable()
    return this.#devices.count(app)
  }

  tagged(
    app: AppId,
    tag: TagName,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceId[]; readonly next: DeviceId | undefined }> {
    return this.#tags.tagged(app, tag, query)
  }

  snapshot(app: AppId, tag: TagName): AsyncIterable<readonly DeviceId[]> {
    return this.#tags.snapshot(app, tag)
  }

  alias(app: AppId, alias: AliasName): AliasRecord | undefined | Promise<AliasRecord | undefined> {
    return this.#aliases.get(app, alias)
  }

  putAlias(record: AliasRecord): Promise<void> {
    return this.#change(() => this.#aliases.put(structuredClone(record)))
  }

  removeAlias(app: AppId, alias: AliasName): Promise<boolean> {
    return this.#change(() => this.#aliases.remove(app, alias))
  }

  aliases(
    app: AppId,
    query: { readonly after?: AliasName; readonly limit: number },
  ): Promise<{ readonly items: readonly AliasRecord[]; readonly next: AliasName | undefined }> {
    return this.#aliases.list(app, query)
  }

  async aliasCount(app: AppId): Promise<number> {
    this.#usable()
    return this.#aliases.count(app)
  }

  purgeAliases(expiredBeforeMs: number): Promise<number> {
    return this.#aliases.purge(expiredBeforeMs)
  }

  async app(app: AppId): Promise<AppRecord | undefined> {
    return this.#apps.get(app, app)
  }

  async apps(): Promise<readonly AppRecord[]> {
    return this.#apps.all()
  }

  putApp(record: AppRecord): Promise<void> {
    return this.#change(() => this.#apps.put(structuredClone(record)))
  }

  /** One that has devices stays as it is. */
  removeApp(app: AppId): Promise<boolean> {
    const others = [this.#keys, this.#webhooks]
    return removeApp(
      {
        ...{ database: this.#database, status: this.#status, devices: this.#devices, others },
        ...{ aliases: this.#aliases, apps: this.#apps, counters: this.#counters },
      },
      app,
    )
  }

  keyByHash(hash: string): KeyRecord | undefined {
    return this.#keysByHash.get(hash)
  }

  async keys(app: AppId): Promise<readonly KeyRecord[]> {
    return this.#keys.ofApp(app)
  }

  putKey(record: KeyRecord): Promise<void> {
    return this.#change(() => this.#keys.put(structuredClone(record)))
  }

  removeKey(app: AppId, name: KeyName): Promise<boolean> {
    return this.#change(() => this.#remove(this.#keys, app, name))
  }

  webhooks(app?: AppId): readonly WebhookRecord[] {
    return app === undefined ? this.#webhooks.all() : this.#webhooks.ofApp(app)
  }

  putWebhook(record: WebhookRecord): Promise<void> {
    return this.#change(() => this.#webhooks.put(structuredClone(record)))
  }

  removeWebhook(app: AppId, name: WebhookName): Promise<boolean> {
    return this.#change(() => this.#remove(this.#webhooks, app, name))
  }

  encode(): void {
    for (const part of this.#parts) part.encode()
  }

  synced(): void {
    for (const part of this.#parts) part.synced()
  }

  drop(): void {
    for (const part of this.#parts) part.drop()
  }

  async load(store: Store, clean: boolean): Promise<void> {
    for (const part of this.#parts) await part.load(store, clean)
  }

  #usable(): void {
    if (!this.#status.ready) throw this.#status.unavailable()
  }

  /** Put what changes, and wait until it is durable; the answer is that of the moment of the call. */
  async #change<T>(put: () => T): Promise<T> {
    this.#usable()
    const answer = put()
    if (!(await this.#database.kept())) throw this.#status.unavailable()
    return answer
  }

  #keyChanged(before: KeyRecord | undefined, now: KeyRecord | undefined): void {
    if (before !== undefined && this.#keysByHash.get(before.hash) === before) {
      this.#keysByHash.delete(before.hash)
    }
    if (now !== undefined) this.#keysByHash.set(now.hash, now)
  }

  #remove<R extends { readonly app: AppId }>(all: Registry<R>, app: AppId, name: string): boolean {
    const exists = all.exists(app, name)
    if (exists) all.remove(app, name)
    return exists
  }
}
