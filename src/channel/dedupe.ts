import type { Epoch, Sequence, Stamp } from '../contract/index.ts'
import { PendingNames } from './pending-names.ts'

/** How far behind the newest an unordered stamp may lie and still be told from a repeat. */
export const dedupeWindow = 64
/** Uplink epochs remembered; a device that starts over more often than this meets 'stale'. */
const epochsMax = 4
const allSeen = BigInt.asUintN(dedupeWindow, -1n)

/**
 * Tells a repeated uplink from a new one, by its stamp.
 *
 *     too old |  seen? one bit each   |
 *   | ? ? ? ? | 1 0 1 1 1 0 1 1 1 1 1 |
 *                                   ^ high
 *
 * Stamps may overtake each other, so the last 64 are remembered one by one; further back nobody knows,
 * and 'stale' is never called a duplicate (rule 17). Where the protocol keeps order (Pike) what comes
 * says that everything below it was seen, or will never come; but a device that spoke otherwise before
 * may have left holes, and what it sends to fill them is no repeat.
 *
 * Besides it knows those that have a name until their device lets go of it ({@link PendingNames}).
 *
 * There is one of these a channel in the whole process, whoever brings the uplinks: what it has
 * judged is kept in the batch of what was judged, and each batch holds all that was judged before.
 */
export class Dedupe {
  /** Newest epoch last. */
  #epochs: readonly Seen[] = noEpochs
  #names: PendingNames | undefined

  /** @param kept what `encode` gave once. */
  constructor(kept = '') {
    // Every channel with a session has one of these, and most of them know nothing.
    if (kept === '') return
    const [stamps = '', ...names] = kept.split(';')
    if (stamps !== '') this.#epochs = stamps.split(',').map(decode)
    if (names.length > 0) this.#names = new PendingNames(names)
  }

  /** Of uplinks that have one, until their devices let go of it. */
  get names(): PendingNames {
    this.#names ??= new PendingNames([])
    return this.#names
  }

  /** Whether it is new; if so, it is not any more. The batch that keeps it must keep `encode` too. */
  judge(stamp: Stamp, inOrder: boolean): Judgement {
    const judgement = this.look(stamp, inOrder)
    if (judgement === 'fresh') this.#take(stamp, inOrder)
    return judgement
  }

  /** Whether it is new, as of now. */
  look({ epoch, sequence }: Stamp, inOrder: boolean): Judgement {
    const known = this.#find(epoch)
    if (known === undefined) return 'fresh'
    const age = known.high - sequence
    if (age < 0) return 'fresh'
    if (age >= dedupeWindow) return inOrder ? 'duplicate' : 'stale'
    return (known.seen & (1n << BigInt(age))) === 0n ? 'fresh' : 'duplicate'
  }

  /** The last sequence of an epoch below which nothing is missing (rule 15); 0 where nobody knows. */
  keptUpTo(epoch: Epoch): Sequence {
    const known = this.#find(epoch)
    if (known === undefined) return 0
    const { high, seen } = known
    let age = Math.min(high, dedupeWindow) - 1
    while (age >= 0 && (seen & (1n << BigInt(age))) !== 0n) age--
    if (age < 0) return high
    // The oldest of all that is looked at is missing: what is before it nobody looked at.
    return age === dedupeWindow - 1 ? 0 : high - age - 1
  }

  /** For keeping, in the batch of the uplinks it judged: `epoch.high.seen,…;name;…`. */
  encode(): string {
    let text = ''
    for (const { epoch, high, seen } of this.#epochs) {
      if (text !== '') text += ','
      text += `${epoch.toString(36)}.${high.toString(36)}.${seen === 1n ? '1' : seen.toString(36)}`
    }
    return this.#names === undefined ? text : text + this.#names.encode()
  }

  #take({ epoch, sequence }: Stamp, inOrder: boolean): void {
    const known = this.#find(epoch)
    if (known === undefined) {
      const seen = inOrder ? allSeen : 1n
      this.#epochs = this.#epochs.slice(1 - epochsMax).concat({ epoch, high: sequence, seen })
      return
    }
    const age = known.high - sequence
    if (age >= 0) {
      const some = inOrder ? allSeen << BigInt(age) : 1n << BigInt(age)
      known.seen = BigInt.asUintN(dedupeWindow, known.seen | some)
      return
    }
    if (inOrder) {
      known.seen = allSeen
      known.high = sequence
      return
    }
    const steps = Math.min(-age, dedupeWindow) // a peer may claim any sequence
    known.seen = BigInt.asUintN(dedupeWindow, known.seen << BigInt(steps)) | 1n
    known.high = sequence
  }

  #find(epoch: Epoch) {
    for (const known of this.#epochs) if (known.epoch === epoch) return known
    return undefined
  }
}

export type Judgement = 'fresh' | 'duplicate' | 'stale'

interface Seen {
  readonly epoch: Epoch
  high: Sequence
  seen: bigint
}

const noEpochs: readonly Seen[] = []

function decode(text: string): Seen {
  const [epoch = '', high = '', seen = '0'] = text.split('.')
  let bits = 0n
  for (const digit of seen) bits = bits * 36n + BigInt(Number.parseInt(digit, 36))
  return { epoch: Number.parseInt(epoch, 36), high: Number.parseInt(high, 36), seen: bits }
}
