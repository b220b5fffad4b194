/**
 * Bits of one filter: at three million keys one in a hundred new ones is taken for seen, at ten
 * million one in five. A bound on memory, not on keys.
 */
const filterBits = 2 ** 25
const probes = 3

/**
 * A Bloom filter: which keys were certainly never added, without asking the store.
 * Source: B. H. Bloom, CACM 13 (1970).
 */
export class Seen {
  readonly #bits = new Uint32Array(filterBits / 32)

  add(key: string): void {
    let [at, step] = hashes(key)
    for (let probe = 0; probe < probes; probe++) {
      this.#bits[(at % filterBits) >>> 5]! |= 1 << (at & 31)
      at = (at + step) >>> 0
    }
  }

  /** False: certainly not. */
  has(key: string): boolean {
    let [at, step] = hashes(key)
    for (let probe = 0; probe < probes; probe++) {
      if ((this.#bits[(at % filterBits) >>> 5]! & (1 << (at & 31))) === 0) return false
      at = (at + step) >>> 0
    }
    return true
  }
}

/** FNV-1a, and again from another start. */
function hashes(key: string): [number, number] {
  let one = 0x811c9dc5
  let two = 0x01234567
  for (let at = 0; at < key.length; at++) {
    const unit = key.charCodeAt(at)
    one = Math.imul(one ^ unit, 0x01000193)
    two = Math.imul(two ^ unit, 0x01000193) ^ (one >>> 15)
  }
  return [one >>> 0, (two | 1) >>> 0]
}
