import type { AppId, KeptEvent } from '../../contract/index.ts'
import { channelId } from '../../contract/index.ts'
import type { AppState, Apps } from './apps.ts'
import type { Database } from './database.ts'
import { scheduledOf } from './ended-record.ts'
import { eventAtMs } from './event-record.ts'
import { eventKey, historyKey, placedKey, sequenceOf } from './keys.ts'
import type { Status } from './status.ts'

/** Events forgotten in one commit. */
const purgeStep = 512
/** Of each log, read at once while the oldest over all are looked for. */
const headStep = 64
/** What an event takes beside its value, about. */
const keyBytes = 32

/** About what an event takes in the store, before it is compressed there. */
export const keptBytes = (value: Buffer): number => value.length + keyBytes

/** Forgets the oldest events of logs: by age, and by what all of them take. */
export class EventPurge {
  readonly #database: Database
  readonly #status: Status
  readonly #apps: Apps
  readonly #decoded: (app: AppId, value: Buffer) => KeptEvent | undefined

  /** `decoded` answers undefined for an event that is damaged. */
  constructor(
    database: Database,
    status: Status,
    apps: Apps,
    decoded: (app: AppId, value: Buffer) => KeptEvent | undefined,
  ) {
    this.#database = database
    this.#status = status
    this.#apps = apps
    this.#decoded = decoded
  }

  /** About what all logs take. */
  get bytes(): number {
    let bytes = 0
    for (const { logBytes } of this.#apps.all()) bytes += logBytes
    return bytes
  }

  async purge(
    beforeMs: number,
    { app, maxBytes }: { readonly app?: AppId; readonly maxBytes?: number } = {},
  ): Promise<number> {
    if (!this.#status.ready) throw this.#status.unavailable()
    let count = 0
    for (const state of [...this.#apps.all()]) {
      if (app !== undefined && state.app !== app) continue
      let gone = purgeStep
      while (gone === purgeStep) {
        gone = await this.#status.reading(() => this.#purgeOld(state, beforeMs))
        count += gone
      }
    }
    return maxBytes === undefined ? count : count + (await this.#shrink(maxBytes))
  }

  async #purgeOld(state: AppState, beforeMs: number): Promise<number> {
    const entries = await this.#oldest(state, purgeStep)
    if (!this.#status.ready) throw this.#status.unavailable()
    let count = 0
    for (const [key, value] of entries) {
      if (eventAtMs(value) >= beforeMs) break
      if (this.#forget(state, key, value)) count += 1
    }
    return this.#kept(count)
  }

  async #shrink(maxBytes: number): Promise<number> {
    const heads = [...this.#apps.all()].map((state): Head => ({ state, entries: [], at: 0 }))
    let count = 0
    while (this.bytes > maxBytes) {
      const gone = await this.#status.reading(() => this.#purgeOldest(heads, maxBytes))
      if (gone === 0) break
      count += gone
    }
    return count
  }

  /** Some of the oldest over all logs. */
  async #purgeOldest(heads: readonly Head[], maxBytes: number): Promise<number> {
    let count = 0
    while (count < purgeStep && this.bytes > maxBytes) {
      for (const head of heads) {
        if (head.at < head.entries.length) continue
        head.entries = await this.#oldest(head.state, headStep)
        head.at = 0
      }
      if (!this.#status.ready) throw this.#status.unavailable()
      const gone = this.#forgetOldest(
        heads.filter(({ entries }) => entries.length > 0),
        this.bytes - maxBytes,
        purgeStep - count,
      )
      if (gone === 0) break
      count += gone
    }
    return this.#kept(count)
  }

  /** Until one of the logs must be read on, or enough is gone. */
  #forgetOldest(heads: readonly Head[], excessBytes: number, max: number): number {
    let count = 0
    let excess = excessBytes
    while (heads.length > 0 && count < max && excess > 0) {
      const oldest = heads.reduce((a, b) => (atMsOf(b) < atMsOf(a) ? b : a))
      const [key, value] = oldest.entries[oldest.at]!
      excess -= keptBytes(value)
      if (this.#forget(oldest.state, key, value)) count += 1
      oldest.at += 1
      if (oldest.at === oldest.entries.length) break
    }
    return count
  }

  async #oldest({ app, oldest, durableTop }: AppState, limit: number): Promise<Entry[]> {
    if (oldest > durableTop) return []
    const range = { gte: eventKey(app, oldest), lte: eventKey(app, durableTop), limit }
    return this.#database.store.iterator(range).all()
  }

  /** With the way to the outcome it tells. @returns false when somebody else has, meanwhile. */
  #forget(state: AppState, key: string, value: Buffer): boolean {
    const { app } = state
    const sequence = sequenceOf(key)
    if (sequence < state.oldest) return false
    const event = this.#decoded(app, value)
    if (event?.kind === 'command.ended') {
      const channel = channelId(app, event.device, event.channel!)
      this.#database.del(historyKey(channel, event.ended.offset))
      const scheduled = scheduledOf(event.ended)
      if (scheduled !== undefined) this.#database.del(placedKey(channel, scheduled))
    }
    this.#database.del(key)
    this.#apps.use(app)
    state.oldest = sequence + 1
    // An estimate in a store that was upgraded; of an empty log it is known.
    const isEmpty = state.oldest > state.top
    state.logBytes = isEmpty ? 0 : Math.max(0, state.logBytes - keptBytes(value))
    return true
  }

  async #kept(count: number): Promise<number> {
    if (count > 0 && !(await this.#database.kept())) throw this.#status.unavailable()
    return count
  }
}

type Entry = [key: string, value: Buffer]

/** The oldest events of one log that are still there; `at` is the first of them. */
interface Head {
  readonly state: AppState
  entries: readonly Entry[]
  at: number
}

const atMsOf = ({ entries, at }: Head): number => eventAtMs(entries[at]![1])
