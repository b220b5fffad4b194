import type { Epoch, Sequence, Stamp } from '../contract/index.ts'
import { PendingNames } from './pending-names.ts'

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
    if (judgement === 'fresh') this.#take(stamp)
    return judgement
  }

  /** Whether it is new, as of now. */
  look({ epoch, sequence }: Stamp, inOrder: boolean): Judgement {
    const known = this.#find(epoch)
    if (known === undefined) return 'fresh'
    const age = known.high - sequence
    if (age < 0) return 'fresh'
    if (inOrder) return 'duplicate'
    if (age >= dedupeWindow) return 'stale'
    return (known.seen & (1n << BigInt(age))) === 0n ? 'fresh' : 'duplicate'
  }

  /** Last sequence taken in an epoch; 0 for none. */
  high(epoch: Epoch): Sequence {
    return this.#find(epoch)?.high ?? 0
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

  #take({ epoch, sequence }: Stamp): void {
    const known = this.#find(epoch)
    if (known === undefined) {
      this.#epochs = this.#epochs.slice(1 - epochsMax).concat({ epoch, high: sequence, seen: 1n })
      return
    }
    const age = known.high - sequence
    if (age >= 0) {
      known.seen |= 1n << BigInt(age)
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
