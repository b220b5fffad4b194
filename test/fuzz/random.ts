import { Random } from '../support/random.ts'

/** The draws of one case: the same for its seed and number, whatever ran before it. */
export const caseRandom = (seed: number, number: number): Random =>
  new Random(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(number + 1, 0x85eb_ca6b))

export { Random }
