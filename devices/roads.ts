import type { Clock } from '../src/contract/index.ts'
import { Road, type RoadHost } from './road.ts'
import type { Move } from './session.ts'

/** A channel that is sent to and fro waits this long before its next connection. */
const movedAgainMs = 5_000

/**
 * Which of a client's channels goes by which connection: the shared ones by one, each independent
 * one by its own. It begins with one for all, and follows what the gateway says.
 *
 *     main, urgent, media ──────── CLOSE media "independent" ───────▶ main, urgent | media
 *              ▲                                                               │
 *              ╰──────────── CLOSE "shared", or a WELCOME without its word ────╯
 */
export class Roads {
  readonly #host: RoadHost
  readonly #clock: Clock
  readonly #first: string
  #all: readonly Road[]
  readonly #movedAtMs = new Map<string, number>()

  constructor(host: RoadHost, names: readonly string[]) {
    this.#host = host
    this.#clock = host.clock
    this.#first = names[0]!
    this.#all = [new Road(host, names, false)]
  }

  get all(): readonly Road[] {
    return this.#all
  }

  /** The one of the first channel: its state is the client's. */
  get home(): Road {
    return this.of(this.#first)!
  }

  of(channel: string): Road | undefined {
    for (const road of this.#all) if (road.names.includes(channel)) return road
    return undefined
  }

  /** A channel is to go another way. @returns false: it goes on by this one. */
  moves(road: Road, name: string, to: Move): boolean {
    if (!this.#all.includes(road) || !road.names.includes(name)) return false
    const nowMs = this.#clock.nowMs()
    const again = nowMs - (this.#movedAtMs.get(name) ?? Number.NEGATIVE_INFINITY) < movedAgainMs
    this.#movedAtMs.set(name, nowMs)
    const afterMs = again ? movedAgainMs : 0
    if (to === 'stays') return this.#stays(road, name)
    if (to === 'shared') return this.#joins(road, name)
    if (road.independent) return false
    if (road.names.length === 1) {
      road.independent = true
      return false
    }
    road.remove(name)
    this.#begin([name], true, afterMs)
    return true
  }

  /** This one turned out to be alone on its connection: all others need another. */
  #stays(road: Road, name: string): false {
    const others = road.names.filter((one) => one !== name)
    road.independent = true
    road.names = [name]
    if (others.length > 0) this.#begin(others, false, 0)
    return false
  }

  #joins(road: Road, name: string): boolean {
    if (!road.independent) return false
    const shared = this.#all.find(({ independent }) => !independent)
    if (shared === undefined) {
      road.independent = false
      return false
    }
    this.#all = this.#all.filter((one) => one !== road)
    road.input({ kind: 'stop' })
    shared.add(name)
    return true
  }

  #begin(names: readonly string[], independent: boolean, afterMs: number): void {
    const road = new Road(this.#host, names, independent)
    this.#all = [...this.#all, road]
    road.input({ kind: 'start', afterMs })
  }
}
