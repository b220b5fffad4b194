import type { Random } from '../support/random.ts'
import type { Ask, Journal } from './journal.ts'
import type { Parts } from './parts.ts'

/** What the bounded channel of every device is called and may hold. */
export const smallChannel = { name: 'media', maxCommands: 4, overflow: 'drop-oldest' } as const

/** Names that load and names share; whoever changes them fills them in. */
export interface Names {
  readonly devices: readonly string[]
  readonly aliases: string[]
  /** Devices nobody ever is, registered and removed meanwhile. */
  readonly ghosts: string[]
  /** API keys that work, as far as their maker knows. */
  readonly keys: Set<string>
  /** Their texts, by name; of those that were revoked too. */
  readonly keyTexts: Map<string, string>
  /** Where the receiver listens; undefined: there is none. */
  callbackBase: string | undefined
}

export interface AskingOptions {
  readonly journal: Journal
  readonly random: Random
  readonly parts: Parts
  readonly names: Names
  /** The next number of a thing that is asked for. */
  readonly number: () => number
}

/** Draws what a back end wants done next. */
export class Asking {
  readonly #options: AskingOptions

  constructor(options: AskingOptions) {
    this.#options = options
  }

  /**
   * `keyed`: the chance that it carries an idempotency key. `others`: whether it may be asked with
   * another API key than the first.
   */
  draw(keyed: number, others: boolean): Ask {
    const { random, parts, names, journal, number } = this.#options
    const n = number()
    const hasKey = random.chance(keyed)
    const ghost = parts.has('devices') && names.ghosts.length > 0 && random.chance(0.04)
    const alias =
      !ghost && parts.has('aliases') && names.aliases.length > 0 && random.chance(0.15)
        ? random.pick(names.aliases)
        : undefined
    const delivery = random.chance(0.15) ? 'now' : 'queue'
    // What replaces and is replaced needs company: few devices, one channel.
    const crowded = !ghost && alias === undefined && parts.has('collapse') && random.chance(0.25)
    const small = crowded && random.chance(0.5)
    const devices = crowded ? names.devices.slice(0, 3) : names.devices
    const short = ghost || random.chance(0.2)
    const notBeforeMs =
      parts.has('schedules') && random.chance(0.12)
        ? Date.now() + random.int(-200, 3_500)
        : undefined
    const named = hasKey ? `k${n}` : notBeforeMs === undefined ? undefined : `s${n}`
    const ask: Ask = {
      n,
      device: alias !== undefined ? '' : random.pick(ghost ? names.ghosts : devices),
      alias,
      channel: small ? smallChannel.name : !crowded && random.chance(0.35) ? 'urgent' : 'main',
      name: named ?? random.pick(['open', 'blink', 'set']),
      delivery,
      expect: random.chance(0.4) ? 'reply' : 'ack',
      ttlMs: short ? random.int(1, 3) * 1_000 : delivery === 'now' ? 5_000 : undefined,
      key: hasKey ? `key-${n}` : undefined,
      notBeforeMs,
      collapse: crowded && random.chance(0.5) ? 'latest' : undefined,
      callback:
        parts.has('callbacks') && names.callbackBase !== undefined && random.chance(0.1)
          ? `/callback/${n}`
          : undefined,
      askedBy:
        others && parts.has('keys') && names.keys.size > 0 && random.chance(0.1)
          ? random.pick([...names.keys])
          : undefined,
      attempts: [],
    }
    journal.asks.push(ask)
    return ask
  }

  /** As the API takes it; the same bytes each time. */
  body(ask: Ask): Record<string, unknown> {
    const { callbackBase } = this.#options.names
    return {
      name: ask.name,
      payload: { n: ask.n },
      delivery: ask.delivery,
      expect: ask.expect,
      channel: ask.channel,
      ...(ask.ttlMs === undefined ? {} : { ttl: ask.ttlMs / 1_000 }),
      ...(ask.expect === 'reply' ? { replyTimeout: 3 } : {}),
      ...(ask.collapse === undefined ? {} : { collapse: ask.collapse }),
      ...(ask.notBeforeMs === undefined
        ? {}
        : { notBefore: new Date(ask.notBeforeMs).toISOString() }),
      ...(ask.callback === undefined ? {} : { callback: `${callbackBase}${ask.callback}` }),
    }
  }
}
