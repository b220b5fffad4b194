import type { AppId, DeviceId, TagName } from '../../contract/index.ts'
import type { Database } from './database.ts'
import { nameAtEnd, taggedWith, tagKey } from './keys.ts'
import type { Status } from './status.ts'

const snapshotChunk = 1_000
const snapshotChunkBytes = 262_144

/**
 * Which devices have a tag: a key for each pair, without a value, kept in the batch of the device's
 * record, so that the two never tell different stories.
 */
export class Tags {
  readonly #database: Database
  readonly #status: Status

  constructor(database: Database, status: Status) {
    this.#database = database
    this.#status = status
  }

  /** Part of the commit that changes the device. */
  change(app: AppId, device: DeviceId, before: readonly TagName[], now: readonly TagName[]): void {
    for (const tag of before) {
      if (!now.includes(tag)) this.#database.del(tagKey(app, tag, device))
    }
    for (const tag of now) {
      if (!before.includes(tag)) this.#database.put(tagKey(app, tag, device), '')
    }
  }

  tagged(
    app: AppId,
    tag: TagName,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeviceId[]; readonly next: DeviceId | undefined }> {
    const all = taggedWith(app, tag)
    const range =
      query.after === undefined ? all : { gt: tagKey(app, tag, query.after), lt: all.lt }
    return this.#status.reading(async () => {
      const keys = await this.#database.store.keys({ ...range, limit: query.limit + 1 }).all()
      const items = keys.slice(0, query.limit).map(nameAtEnd)
      return { items, next: keys.length > items.length ? items.at(-1) : undefined }
    })
  }

  /** An iterator of LevelDB sees the store as it was when it was made. */
  async *snapshot(app: AppId, tag: TagName): AsyncGenerator<readonly DeviceId[]> {
    if (!this.#status.ready) throw this.#status.unavailable()
    const range = taggedWith(app, tag)
    const keys = this.#database.store.keys({ ...range, highWaterMarkBytes: snapshotChunkBytes })
    try {
      for (;;) {
        const chunk = await this.#status.reading(() => keys.nextv(snapshotChunk))
        if (chunk.length === 0) return
        yield chunk.map(nameAtEnd)
      }
    } finally {
      await keys.close()
    }
  }
}
