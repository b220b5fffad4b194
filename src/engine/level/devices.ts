import type { AppId, DeviceId, DeviceRecord } from '../../contract/index.ts'
import type { Apps } from './apps.ts'
import type { Database, Part } from './database.ts'
import { deviceRecordKey, devicesOf } from './keys.ts'
import { Records } from './records.ts'
import type { Status } from './status.ts'
import type { Tags } from './tags.ts'

/** Records of devices held in memory; beyond it the longest unused is read again when asked for. */
const heldMax = 50_000

/** Who is registered: how many an app has, and who has which tag, is kept with every change. */
export class Devices implements Part {
  readonly #counters: Apps
  readonly #tags: Tags
  readonly #records: Records<DeviceRecord>

  constructor(database: Database, status: Status, counters: Apps, tags: Tags) {
    this.#counters = counters
    this.#tags = tags
    this.#records = new Records(database, status, heldMax)
  }

  get(app: AppId, device: DeviceId): DeviceRecord | undefined | Promise<DeviceRecord | undefined> {
    return this.#records.get(deviceRecordKey(app, device))
  }

  count(app: AppId): number {
    return this.#counters.get(app)?.devices ?? 0
  }

  /** Part of the commit that gathers now, all of them or, when it throws, none. */
  put(records: readonly DeviceRecord[]): void {
    const last = new Map(
      records.map((record) => [deviceRecordKey(record.app, record.device), record]),
    )
    const before = Array.from(last.keys(), (at) => this.#records.latest(at))
    let index = 0
    for (const [at, record] of last) {
      const { app, device, tags } = record
      const known = before[index++]
      if (known === undefined) this.#counters.use(app).devices += 1
      this.#tags.change(app, device, known?.tags ?? [], tags)
      this.#records.put(at, record)
    }
  }

  /** The same. @returns false when there was none. */
  remove(app: AppId, device: DeviceId): boolean {
    const at = deviceRecordKey(app, device)
    const known = this.#records.latest(at)
    if (known === undefined) return false
    this.#counters.use(app).devices -= 1
    this.#tags.change(app, device, known.tags, [])
    this.#records.remove(at)
    return true
  }

  async list(
    app: AppId,
    { after, limit }: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceRecord[]; readonly next: DeviceId | undefined }> {
    const from = after === undefined ? undefined : deviceRecordKey(app, after)
    const { items, more } = await this.#records.list(devicesOf(app), from, limit)
    return { items, next: more ? items.at(-1)?.device : undefined }
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
