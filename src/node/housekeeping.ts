import type { AppId, Counts, Engine, Limits } from '../contract/index.ts'
import type { Log } from './log.ts'
import { unaccounted } from './metrics.ts'

/** What is forgotten by age, and that nothing is missing, is looked at this often. */
const wholeMs = 3_600_000

/**
 * What nobody else forgets: events past their age, or beyond what all logs may take; aliases that
 * expired long ago; broadcasts older than the events they would be explained by (rule 33).
 *
 * Looked at every minute, since a log may grow by gigabytes in an hour; all of it once an hour.
 */
export class Housekeeping {
  readonly #engine: Engine
  readonly #limits: Limits
  readonly #log: Log
  #wholeAtMs = Number.NEGATIVE_INFINITY
  #sayAtMs = Number.NEGATIVE_INFINITY
  #looking = false

  constructor(parts: { readonly engine: Engine; readonly limits: Limits; readonly log: Log }) {
    this.#engine = parts.engine
    this.#limits = parts.limits
    this.#log = parts.log
  }

  /** Never twice at once: purging much may take longer than a minute. */
  async look(nowMs: number): Promise<void> {
    // A store that cannot be written says so itself, and is looked at again when it is back.
    if (this.#looking || this.#engine.state !== 'ready') return
    this.#looking = true
    try {
      const isWhole = nowMs >= this.#wholeAtMs
      if (isWhole) await this.#account()
      if (isWhole || this.#isTooMuch()) await this.#purgeEvents(nowMs)
      if (!isWhole) return
      await this.#purgeNames(nowMs)
      this.#wholeAtMs = nowMs + wholeMs
    } finally {
      this.#looking = false
    }
  }

  #isTooMuch(): boolean {
    const { events_bytes: bytes = 0 } = this.#engine.figures()
    return bytes > this.#eventsMaxBytes
  }

  /** Events alone must never fill the store to its bound: they are taken there all the same. */
  get #eventsMaxBytes(): number {
    return Math.min(this.#limits.eventsMaxBytes, this.#limits.storeMaxBytes)
  }

  async #purgeEvents(nowMs: number): Promise<void> {
    const { eventsMaxAgeMs } = this.#limits
    const maxBytes = this.#eventsMaxBytes
    const wasTooMuch = this.#isTooMuch()
    const purged = await this.#engine.events.purge(nowMs - eventsMaxAgeMs, { maxBytes })
    if (purged === 0) return
    this.#log.info({ event: 'events.purged', purged }, 'old events were forgotten')
    if (wasTooMuch && nowMs >= this.#sayAtMs) {
      this.#sayAtMs = nowMs + wholeMs
      this.#log.warn(
        { event: 'events.purged-early', maxBytes },
        'the logs were larger than eventsMaxBytes: their oldest events are forgotten before their age',
      )
    }
  }

  async #purgeNames(nowMs: number): Promise<void> {
    const { eventsMaxAgeMs, aliasKeptMs } = this.#limits
    const { names, broadcasts } = this.#engine
    const aliases = await names.purgeAliases(nowMs - aliasKeptMs)
    if (aliases > 0) this.#log.info({ event: 'aliases.purged', purged: aliases })
    const old = await broadcasts.purge(nowMs - eventsMaxAgeMs)
    if (old > 0) this.#log.info({ event: 'broadcasts.purged', purged: old })
  }

  async #account(): Promise<void> {
    for (const [app, counts] of await countsOf(this.#engine)) {
      const missing = unaccounted(counts)
      if (missing !== 0)
        this.#log.error(
          { event: 'counts.broken', app, counts, missing },
          'accepted commands are not the sum of ended and open ones: please report this',
        )
    }
  }
}

export async function countsOf(engine: Engine): Promise<ReadonlyMap<AppId, Counts>> {
  const counts = new Map<AppId, Counts>()
  for (const { app } of await engine.names.apps()) counts.set(app, await engine.mailbox.counts(app))
  return counts
}
