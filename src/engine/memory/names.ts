import type {
  AppId,
  AppRecord,
  DeviceId,
  DeviceRecord,
  KeyName,
  KeyRecord,
  Names,
} from '../../contract/index.ts'
import type { Commits } from './commits.ts'
import type { MemoryDisk } from './disk.ts'

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
    const copy = structuredClone(record)
    return this.#commits.kept(() => put(this.#disk.devices, copy.app, copy.device, copy))
  }

  removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#commits.kept(() => this.#disk.devices.get(app)?.delete(device) ?? false)
  }

  async devices(
    app: AppId,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceRecord[]; readonly next: DeviceId | undefined }> {
    const { after = '', limit } = query
    const following = [...(this.#disk.devices.get(app)?.values() ?? [])]
      .filter((record) => record.device > after)
      .sort((a, b) => (a.device < b.device ? -1 : 1))
    const items = following.slice(0, limit)
    return { items, next: following.length > limit ? items.at(-1)?.device : undefined }
  }

  async deviceCount(app: AppId): Promise<number> {
    return this.#disk.devices.get(app)?.size ?? 0
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
}

function put<T>(all: Map<AppId, Map<string, T>>, app: AppId, id: string, record: T): void {
  const ofApp = all.get(app) ?? new Map<string, T>()
  all.set(app, ofApp.set(id, record))
}
