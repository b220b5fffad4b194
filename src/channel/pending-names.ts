/**
 * Names of uplinks that their device may send again until it lets go of them (MQTT QoS 2).
 *
 *     longest not heard of                          newest
 *   |  a   b   c   …                           x   y   z  |   at most `max`
 *      ^ goes when another comes
 *
 * Devices that died with some on the way never let go of them; for their sake nobody else is refused.
 * Whoever lost a name that way may send its uplink once more, and nobody knows it then: so what comes
 * as a repeat and is not known may be one, from then on.
 */
export class PendingNames {
  readonly #names: Set<string>
  /** Some had to go. */
  #lost: boolean

  /** @param kept what `encode` gave once. */
  constructor(kept: readonly string[]) {
    this.#lost = kept.includes(lostMark)
    this.#names = new Set(kept.filter((text) => text !== lostMark).map(plain))
  }

  get size(): number {
    return this.#names.size
  }

  /** Whether one that is not known may have been. */
  get lost(): boolean {
    return this.#lost
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** It is new, or came again: others go before it. @returns how many had to go. */
  heard(name: string, max: number): number {
    this.#names.delete(name)
    this.#names.add(name)
    let went = 0
    for (const oldest of this.#names) {
      if (this.#names.size <= max) break
      this.#names.delete(oldest)
      went++
    }
    this.#lost ||= went > 0
    return went
  }

  /** @returns whether anything is different by that. */
  forget(name: string): boolean {
    return this.#names.delete(name)
  }

  /** All that begin so. @returns whether there were any. */
  forgetAll(prefix: string): boolean {
    const before = this.#names.size
    for (const name of this.#names) if (name.startsWith(prefix)) this.#names.delete(name)
    return this.#names.size < before
  }

  /** For keeping: `;name;…`, in order. */
  encode(): string {
    let text = this.#lost ? `;${lostMark}` : ''
    for (const name of this.#names) text += `;${marked(name)}`
    return text
  }
}

/** Stands in no name, where a `%` is written `%25`. */
const lostMark = '%'

/** A name may hold what separates names. */
const marked = (name: string): string =>
  name.replace(/[%;]/g, (mark) => (mark === '%' ? '%25' : '%3b'))
const plain = (text: string): string =>
  text.replace(/%(25|3b)/g, (_, code: string) => (code === '25' ? '%' : ';'))
