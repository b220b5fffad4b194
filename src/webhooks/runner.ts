import type { Timer } from '../contract/index.ts'
import type { Held, Lane } from './lane.ts'
import type { PushPorts } from './ports.ts'
import type { Attempt } from './sender.ts'
import type { SlotOwner } from './slots.ts'

interface RunnerPorts {
  readonly owner: SlotOwner
  readonly push: Pick<PushPorts, 'clock' | 'slots'>
  /** Its slot is free again. */
  land(): void
  post(batch: readonly Held[]): Promise<Attempt>
  /** The lane is told in here what became of its batch. */
  ended(lane: Lane, batch: readonly Held[], attempt: Attempt): void
}

/** Sends what lanes have, when it is due and there is a slot: one request a lane. */
export class Runner {
  readonly #ports: RunnerPorts
  readonly #timers = new Map<Lane, { readonly atMs: number; readonly timer: Timer }>()
  readonly #unslotted = new Set<Lane>()
  #paused = true

  constructor(ports: RunnerPorts) {
    this.#ports = ports
  }

  resume(lanes: Iterable<Lane>): void {
    this.#paused = false
    for (const lane of lanes) this.go(lane)
  }

  /** What is under way goes to its end. */
  pause(): void {
    this.#paused = true
    for (const { timer } of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    this.#unslotted.clear()
  }

  /** This lane may have something to send. */
  go(lane: Lane): void {
    if (this.#paused) return
    const dueMs = lane.dueMs()
    if (dueMs === undefined) return
    const { owner, push, land } = this.#ports
    const nowMs = push.clock.nowMs()
    if (dueMs > nowMs) {
      this.#arm(lane, dueMs)
      return
    }
    if (!push.slots.take(owner)) {
      this.#unslotted.add(lane)
      return
    }
    const batch = lane.start(nowMs)!
    void this.#ports.post(batch).then((attempt) => {
      this.#ports.ended(lane, batch, attempt)
      land()
      this.go(lane)
    })
  }

  /** Lanes that wait for a slot go, as far as there are any. @returns false where none waited. */
  slotFree(): boolean {
    const waiting = [...this.#unslotted]
    for (const lane of waiting) {
      this.#unslotted.delete(lane)
      this.go(lane)
      if (this.#unslotted.has(lane)) break
    }
    return waiting.length > 0
  }

  #arm(lane: Lane, atMs: number): void {
    const armed = this.#timers.get(lane)
    if (armed !== undefined && armed.atMs <= atMs) return
    armed?.timer.cancel()
    const timer = this.#ports.push.clock.at(atMs, 'webhook lane', () => {
      this.#timers.delete(lane)
      this.go(lane)
    })
    this.#timers.set(lane, { atMs, timer })
  }
}
