import type { ChannelId, Offset, Step } from '../../contract/index.ts'
import { appOf } from './appending.ts'
import type { Apps } from './apps.ts'
import type { Database, Part } from './database.ts'
import type { Pointer } from './event-record.ts'
import { decodePointer, encodePointer } from './event-record.ts'
import type { LevelEvents } from './events.ts'
import { historyKey } from './keys.ts'

interface Gathered {
  readonly channel: ChannelId
  readonly offset: Offset
  readonly steps: Step[]
}

/**
 * Proof that comes after the end of a command, kept beside the way to its outcome.
 *
 *     keep ──▶ gathered ──encode──▶ h/…  =  the pointer as it is + the steps
 *
 * The old pointer is looked at when the commit is written: then all commits before are in the store,
 * and an end in the commit itself is among its fresh events. So it must be encoded before these.
 */
export class Late implements Part {
  readonly #database: Database
  readonly #apps: Apps
  readonly #events: LevelEvents
  readonly #stepsMax: number
  readonly #surprised: (error: unknown) => void
  readonly #gathered = new Map<string, Gathered>()

  constructor(
    database: Database,
    apps: Apps,
    events: LevelEvents,
    stepsMax: number,
    surprised: (error: unknown) => void,
  ) {
    this.#database = database
    this.#apps = apps
    this.#events = events
    this.#stepsMax = stepsMax
    this.#surprised = surprised
  }

  /** Part of a commit; the command is not open. */
  keep(channel: ChannelId, offset: Offset, step: Step): void {
    const key = historyKey(channel, offset)
    const known = this.#gathered.get(key)
    if (known === undefined) this.#gathered.set(key, { channel, offset, steps: [step] })
    else if (known.steps.length < this.#stepsMax) known.steps.push(step)
    this.#database.changed()
  }

  encode(): void {
    if (this.#gathered.size === 0) return
    for (const [key, gathered] of this.#gathered) {
      try {
        this.#add(key, gathered)
      } catch (error) {
        // The event of it is kept; only the timeline lacks it.
        this.#surprised(new Error(`late proof at ${key} could not be added`, { cause: error }))
      }
    }
    this.#gathered.clear()
  }

  synced(): void {}

  drop(): void {
    this.#gathered.clear()
  }

  async load(): Promise<void> {}

  #add(key: string, { channel, offset, steps }: Gathered): void {
    const pointer = this.#pointer(key, channel, offset)
    if (pointer === undefined) return
    // Purged in this commit or before: written now, the way would stay for ever.
    if (pointer.sequence < (this.#apps.get(appOf(channel))?.oldest ?? 0)) return
    const { late = [] } = pointer
    if (late.length >= this.#stepsMax) return
    const all = [...late, ...steps].slice(0, this.#stepsMax)
    this.#database.put(key, encodePointer({ ...pointer, late: all }))
  }

  #pointer(key: string, channel: ChannelId, offset: Offset): Pointer | undefined {
    const value = this.#database.store.getSync(key)
    return value === undefined ? this.#events.endingOf(channel, offset) : decodePointer(value)
  }
}
