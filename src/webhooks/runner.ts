import type { Timer } from '../contract/index.ts'
import type { Held, Lane } from './lane.ts'
import type { PushPorts } from './ports.ts'
import type { Receivers } from './receivers.ts'
import type { Attempt } from './sender.ts'
import type { SlotOwner } from './slots.ts'

interface RunnerPorts {
  readonly owner: SlotOwner
  readonly push: Pick<PushPorts, 'clock' | 'slots'>
  /** Of callbacks, whose lanes share receivers. */
  readonly receivers: Receivers | undefined
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
  /** Their receivers have enough under way. */
  readonly #heldBack = new Set<Lane>()
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
    this.#heldBack.clear()
  }

  /** This lane may have something to send. */
  go(lane: Lane): void {
    if (this.#paused) return
    const dueMs = lane.dueMs()
    if (dueMs === undefined) return
    const { owner, push, receivers, land } = this.#ports
    const nowMs = push.clock.nowMs()
    if (dueMs > nowMs) {
      this.#arm(lane, dueMs)
      return
    }
    if (receivers?.hasRoom(lane.index) === false) {
      this.#heldBack.add(lane)
      return
    }
    if (!push.slots.take(owner)) {
      this.#unslotted.add(lane)
      return
    }
    receivers?.take(lane.index)
    const batch = lane.start(nowMs)!
    void this.#ports.post(batch).then((attempt) => {
      this.#ports.ended(lane, batch, attempt)
      receivers?.give(lane.index)
      land()
      this.go(lane)
    })
  }

  /** Lanes that wait for a slot go, as far as there are any. */
  slotFree(): void {
    for (const lane of [...this.#unslotted]) {
      this.#unslotted.delete(lane)
      this.go(lane)
      if (this.#unslotted.has(lane)) break
    }
  }

  /** One request less is under way: lanes that were held back go, as far as there is room. */
  freed(): void {
    for (const lane of this.#heldBack) {
      if (this.#ports.receivers?.hasRoom(lane.index) === false) continue
      this.#heldBack.delete(lane)
      this.go(lane)
    }
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
