import type { Grammar, Who } from './grammar.ts'
import { mutate, segments } from './mutate.ts'
import { caseRandom, type Random } from './random.ts'

/** One input made wrong. */
export interface Case {
  readonly number: number
  /** Before its sender was let in, or after. */
  readonly stage: 'before' | 'after'
  readonly packets: readonly Buffer[]
  /** As the network cuts it. */
  readonly pieces: readonly Buffer[]
  /** For what is still to be drawn. */
  readonly random: Random
}

const beforeShare = 0.2

/** The same for the same seed, number and sender. */
export function caseOf(grammar: Grammar, seed: number, number: number, who: Who): Case {
  const random = caseRandom(seed, number)
  const stage = random.chance(beforeShare) ? 'before' : 'after'
  const valid =
    stage === 'before'
      ? [
          ...grammar.opening(who, random),
          ...(random.chance(0.5) ? grammar.session(who, random) : []),
        ]
      : grammar.session(who, random)
  // A few stay as they are: the valid is an input too, and opens doors for the rest.
  const packets = random.chance(0.08) ? valid : mutate(valid, grammar, random)
  return { number, stage, packets, pieces: segments(Buffer.concat(packets), random), random }
}

/** For people and for `xxd -r -p`. */
export function dump({ number, stage, pieces }: Case): string {
  const shown = pieces.map((piece) => {
    const hex = piece.subarray(0, dumpMaxBytes).toString('hex')
    return `    ${hex}${piece.length > dumpMaxBytes ? `… (${piece.length} bytes)` : ''}`
  })
  return [`  case ${number}, ${stage} its sender was let in:`, ...shown].join('\n')
}

const dumpMaxBytes = 2_048
