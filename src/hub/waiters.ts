import type { AppId, Clock, CommandId, KeptEvent, Timer } from '../contract/index.ts'
import { shareOfApp } from '../contract/index.ts'

interface Waiter {
  readonly resolve: () => void
  readonly timer: Timer
}

/** Calls held until a command has ended or their time is over; bounded by `waitersMax`. */
export class Waiters {
  readonly #clock: Clock
  readonly #max: number
  readonly #waiting = new Map<string, Set<Waiter>>()
  readonly #countOf = new Map<AppId, number>()
  #count = 0

  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  get size(): number {
    return this.#count
  }

  /** Resolves when it ended, when the time is over, or at once when too many wait already. */
  until(app: AppId, id: CommandId, timeoutMs: number): { ended: Promise<void>; forget(): void } {
    const ofApp = this.#countOf.get(app) ?? 0
    const full = this.#count >= this.#max || ofApp >= shareOfApp(this.#max)
    if (full || timeoutMs <= 0) {
      return { ended: Promise.resolve(), forget: () => {} }
    }
    const key = `${app}/${id}`
    let waiter: Waiter
    const ended = new Promise<void>((resolve) => {
      const timer = this.#clock.at(this.#clock.nowMs() + timeoutMs, 'waiter', () => forget())
      waiter = { resolve, timer }
      const others = this.#waiting.get(key)
      if (others === undefined) this.#waiting.set(key, new Set([waiter]))
      else others.add(waiter)
      this.#count++
      this.#countOf.set(app, ofApp + 1)
    })
    const forget = () => {
      const others = this.#waiting.get(key)
      if (others?.delete(waiter) !== true) return
      if (others.size === 0) this.#waiting.delete(key)
      this.#left(app)
      waiter.timer.cancel()
      waiter.resolve()
    }
    return { ended, forget }
  }

  heard(events: readonly KeptEvent[]): void {
    if (this.#waiting.size === 0) return
    for (const event of events) {
      if (event.kind !== 'command.ended') continue
      const key = `${event.app}/${event.ended.id}`
      const waiters = this.#waiting.get(key)
      if (waiters === undefined) continue
      this.#waiting.delete(key)
      for (const { resolve, timer } of waiters) {
        this.#left(event.app)
        timer.cancel()
        resolve()
      }
    }
  }

  #left(app: AppId): void {
    this.#count--
    const ofApp = this.#countOf.get(app)! - 1
    if (ofApp === 0) this.#countOf.delete(app)
    else this.#countOf.set(app, ofApp)
  }
}
