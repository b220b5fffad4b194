import type { Reason } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import type { Problem } from '../../src/listen/problem.ts'

/** The contract's reasons as HTTP says them; one left out does not compile. */
const statuses: Record<Reason, number> = {
  normal: 503,
  independent: 503, // of connections that carry several
  shared: 503,
  'going-away': 503,
  'taken-over': 409,
  conflict: 409,
  'keepalive-expired': 408,
  unresponsive: 408,
  'too-slow': 408,
  'handshake-timeout': 408,
  overloaded: 503,
  'rate-limited': 429,
  unavailable: 503,
  malformed: 400,
  'protocol-error': 400,
  'too-large': 413,
  'unknown-channel': 404,
  unsupported: 501,
  unauthorized: 401,
  // Whoever was removed or disabled learns no more than whoever was never there (rule 31).
  'device-removed': 401,
  'device-disabled': 401,
}

const advices: Record<(typeof reasons)[Reason]['retry'], string> = {
  now: 'Ask again.',
  later: 'Ask again after Retry-After.',
  elsewhere: 'Ask again after Retry-After; another gateway may answer.',
  never: 'Repeating it changes nothing: mend the request or the configuration.',
}

export type ReasonProblem = Exclude<Reason, 'device-removed' | 'device-disabled'>

/** Said alike, so that nobody learns who exists. */
export const nameOf = (reason: Reason): ReasonProblem =>
  reason === 'device-removed' || reason === 'device-disabled' ? 'unauthorized' : reason

export const problemOfReason = (reason: Reason): Problem => ({
  status: statuses[reason],
  title: reasons[reason].text,
  advice: advices[reasons[reason].retry],
})

/** Whether to come again is said, and when where nobody said it: this many ms. */
export const retryOfReason = (reason: Reason, otherwiseMs: number): number | undefined =>
  reasons[reason].retry === 'never' ? undefined : otherwiseMs
