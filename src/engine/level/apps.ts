import { randomInt } from 'node:crypto'
import type { AppId, Counts, EndStatus, Epoch, EpochSpan, EventId } from '../../contract/index.ts'
import type { Database, Part } from './database.ts'
import { countersKey, logKey, under } from './keys.ts'
import type { Store } from './store.ts'

/**
 * Epochs of a log that cursors may still name: a start after an unclean end makes a new one, so
 * this many crashes within the age of events pass unnoticed by who reads on.
 */
const logEpochsKept = 256

export const randomEpoch = (): Epoch => randomInt(1, 0x1_0000_0000)

const eventId = (epoch: Epoch, sequence: number): EventId =>
  `${epoch.toString(36)}-${sequence.toString(36).padStart(10, '0')}`
const eventIdPattern = /^([0-9a-z]{1,7})-([0-9a-z]{10})$/

/** Counters of one app and the numbering of its log. */
export class AppState {
  readonly app: AppId
  accepted = 0
  open = 0
  readonly ended = new Map<EndStatus, number>()
  devices = 0
  aliases = 0
  /** How many apps of this name were removed before it: nothing of theirs is found under it. */
  generation = 0
  /** About what the records of its log take. */
  logBytes = 0
  /** Last sequence given, durable or not. */
  top = 0
  durableTop = 0
  /** Sequence of the oldest event kept; `top + 1` for none. */
  oldest = 1
  epochs: EpochSpan[] = []
  /** Whether the last epoch may number new events, or the tail may have been lost since. */
  current = false
  changed = false
  #prefix = ''

  constructor(app: AppId) {
    this.app = app
  }

  /** Number the next event, in an epoch of this start. @returns whether that epoch is new. */
  number(): boolean {
    this.top += 1
    if (this.current) return false
    const ended = this.epochs.map((span, index, all) =>
      index === all.length - 1 ? { ...span, last: this.top - 1 } : span,
    )
    const epoch = randomEpoch()
    this.epochs = [...ended, { epoch, last: 0 }].slice(-logEpochsKept)
    this.resume()
    return true
  }

  /** The last epoch goes on: nothing numbered in it was lost. */
  resume(): void {
    const last = this.epochs.at(-1)
    this.current = last !== undefined
    if (last !== undefined) this.#prefix = `${last.epoch.toString(36)}-`
  }

  /** The id of the event numbered last. */
  idOfTop(): EventId {
    return this.#prefix + this.top.toString(36).padStart(10, '0')
  }

  /** The id of an event, or of the place behind it: in the epoch in which it was numbered. */
  idOf(sequence: number): EventId {
    for (const { epoch, last } of this.epochs) {
      if (sequence <= last) return eventId(epoch, sequence)
    }
    return eventId(this.epochs.at(-1)?.epoch ?? 0, sequence)
  }

  /** Where a cursor lies; undefined for one that this log never gave. */
  sequenceOf(id: EventId): number | undefined {
    const match = eventIdPattern.exec(id)
    if (match === null) return undefined
    const epoch = Number.parseInt(match[1]!, 36)
    const sequence = Number.parseInt(match[2]!, 36)
    // The start of a log that has no epoch yet: whatever comes, comes after it.
    if (epoch === 0) return sequence === 0 ? 0 : undefined
    const index = this.epochs.findIndex((span) => span.epoch === epoch)
    if (index === -1) return undefined
    const last = index === this.epochs.length - 1 ? this.durableTop : this.epochs[index]!.last
    return sequence <= last ? sequence : undefined
  }

  /** The app is removed: who has one of its name made begins anew. */
  begin(): void {
    this.generation += 1
    // What is still open is counted when it ends.
    this.accepted = this.open
    this.ended.clear()
  }

  counts(): Counts {
    return { accepted: this.accepted, open: this.open, ended: Object.fromEntries(this.ended) }
  }
}

interface Kept {
  readonly accepted: number
  readonly open: number
  readonly ended: Readonly<Record<string, number>>
  readonly devices: number
  readonly aliases: number
  /** Not in what earlier versions kept. */
  readonly generation?: number
  readonly logBytes: number
  readonly top: number
  readonly oldest: number
}

/** Counters and log numbering of every app: one small record each, once a commit (rule 11). */
export class Apps implements Part {
  readonly #database: Database
  readonly #states = new Map<AppId, AppState>()
  #dirty: AppState[] = []
  #writing: AppState[] = []
  #tops: number[] = []

  constructor(database: Database) {
    this.#database = database
  }

  get(app: AppId): AppState | undefined {
    return this.#states.get(app)
  }

  all(): Iterable<AppState> {
    return this.#states.values()
  }

  /** To be changed; made where there is none. */
  use(app: AppId): AppState {
    let state = this.#states.get(app)
    if (state === undefined) {
      state = new AppState(app)
      this.#states.set(app, state)
    }
    if (!state.changed) {
      state.changed = true
      this.#dirty.push(state)
      this.#database.changed()
    }
    return state
  }

  accepted(app: AppId): void {
    const state = this.use(app)
    state.accepted += 1
    state.open += 1
  }

  ended(app: AppId, status: EndStatus): void {
    const state = this.use(app)
    state.open -= 1
    state.ended.set(status, (state.ended.get(status) ?? 0) + 1)
  }

  /** The next sequence of an app's log, in an epoch of this start. */
  number(app: AppId): AppState {
    const state = this.use(app)
    if (state.number()) this.#database.put(logKey(app), JSON.stringify(state.epochs))
    return state
  }

  encode(): void {
    this.#writing = this.#dirty
    this.#dirty = []
    this.#tops.length = 0
    for (const state of this.#writing) {
      state.changed = false
      this.#tops.push(state.top)
      const { accepted, open, devices, aliases, generation, logBytes, top, oldest } = state
      const ended = Object.fromEntries(state.ended)
      const kept: Kept = {
        ...{ accepted, open, ended, devices, aliases, logBytes, top, oldest },
        ...(generation > 0 && { generation }),
      }
      this.#database.put(countersKey(state.app), JSON.stringify(kept))
    }
  }

  synced(): void {
    for (const [index, state] of this.#writing.entries()) state.durableTop = this.#tops[index]!
    this.#writing = []
  }

  drop(): void {
    this.#states.clear()
    this.#dirty = []
    this.#writing = []
  }

  async load(store: Store, clean: boolean): Promise<void> {
    for await (const [key, value] of store.iterator(under('n'))) {
      const kept = JSON.parse(value.toString()) as Kept
      const state = new AppState(key.slice(2))
      state.accepted = kept.accepted
      state.open = kept.open
      for (const [status, count] of Object.entries(kept.ended)) {
        state.ended.set(status as EndStatus, count)
      }
      state.devices = kept.devices
      state.aliases = kept.aliases
      state.generation = kept.generation ?? 0
      state.logBytes = kept.logBytes
      state.top = kept.top
      state.durableTop = kept.top
      state.oldest = kept.oldest
      this.#states.set(state.app, state)
    }
    for await (const [key, value] of store.iterator(under('l'))) {
      const state = this.#states.get(key.slice(2))
      if (state === undefined) continue
      state.epochs = JSON.parse(value.toString()) as EpochSpan[]
      if (clean) state.resume()
    }
  }
}
