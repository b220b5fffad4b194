import type { Settled } from '../../contract/index.ts'
import type { Batch, Store } from './store.ts'

/** A part of the engine that writes what changed once a commit. */
export interface Part {
  /** Put what changed since the last call. */
  encode(): void
  /** What the last `encode` put is durable. */
  synced(): void
  /** The store is gone: forget all that is held, durable or not. */
  drop(): void
  /** Read what must be in memory. `clean`: nothing can have been lost since it was written. */
  load(store: Store, clean: boolean): Promise<void>
}

/**
 * While commits are crowded they begin at least so far apart. A sync costs about the same however
 * much it makes durable (0.5 ms of CPU where this was measured), so that under a steady load the one
 * core would be busy with syncs that hold four commands each. Who calls one after the other never
 * waits: alone, nobody crowds.
 */
const gatherMs = 3
/** A commit of so many operations is crowded: two commands and more. */
const crowdedOps = 12
/** So many are worth a sync at once. */
const fullOps = 2_048

/**
 * Group commit: whatever changes in a tick, or while a sync is under way, is one batch and one sync.
 *
 *     put, del ──▶ gathering ──(setImmediate, the sync before it, gatherMs)──▶ written ──▶ waiters, in order
 *                  `commit`                                                   `durable`
 */
export class Database {
  #store: Store
  readonly #sync: boolean
  readonly #failed: (error: unknown) => void
  readonly #surprised: (error: unknown) => void
  readonly #parts: Part[] = []
  #batch: Batch | undefined
  #ops = 0
  #waiters: ((outcome: Settled) => void)[] = []
  #dirty = false
  #running = false
  #broken = false
  #commit = 1
  #durable = 0
  #writing: ((outcome: Settled) => void)[] = []
  #writingOps = 0
  /** When the last commit began, and whether it was crowded. */
  #beganAtMs = 0
  #crowded = false
  readonly figures = { commits: 0, ops: 0, seconds: 0, longestSeconds: 0 }

  /** `failed` is told once when a write fails; `surprised` of what a waiter throws. */
  constructor(
    store: Store,
    options: {
      readonly sync: boolean
      readonly failed: (error: unknown) => void
      readonly surprised: (error: unknown) => void
    },
  ) {
    this.#store = store
    this.#sync = options.sync
    this.#failed = options.failed
    this.#surprised = options.surprised
  }

  /** For reading. What is read is durable, or in the batch being written. */
  get store(): Store {
    return this.#store
  }

  /** Number of the commit that gathers what is put now. */
  get commit(): number {
    return this.#commit
  }

  /** Number of the last commit that is durable. */
  get durable(): number {
    return this.#durable
  }

  /** Operations that are not durable yet. */
  get pending(): number {
    return this.#ops + this.#writingOps
  }

  /** Order: a part's changes are put, and are told to be durable, after those of the parts before it. */
  add(part: Part): void {
    this.#parts.push(part)
  }

  put(key: string, value: Buffer | string): void {
    if (this.#broken) return
    this.#batch ??= this.#store.batch()
    if (typeof value === 'string') this.#batch.put(key, value, asText)
    else this.#batch.put(key, value)
    this.#ops += 1
    this.changed()
  }

  del(key: string): void {
    if (this.#broken) return
    this.#batch ??= this.#store.batch()
    this.#batch.del(key)
    this.#ops += 1
    this.changed()
  }

  /** A part has something to encode. */
  changed(): void {
    if (this.#broken) return
    this.#dirty = true
    if (!this.#running) this.#run()
  }

  /** Called once, after all that was put so far is durable or lost; never at once. */
  after(waiter: (outcome: Settled) => void): void {
    if (this.#broken) {
      queueMicrotask(() => waiter('unavailable'))
      return
    }
    this.#waiters.push(waiter)
    if (!this.#running) this.#run()
  }

  /** True once what is being written is durable, and at once if nothing is; false when it is lost. */
  written(): Promise<boolean> {
    if (this.#broken) return Promise.resolve(false)
    if (this.#durable === this.#commit - 1) return Promise.resolve(true)
    return new Promise((resolve) => this.#writing.push((outcome) => resolve(outcome === 'kept')))
  }

  /** True once all that was put so far is durable; false when it is lost. */
  kept(): Promise<boolean> {
    return new Promise((resolve) => this.after((outcome) => resolve(outcome === 'kept')))
  }

  /** The store was opened again; nothing of before counts. */
  renew(store: Store): void {
    this.#store = store
    this.#durable = this.#commit - 1
    this.#broken = false
  }

  /** Answer all that waits with 'unavailable'; until `renew` nothing is taken. */
  break(): void {
    this.#broken = true
    const waiters = [...this.#writing, ...this.#waiters]
    this.#writing = []
    this.#waiters = []
    this.#writingOps = 0
    this.#ops = 0
    this.#dirty = false
    const batch = this.#batch
    this.#batch = undefined
    batch?.close().catch(() => {})
    this.#answer(waiters, 'unavailable')
  }

  #run(): void {
    this.#running = true
    setImmediate(this.#flush)
  }

  readonly #flush = async (): Promise<void> => {
    while (this.#dirty || this.#waiters.length > 0) {
      if (this.#crowded && this.#ops < fullOps) {
        await this.#gather()
        // What was waiting may have been lost meanwhile.
        if (!this.#dirty && this.#waiters.length === 0) break
      }
      this.#dirty = false
      for (const part of this.#parts) part.encode()
      this.#dirty = false
      const batch = this.#batch
      const number = this.#commit
      this.#batch = undefined
      this.#writing = this.#waiters
      this.#writingOps = this.#ops
      this.#waiters = []
      this.#ops = 0
      this.#commit += 1
      if (batch !== undefined) {
        const startedAt = performance.now()
        this.#beganAtMs = startedAt
        this.#crowded = this.#writingOps >= crowdedOps
        try {
          await batch.write({ sync: this.#sync })
        } catch (error) {
          this.#running = false
          this.#failed(error)
          return
        }
        this.#count((performance.now() - startedAt) / 1_000)
      }
      this.#durable = number
      const waiters = this.#writing
      this.#writing = []
      this.#writingOps = 0
      for (const part of this.#parts) part.synced()
      this.#answer(waiters, 'kept')
      // Those who were answered go on in this turn, so that what they do joins the next commit.
      await turn()
    }
    this.#running = false
  }

  /** Timers are a millisecond coarse: for less than half of one it is not worth it. */
  async #gather(): Promise<void> {
    const leftMs = this.#beganAtMs + gatherMs - performance.now()
    if (leftMs >= 0.5) await new Promise((resolve) => setTimeout(resolve, Math.floor(leftMs + 0.5)))
  }

  #answer(waiters: readonly ((outcome: Settled) => void)[], outcome: Settled): void {
    for (const waiter of waiters) {
      try {
        waiter(outcome)
      } catch (error) {
        this.#surprised(error)
      }
    }
  }

  #count(seconds: number): void {
    const { figures } = this
    figures.commits += 1
    figures.ops += this.#writingOps
    figures.seconds += seconds
    if (seconds > figures.longestSeconds) figures.longestSeconds = seconds
  }
}

const asText = { valueEncoding: 'utf8' } as const
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
