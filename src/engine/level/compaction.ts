import type { AppId, Clock } from '../../contract/index.ts'
import type { AppState } from './apps.ts'
import { answersBefore, eventKey, under } from './keys.ts'
import type { Store } from './store.ts'

/** From the end of one to the next. */
const restMs = 600_000
const dayMs = 24 * 3_600_000

/** What LevelDB has beside what every such store has. */
interface Compactable {
  compactRange(from: string, to: string): Promise<void>
}

interface Parts {
  readonly clock: Clock
  readonly store: () => Store
  readonly apps: { all(): Iterable<AppState> }
  /** After which it is worth a look how much space came back. */
  readonly done: () => Promise<void>
}

/**
 * What is forgotten takes space until LevelDB writes its tables anew, which it does where much is
 * written. At its bound a store takes nothing new, so little is: then it is asked to, only for what
 * may hold much that is forgotten: events that were purged, commands that ended, old answers.
 */
export class Compaction {
  readonly #parts: Parts
  /** Up to which event of each app it was done. */
  readonly #doneUpTo = new Map<AppId, number>()
  #notBeforeMs = 0
  #running = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async run(): Promise<void> {
    const { clock, done } = this.#parts
    if (this.#running || clock.nowMs() < this.#notBeforeMs) return
    this.#running = true
    try {
      await this.#run()
      await done()
    } finally {
      this.#running = false
      this.#notBeforeMs = clock.nowMs() + restMs
    }
  }

  async #run(): Promise<void> {
    const { clock, apps } = this.#parts
    for (const { app, oldest } of [...apps.all()]) {
      if (oldest <= (this.#doneUpTo.get(app) ?? 1)) continue
      await this.#range(eventKey(app, 0), eventKey(app, oldest))
      this.#doneUpTo.set(app, oldest)
    }
    for (const { gte, lt } of [under('m'), under('y')]) await this.#range(gte, lt)
    const { gte, lt } = answersBefore(Math.floor(clock.nowMs() / dayMs))
    await this.#range(gte, lt)
  }

  /** Of the store that is open now: it may have been opened anew. */
  #range(from: string, to: string): Promise<void> {
    return (this.#parts.store() as Store & Compactable).compactRange(from, to)
  }
}
