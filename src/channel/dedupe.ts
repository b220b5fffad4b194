import type { Epoch, Sequence, Stamp } from '../contract/index.ts'

/** How far behind the newest an unordered stamp may lie and still be told from a repeat. */
export const dedupeWindow = 64
/** Uplink epochs remembered; a device that starts over more often than this meets 'stale'. */
const epochsMax = 4

/**
 * Tells a repeated uplink from a new one, by its stamp.
 *
 *     too old |  seen? one bit each   |
 *   | ? ? ? ? | 1 0 1 1 1 0 1 1 1 1 1 |
 *                                   ^ high
 *
 * Where the protocol keeps order (Pike) everything at or below `high` was seen. Elsewhere stamps may
 * overtake each other, so the last 64 are remembered one by one; further back nobody knows, and
 * 'stale' is never called a duplicate (rule 17).
 */
export class Dedupe {
  /** Newest epoch last. */
  readonly #epochs: { epoch: Epoch; high: Sequence; seen: bigint }[]

  /** @param kept what `encode` gave once. */
  constructor(kept?: string) {
    this.#epochs = kept === undefined || kept === '' ? [] : kept.split(',').map(decode)
  }

  judge({ epoch, sequence }: Stamp, inOrder: boolean): 'fresh' | 'duplicate' | 'stale' {
    const known = this.#find(epoch)
    if (known === undefined) {
      if (this.#epochs.length === epochsMax) this.#epochs.shift()
      this.#epochs.push({ epoch, high: sequence, seen: 1n })
      return 'fresh'
    }
    const age = known.high - sequence
    if (age < 0) {
      const steps = Math.min(-age, dedupeWindow) // a peer may claim any sequence
      known.seen = BigInt.asUintN(dedupeWindow, known.seen << BigInt(steps)) | 1n
      known.high = sequence
      return 'fresh'
    }
    if (inOrder) return 'duplicate'
    if (age >= dedupeWindow) return 'stale'
    const bit = 1n << BigInt(age)
    if ((known.seen & bit) !== 0n) return 'duplicate'
    known.seen |= bit
    return 'fresh'
  }

  /** Last sequence taken in an epoch; 0 for none. */
  high(epoch: Epoch): Sequence {
    return this.#find(epoch)?.high ?? 0
  }

  /** For keeping, in the batch of the uplinks it judged. */
  encode(): string {
    let text = ''
    for (const { epoch, high, seen } of this.#epochs) {
      if (text !== '') text += ','
      text += `${epoch.toString(36)}.${high.toString(36)}.${seen === 1n ? '1' : seen.toString(36)}`
    }
    return text
  }

  #find(epoch: Epoch) {
    for (const known of this.#epochs) if (known.epoch === epoch) return known
    return undefined
  }
}

function decode(text: string): { epoch: Epoch; high: Sequence; seen: bigint } {
  const [epoch = '', high = '', seen = '0'] = text.split('.')
  let bits = 0n
  for (const digit of seen) bits = bits * 36n + BigInt(Number.parseInt(digit, 36))
  return { epoch: Number.parseInt(epoch, 36), high: Number.parseInt(high, 36), seen: bits }
}
