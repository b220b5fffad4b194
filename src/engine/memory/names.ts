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
import type { Commits } from './commits.ts'
import type { MemoryDisk } from './disk.ts'
import { pageOf } from './pages.ts'

const snapshotChunk = 1_000

export class MemoryNames implements Names {
  readonly #disk: MemoryDisk
  readonly #commits: Commits

  constructor(disk: MemoryDisk, commits: Commits) {
    this.#disk = disk
    this.#commits = commits
  }

  device(app: AppId, device: DeviceId): DeviceRecord | undefined {
    return this.#disk.devices.get(app)?.get(device)
  }

  putDevice(record: DeviceRecord): Promise<void> {
    return this.putDevices([record])
  }

  putDevices(records: readonly DeviceRecord[]): Promise<void> {
    const copies = structuredClone(records)
    return this.#commits.kept(() => {
      for (const copy of copies) put(this.#disk.devices, copy.app, copy.device, copy)
    })
  }

  removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#commits.kept(() => this.#disk.devices.get(app)?.delete(device) ?? false)
  }

  async devices(
    app: AppId,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceRecord[]; readonly next: DeviceId | undefined }> {
    return pageOf(this.#disk.devices.get(app)?.values() ?? [], ({ device }) => device, query)
  }

  async deviceCount(app: AppId): Promise<number> {
    return this.#disk.devices.get(app)?.size ?? 0
  }

  async tagged(
    app: AppId,
    tag: TagName,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceId[]; readonly next: DeviceId | undefined }> {
    return pageOf(this.#tagged(app, tag), (device) => device, query)
  }

  async *snapshot(app: AppId, tag: TagName): AsyncIterable<readonly DeviceId[]> {
    const all = this.#tagged(app, tag).sort()
    for (let at = 0; at < all.length; at += snapshotChunk) yield all.slice(at, at + snapshotChunk)
  }

  alias(app: AppId, alias: AliasName): AliasRecord | undefined {
    return this.#disk.aliases.get(app)?.get(alias)
  }

  putAlias(record: AliasRecord): Promise<void> {
    const copy = structuredClone(record)
    return this.#commits.kept(() => put(this.#disk.aliases, copy.app, copy.alias, copy))
  }

  removeAlias(app: AppId, alias: AliasName): Promise<boolean> {
    return this.#commits.kept(() => this.#disk.aliases.get(app)?.delete(alias) ?? false)
  }

  async aliases(
    app: AppId,
    query: { readonly after?: AliasName; readonly limit: number },
  ): Promise<{ readonly items: readonly AliasRecord[]; readonly next: AliasName | undefined }> {
    return pageOf(this.#disk.aliases.get(app)?.values() ?? [], ({ alias }) => alias, query)
  }

  async aliasCount(app: AppId): Promise<number> {
    return this.#disk.aliases.get(app)?.size ?? 0
  }

  purgeAliases(expiredBeforeMs: number): Promise<number> {
    return this.#commits.kept(() => {
      let count = 0
      for (const aliases of this.#disk.aliases.values()) {
        for (const { alias, expiresAtMs } of aliases.values()) {
          if (expiresAtMs === undefined || expiresAtMs >= expiredBeforeMs) continue
          aliases.delete(alias)
          count += 1
        }
      }
      return count
    })
  }

  async app(app: AppId): Promise<AppRecord | undefined> {
    return this.#disk.apps.get(app)
  }

  async apps(): Promise<readonly AppRecord[]> {
    return [...this.#disk.apps.values()]
  }

  putApp(record: AppRecord): Promise<void> {
    const copy = structuredClone(record)
    return this.#commits.kept(() => {
      this.#disk.apps.set(copy.app, copy)
    })
  }

  /** One that has devices stays as it is. */
  removeApp(app: AppId): Promise<boolean> {
    return this.#commits.kept(() => {
      const { answers, apps, counts, devices, keys, aliases, webhooks, shelf } = this.#disk
      if (!apps.has(app) || (devices.get(app)?.size ?? 0) > 0) return false
      for (const all of [devices, keys, aliases, webhooks]) all.delete(app)
      for (const path of shelf.keys()) {
        if (path.startsWith(`webhooks/${app}/`)) shelf.delete(path)
      }
      for (const at of answers.keys()) if (at.startsWith(`${app}/`)) answers.delete(at)
      // What is still open is counted when it ends.
      const open = counts.get(app)?.open ?? 0
      counts.set(app, { accepted: open, open, ended: {} })
      return apps.delete(app)
    })
  }

  keyByHash(hash: string): KeyRecord | undefined {
    for (const keys of this.#disk.keys.values()) {
      for (const key of keys.values()) if (key.hash === hash) return key
    }
    return undefined
  }

  async keys(app: AppId): Promise<readonly KeyRecord[]> {
    return [...(this.#disk.keys.get(app)?.values() ?? [])]
  }

  putKey(record: KeyRecord): Promise<void> {
    const copy = structuredClone(record)
    return this.#commits.kept(() => put(this.#disk.keys, copy.app, copy.name, copy))
  }

  removeKey(app: AppId, name: KeyName): Promise<boolean> {
    return this.#commits.kept(() => this.#disk.keys.get(app)?.delete(name) ?? false)
  }

  webhooks(app?: AppId): readonly WebhookRecord[] {
    const all = this.#disk.webhooks
    const asked = app === undefined ? [...all.values()] : [all.get(app) ?? new Map<never, never>()]
    return asked.flatMap((ofApp) => [...ofApp.values()])
  }

  putWebhook(record: WebhookRecord): Promise<void> {
    const copy = structuredClone(record)
    return this.#commits.kept(() => put(this.#disk.webhooks, copy.app, copy.name, copy))
  }

  removeWebhook(app: AppId, name: WebhookName): Promise<boolean> {
    return this.#commits.kept(() => this.#disk.webhooks.get(app)?.delete(name) ?? false)
  }

  #tagged(app: AppId, tag: TagName): DeviceId[] {
    const records = [...(this.#disk.devices.get(app)?.values() ?? [])]
    return records.filter(({ tags }) => tags.includes(tag)).map(({ device }) => device)
  }
}

function put<T>(all: Map<AppId, Map<string, T>>, app: AppId, id: string, record: T): void {
  const ofApp = all.get(app) ?? new Map<string, T>()
  all.set(app, ofApp.set(id, record))
}
