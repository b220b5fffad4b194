import type { DeadLetter, DeviceId, EventId, Timer } from '../contract/index.ts'
import { webhookBounds } from './bounds.ts'
import type { Ledger } from './ledger.ts'
import { shelfName } from './place.ts'
import type { Attempt } from './sender.ts'

/** A callback that was not taken and is tried again. */
export interface Retry {
  readonly event: EventId
  readonly device: DeviceId
  /** One request under way each. */
  readonly lane: number
  readonly failingSinceMs: number
  readonly attempts: number
  readonly dueMs: number
  readonly lastError: string
}

interface RetryPorts {
  readonly ledger: Ledger
  readonly nowMs: () => number
  at(atMs: number, run: () => void): Timer
  /** How long until the attempt after so many. */
  delayMs(attempts: number): number
  readonly deadAfterMs: number
  /** undefined: not now; `freed` is called when it may be. */
  attempt(event: EventId, lane: number): Promise<Attempt | 'gone' | 'later'> | undefined
  dead(letter: DeadLetter): void
}

/** Retries of one lane. */
interface Line {
  flying: boolean
  readonly waiting: Set<Retry>
  /** Due before the others. */
  first: Retry | undefined
}

const folder = 'retry'

/**
 * Callbacks that failed, durable, each with its own backoff. They do not wait for each other: a
 * callback has no order to keep, and one receiver's trouble is nobody else's.
 */
export class Retries {
  readonly #ports: RetryPorts
  readonly #lines = new Map<number, Line>()
  /** Something was due and could not start. */
  #refused = false
  #count = 0
  #timer: { readonly atMs: number; readonly timer: Timer } | undefined
  #closed = false

  constructor(ports: RetryPorts) {
    this.#ports = ports
  }

  get count(): number {
    return this.#count
  }

  get hasRoom(): boolean {
    return this.#count < webhookBounds.callbackRetriesMax
  }

  get nextMs(): number | undefined {
    let next: number | undefined
    for (const { first } of this.#lines.values())
      if (first !== undefined && (next === undefined || first.dueMs < next)) next = first.dueMs
    return next
  }

  async load(): Promise<void> {
    this.#lines.clear()
    this.#count = 0
    for await (const { value } of this.#ports.ledger.all(folder)) {
      try {
        this.#wait(JSON.parse(value) as Retry)
      } catch {
        // A damaged record: the event is still in the log.
      }
    }
  }

  /** A first attempt failed. */
  add(event: EventId, device: DeviceId, lane: number, lastError: string): void {
    const nowMs = this.#ports.nowMs()
    const dueMs = nowMs + this.#ports.delayMs(1)
    this.#keep({ event, device, lane, failingSinceMs: nowMs, attempts: 1, dueMs, lastError })
  }

  /** Start what is due and may start. */
  go(): void {
    if (this.#closed) return
    const nowMs = this.#ports.nowMs()
    let next = Number.POSITIVE_INFINITY
    this.#refused = false
    for (const line of this.#lines.values()) {
      const { flying, first } = line
      if (flying || first === undefined) continue
      if (first.dueMs > nowMs) next = Math.min(next, first.dueMs)
      else if (!this.#start(line, first)) this.#refused = true
    }
    this.#arm(next)
  }

  /** What could not start may do so now. */
  freed(): void {
    if (this.#refused) this.go()
  }

  close(): void {
    this.#closed = true
    this.#timer?.timer.cancel()
    this.#timer = undefined
  }

  #start(line: Line, retry: Retry): boolean {
    const attempt = this.#ports.attempt(retry.event, retry.lane)
    if (attempt === undefined) return false
    line.flying = true
    void attempt.then((outcome) => {
      line.flying = false
      line.waiting.delete(retry)
      line.first = earliest(line.waiting)
      this.#count--
      this.#ended(retry, outcome)
      this.go()
    })
    return true
  }

  #ended(retry: Retry, outcome: Attempt | 'gone' | 'later'): void {
    const nowMs = this.#ports.nowMs()
    if (outcome === 'later') {
      // The store could not be read: no attempt was made.
      this.#wait({ ...retry, dueMs: nowMs + this.#ports.delayMs(1) })
      return
    }
    if (outcome !== 'gone' && outcome.taken) {
      this.#ports.ledger.put(nameOf(retry.event), undefined)
      return
    }
    const attempts = retry.attempts + 1
    const lastError = outcome === 'gone' ? 'the event is no longer in the log' : outcome.text
    if (outcome === 'gone' || nowMs - retry.failingSinceMs >= this.#ports.deadAfterMs) {
      const { event, device } = retry
      this.#ports.ledger.put(nameOf(event), undefined)
      const letter = { event, device, kind: 'command.ended', setAsideAtMs: nowMs } as const
      this.#ports.dead({ ...letter, attempts, lastError })
      return
    }
    this.#keep({ ...retry, attempts, lastError, dueMs: nowMs + this.#ports.delayMs(attempts) })
  }

  #keep(retry: Retry): void {
    this.#ports.ledger.put(nameOf(retry.event), JSON.stringify(retry))
    this.#wait(retry)
    this.#arm(retry.dueMs)
  }

  #wait(retry: Retry): void {
    let line = this.#lines.get(retry.lane)
    if (line === undefined) {
      line = { flying: false, waiting: new Set(), first: undefined }
      this.#lines.set(retry.lane, line)
    }
    line.waiting.add(retry)
    if (!line.flying && (line.first === undefined || retry.dueMs < line.first.dueMs))
      line.first = retry
    this.#count++
  }

  #arm(atMs: number): void {
    if (this.#closed || atMs === Number.POSITIVE_INFINITY) return
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return
    this.#timer?.timer.cancel()
    const timer = this.#ports.at(atMs, () => {
      this.#timer = undefined
      this.go()
    })
    this.#timer = { atMs, timer }
  }
}

const nameOf = (event: EventId): string => `${folder}/${shelfName(event)}`

function earliest(retries: Iterable<Retry>): Retry | undefined {
  let first: Retry | undefined
  for (const retry of retries) if (first === undefined || retry.dueMs < first.dueMs) first = retry
  return first
}
