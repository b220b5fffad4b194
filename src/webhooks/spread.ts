import type { HeldBytes } from './held-bytes.ts'
import { type Held, Lane, type LanePolicy } from './lane.ts'
import { later, type Place } from './place.ts'
import type { Progress } from './progress.ts'

/** One event as the log has it: where it lies, and what a lane would hold of it. */
export interface Offered {
  readonly place: Place
  /** undefined: it is not for this webhook. */
  readonly lane: number | undefined
  /** Made only for a lane that takes it. */
  held(): Held
}

/**
 * The log of an app, spread over the lanes of one webhook.
 *
 *     lane 0   ──────────●▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▶     ● done up to   ▒ held
 *     lane 1   ──────●▒▒▒▒▒▒▒▒│                       ▲
 *     lane 2   ────────────────●▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▶
 *                             │ behind: no room       │ live
 *                             └ read again from here, once there is room
 *
 * Lanes that have room follow the live reader and cost no reading. One that has none (its receiver
 * is slow, or fails) stays behind, alone; one reader serves all that are behind and have room,
 * from the least of them on, and each takes only what it has not. So a stuck lane holds up nobody,
 * holds no more than its share, and an hour's log is read once or twice, not once a lane.
 *
 * Pure.
 */
export class Spread {
  readonly lanes: readonly Lane[]
  #live: Place

  /** @param live what is later is told by `heard`. */
  constructor(
    progress: Progress,
    live: Place,
    laneCount: number,
    policy: LanePolicy,
    nowMs: number,
    heldOfAll: HeldBytes,
  ) {
    this.#live = live
    this.lanes = Array.from({ length: laneCount }, (_, index) => {
      const own = progress.laneCount === laneCount ? progress.lanes.get(index) : undefined
      // With another number of lanes nobody knows whose events these were: all start at the least.
      const from = own?.at ?? (progress.laneCount === laneCount ? progress.at : progress.least)
      const lane = new Lane(index, from, policy, heldOfAll)
      if (own?.failingMs !== undefined) lane.failingSinceMs = nowMs - own.failingMs
      lane.lagging = from.sequence < live.sequence
      return lane
    })
  }

  get live(): Place {
    return this.#live
  }

  /** The log has grown by this event. @returns the lane that holds it now. */
  heard({ place, lane: index, held }: Offered, nowMs: number): Lane | undefined {
    const before = this.#live
    if (place.sequence <= before.sequence) return undefined
    this.#live = place
    if (index === undefined) return undefined
    const lane = this.lanes[index]!
    if (lane.lagging || place.sequence <= lane.read(before).sequence) return undefined
    if (!lane.hasRoom) {
      lane.lag(before)
      return undefined
    }
    lane.hold(held(), before, nowMs)
    return lane
  }

  /** The log has grown up to here; it is left to the reader to look at it. */
  heardOf(place: Place): void {
    if (place.sequence <= this.#live.sequence) return
    for (const lane of this.lanes) if (!lane.lagging) lane.lag(this.#live)
    this.#live = place
  }

  /** From where to read for lanes that are behind and have room; undefined: for none. */
  wanted(): Place | undefined {
    let least: Place | undefined
    for (const lane of this.lanes) {
      if (!this.#wants(lane)) continue
      const read = lane.read(this.#live)
      if (least === undefined || read.sequence < least.sequence) least = read
    }
    return least
  }

  /**
   * A page of the log was read after `from`, up to `next`.
   * @returns the lanes that got something.
   */
  page(from: Place, events: readonly Offered[], next: Place, nowMs: number): ReadonlySet<Lane> {
    const fed = new Set<Lane>()
    // Not for those that cannot take what is here: they have no room, or stand before this page.
    const passed = new Set<Lane>()
    for (const lane of this.lanes) {
      if (!lane.lagging || lane.read(this.#live).sequence < from.sequence) passed.add(lane)
    }
    let before = from
    for (const { place, lane: index, held } of events) {
      const lane = index === undefined ? undefined : this.lanes[index]!
      if (
        lane !== undefined &&
        !passed.has(lane) &&
        place.sequence > lane.read(this.#live).sequence
      ) {
        if (lane.hasRoom) {
          lane.hold(held(), later(before, lane.read(this.#live)), nowMs)
          fed.add(lane)
        } else {
          lane.readTo(before)
          passed.add(lane)
        }
      }
      before = place
    }
    for (const lane of this.lanes) {
      if (passed.has(lane)) continue
      lane.readTo(next)
      if (lane.read(this.#live).sequence >= this.#live.sequence) lane.lagging = false
    }
    return fed
  }

  /** The log begins only behind here. @returns whether a lane has missed something. */
  gone(from: Place, oldest: Place): boolean {
    let missed = false
    for (const lane of this.lanes) {
      if (!lane.lagging) continue
      const { sequence } = lane.read(this.#live)
      if (sequence !== from.sequence && sequence >= oldest.sequence) continue
      lane.skipTo(oldest)
      missed = true
    }
    return missed
  }

  /** What a restart goes on from. */
  progress(nowMs: number): Progress {
    const cursors = this.lanes.map((lane) => lane.cursor(this.#live))
    const at = cursors.reduce(later)
    const lanes = new Map<number, { at: Place; failingMs: number | undefined }>()
    for (const { index, failingSinceMs } of this.lanes) {
      const cursor = cursors[index]!
      const failingMs = failingSinceMs === undefined ? undefined : nowMs - failingSinceMs
      if (cursor.sequence !== at.sequence || failingMs !== undefined)
        lanes.set(index, { at: cursor, failingMs })
    }
    const least = cursors.reduce((a, b) => (a.sequence <= b.sequence ? a : b))
    return { at, least, laneCount: this.lanes.length, lanes }
  }

  /** Let go all that is not under way, and read it again. */
  forget(): void {
    for (const lane of this.lanes) lane.forget(this.#live)
  }

  close(): void {
    for (const lane of this.lanes) lane.close()
  }

  #wants(lane: Lane): boolean {
    return lane.wants && lane.read(this.#live).sequence < this.#live.sequence
  }
}
