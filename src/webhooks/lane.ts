import type { DeviceId, EventId, EventKind } from '../contract/index.ts'
import type { HeldBytes } from './held-bytes.ts'
import { later, type Place } from './place.ts'
import { backoffMs } from './policy.ts'

/** An event on its way to a receiver. */
export interface Held {
  readonly id: EventId
  readonly place: Place
  readonly device: DeviceId
  readonly kind: EventKind
  readonly atMs: number
  /** As the receiver gets it: JSON on one line. */
  readonly json: string
  /** Of `json` in UTF-8. */
  readonly bytes: number
  /** Of a callback: where to. */
  readonly url?: string | undefined
}

/** How a lane behaves; the same for all lanes of a webhook. */
export interface LanePolicy {
  readonly batchMaxEvents: number
  readonly batchMaxBytes: number
  /** Bytes it holds before it says that it has no room; one event more may go over it. */
  readonly heldMaxBytes: number
  readonly lingerMs: number
  readonly retryMinMs: number
  readonly retryMaxMs: number
  readonly deadAfterMs: number
}

/**
 * One in so many of an app's devices: their events in order, one request under way.
 *
 *     taken          | batch            | waiting        | not read yet
 *   | .  .  3  .  7  | 9  12  .         | 14  .  17      |
 *           cursor ^   under way, or failed    read up to ^
 *                      and sent again as it is
 *
 * Pure: time and chance come in. What lies behind `cursor` has been taken or set aside.
 */
export class Lane {
  readonly index: number
  readonly #policy: LanePolicy
  readonly #ofAll: HeldBytes
  readonly #queue: Held[] = []
  #bytes = 0
  /** How many of the queue are the batch; 0: none is made up. */
  #batch = 0
  #flying = false
  #closed = false
  #before: Place
  #read: Place
  /** Whether it has missed events that the live reader has passed; then it is read for by itself. */
  lagging = true
  /** Being read for, until it is full. */
  #filling = false
  failures = 0
  failingSinceMs: number | undefined
  #dueMs = 0

  constructor(index: number, from: Place, policy: LanePolicy, ofAll: HeldBytes) {
    this.index = index
    this.#ofAll = ofAll
    this.#before = from
    this.#read = from
    this.#policy = policy
  }

  get held(): number {
    return this.#queue.length
  }

  get heldBytes(): number {
    return this.#bytes
  }

  get flying(): boolean {
    return this.#flying
  }

  /** One event is always taken, however large, and however little room there is for all. */
  get hasRoom(): boolean {
    if (this.#queue.length === 0) return true
    return this.#bytes < this.#policy.heldMaxBytes && this.#ofAll.room
  }

  /**
   * It is behind, and reading on for it is worth while: once it has nothing left but what is under
   * way, until it is full. So lanes that stand at about the same place are read for together.
   */
  get wants(): boolean {
    if (!this.lagging) return false
    return this.#filling ? this.hasRoom : this.#queue.length <= this.#batch && this.hasRoom
  }

  /** Everything of this lane up to here is held or done. `live`: how far the live reader is. */
  read(live: Place): Place {
    return this.lagging ? this.#read : later(this.#read, live)
  }

  /** Where it would go on after a crash. */
  cursor(live: Place): Place {
    return this.#queue.length > 0 ? this.#before : this.read(live)
  }

  /** The next event. @param before where the one before it lies, whosever that is. */
  hold(event: Held, before: Place, nowMs: number): void {
    if (this.#queue.length === 0) this.#before = before
    if (this.#queue.length <= this.#batch) {
      this.#filling = this.lagging
      // More comes with the next page: a batch is worth waiting for.
      if (this.lagging) this.#dueMs = Math.max(this.#dueMs, nowMs + this.#policy.lingerMs)
    }
    this.#queue.push(event)
    this.#weigh(event.bytes)
    this.#read = event.place
    if (!this.hasRoom) this.#filling = false
  }

  /** Looked at up to here, and there was nothing for it. */
  readTo(place: Place): void {
    if (place.sequence > this.#read.sequence) this.#read = place
  }

  /** What lies up to here is gone from the log. What it holds of it still goes out. */
  skipTo(place: Place): void {
    this.#read = place
    if (this.#queue.length === 0) this.#before = place
  }

  /** It has no room for what comes after this place. */
  lag(place: Place): void {
    this.#read = later(this.#read, place)
    this.lagging = true
  }

  /** When it has something to send; undefined: nothing, or under way. */
  dueMs(): number | undefined {
    if (this.#flying || this.#queue.length === 0) return undefined
    if (this.failures === 0 && this.#wholeBatch) return 0
    return this.#dueMs
  }

  /** A batch, under way from now on. A failed one comes again as it was. */
  start(nowMs: number): readonly Held[] | undefined {
    const dueMs = this.dueMs()
    if (dueMs === undefined || dueMs > nowMs) return undefined
    if (this.#batch === 0) this.#batch = this.#fitting()
    this.#flying = true
    this.#dueMs = nowMs + this.#policy.lingerMs
    return this.#queue.slice(0, this.#batch)
  }

  /** The receiver has it. @returns whether that ended a time of failure. */
  taken(): boolean {
    const recovered = this.failures > 0
    this.#flying = false
    this.#drop(this.#batch)
    this.#recovered()
    return recovered
  }

  /**
   * The receiver does not have it, or nobody knows.
   * @param random 0 to 1.
   * @returns what is given up: what is older than a day, once the lane has failed for a day.
   */
  failed(nowMs: number, random: number): readonly Held[] {
    const { retryMinMs, deadAfterMs } = this.#policy
    this.#flying = false
    this.failures++
    this.failingSinceMs ??= nowMs
    this.#dueMs = nowMs + backoffMs(this.#policy, this.failures, random)
    if (nowMs - this.failingSinceMs < deadAfterMs) return []
    let old = 0
    while (old < this.#batch && this.#queue[old]!.atMs <= nowMs - deadAfterMs) old++
    if (old === 0) return []
    const dead = this.#queue.slice(0, old)
    this.#drop(old)
    // What follows has waited as long; it gets its one attempt soon, or the log outlives it.
    this.#dueMs = nowMs + retryMinMs
    return dead
  }

  /** The receiver does not have it, and it is tried again elsewhere: the lane goes on. */
  passOn(): readonly Held[] {
    const passed = this.#queue.slice(0, this.#batch)
    this.#flying = false
    this.#drop(this.#batch)
    this.#recovered()
    return passed
  }

  /** Something has changed for the better: the next attempt may come as early as this. */
  hurry(atMs: number): void {
    if (this.failures > 0) this.#dueMs = Math.min(this.#dueMs, atMs)
  }

  /** Let go what is not under way; it is read again, e.g. by another filter. */
  forget(live: Place): void {
    const keep = this.#flying ? this.#batch : 0
    if (this.#queue.length === 0) this.#read = this.read(live)
    else {
      for (const { bytes } of this.#queue.splice(keep)) this.#weigh(-bytes)
      this.#read = this.#queue.at(-1)?.place ?? this.#before
    }
    this.#batch = keep
    this.#filling = false
    this.lagging = true
  }

  /** It is not used any more, and weighs nothing. What it holds is not taken: `cursor` stays before it. */
  close(): void {
    this.#weigh(-this.#bytes)
    this.#closed = true
  }

  #weigh(bytes: number): void {
    if (this.#closed) return
    this.#bytes += bytes
    this.#ofAll.bytes += bytes
  }

  #recovered(): void {
    this.failures = 0
    this.failingSinceMs = undefined
  }

  get #wholeBatch(): boolean {
    const { batchMaxEvents, batchMaxBytes } = this.#policy
    return this.#queue.length >= batchMaxEvents || this.#bytes >= batchMaxBytes
  }

  #fitting(): number {
    const { batchMaxEvents, batchMaxBytes } = this.#policy
    let count = 1
    let bytes = this.#queue[0]!.bytes
    while (count < this.#queue.length && count < batchMaxEvents) {
      bytes += this.#queue[count]!.bytes
      if (bytes > batchMaxBytes) break
      count++
    }
    return count
  }

  #drop(count: number): void {
    const gone = this.#queue.splice(0, count)
    for (const { bytes } of gone) this.#weigh(-bytes)
    const last = gone.at(-1)
    if (last !== undefined) this.#before = last.place
    this.#batch = 0
  }
}
