import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EventPage, KeptEvent, Timer } from '../contract/index.ts'
import type { Lane } from './lane.ts'
import { type Place, placeOf } from './place.ts'
import type { Offered, Spread } from './spread.ts'

interface ReaderPorts {
  readonly spread: Spread
  /** Events after a place that this webhook may want, by its filter of this moment. */
  read(from: Place): Promise<EventPage>
  /** The same as lanes see them; tags are looked up here. */
  offers(events: readonly KeptEvent[]): Promise<readonly Offered[]>
  fed(lanes: ReadonlySet<Lane>): void
  /** The log begins only behind here, and something was not sent. */
  lost(oldest: Place): void
  failed(error: unknown): void
  nowMs(): number
  later(run: () => void): Timer
}

/** Reads the log for lanes that are behind, one page at a time, for all of them together. */
export class Reader {
  readonly #ports: ReaderPorts
  #reading = false
  #paused = true
  #generation = 0
  #retry: Timer | undefined
  /** Events read, for tests and for whoever asks what it costs. */
  looked = 0

  constructor(ports: ReaderPorts) {
    this.#ports = ports
  }

  /** There may be something to read. Cheap where there is not. */
  go(): void {
    if (this.#reading || this.#paused || this.#retry !== undefined) return
    if (this.#ports.spread.wanted() === undefined) return
    this.#reading = true
    void this.#read()
      .catch((error: unknown) => {
        this.#ports.failed(error)
        this.#retry = this.#ports.later(() => {
          this.#retry = undefined
          this.go()
        })
      })
      .finally(() => {
        this.#reading = false
      })
  }

  resume(): void {
    this.#paused = false
    this.go()
  }

  pause(): void {
    this.#paused = true
    this.#retry?.cancel()
    this.#retry = undefined
  }

  /** What was asked for is not wanted any more as it was. */
  turn(): void {
    this.#generation++
  }

  async #read(): Promise<void> {
    const { spread, read, offers, fed, lost, nowMs } = this.#ports
    for (;;) {
      const from = spread.wanted()
      if (this.#paused || from === undefined) return
      const generation = this.#generation
      const page = await read(from)
      if (generation !== this.#generation) continue
      if (page.kind === 'gone') {
        const oldest = placeOf(page.oldest)
        if (spread.gone(from, oldest)) lost(oldest)
        if (oldest.sequence === from.sequence && page.oldest === from.id) return
        continue
      }
      const offered = await offers(page.items)
      if (generation !== this.#generation || this.#paused) continue
      this.looked += offered.length
      const next = placeOf(page.next)
      fed(spread.page(from, offered, next, nowMs()))
      // The log has told of more than it shows: it will tell again.
      if (next.sequence <= from.sequence) return
      // What waits in this process goes before what has waited in the log.
      await nextTurn()
    }
  }
}
