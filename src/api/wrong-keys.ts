import type { Clock } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'

const minuteMs = 60_000

/**
 * Counts wrong API keys by the address they come from, a minute at a time. A right key is never held
 * up: many back ends stand behind one address. Bounded by forgetting the address whose minute began
 * first.
 */
export class WrongKeys {
  readonly #clock: Pick<Clock, 'nowMs'>
  /** In order of when its minute began. */
  readonly #byAddress = new Map<string, { readonly sinceMs: number; count: number }>()

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock
  }

  /**
   * One more. @returns 0, or how long until this address may be wrong again.
   * @param address undefined once its caller is gone: a socket that was reset does not say.
   */
  another(address: string | undefined): number {
    const nowMs = this.#clock.nowMs()
    const place = address === undefined ? 'gone' : network(address)
    const known = this.#byAddress.get(place)
    if (known !== undefined && nowMs - known.sinceMs < minuteMs) {
      if (known.count >= apiBounds.wrongKeysPerMinute) return known.sinceMs + minuteMs - nowMs
      known.count++
      return 0
    }
    this.#byAddress.delete(place)
    if (this.#byAddress.size >= apiBounds.wrongKeyAddressesMax) {
      const [oldest] = this.#byAddress.keys()
      if (oldest !== undefined) this.#byAddress.delete(oldest)
    }
    this.#byAddress.set(place, { sinceMs: nowMs, count: 1 })
    return 0
  }
}

/** Of IPv6 whoever has one address has a network of them: the first half stands for all. */
function network(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address
  const [head = ''] = address.split('::', 1)
  const groups = head === '' ? [] : head.split(':')
  while (groups.length < 4) groups.push('0')
  return groups.slice(0, 4).join(':')
}
