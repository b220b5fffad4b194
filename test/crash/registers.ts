import { type Called, isUnavailable } from './caller.ts'
import type { Answer } from './http.ts'
import type { Journal } from './journal.ts'

/** What one change means for one register. */
export interface Change {
  readonly register: string
  readonly value: string
}

/**
 * Write down what a call changed. `isDone`: the answer says so. Anything else that is not "not now"
 * is a refusal, and changed nothing.
 *
 * @returns whether it is known how the registers stand now.
 */
export function noteWrite(
  journal: Journal,
  called: Called,
  changes: readonly Change[],
  isDone: (answer: Answer) => boolean,
): 'done' | 'refused' | 'unclear' {
  if (called.kind === 'unreached') return 'refused'
  const { askedAtMs } = called
  const unclear = called.kind === 'unclear' || isUnavailable(called.answer)
  if (!unclear && !isDone(called.answer)) return 'refused'
  const answeredAtMs = unclear ? undefined : called.answeredAtMs
  const verdict = unclear ? 'unclear' : 'kept'
  for (const change of changes) {
    journal.writes.push({ ...change, askedAtMs, answeredAtMs, verdict })
  }
  return unclear ? 'unclear' : 'done'
}

/** Write down what an answer showed. */
export function noteRead(
  journal: Journal,
  { askedAtMs, answeredAtMs }: Extract<Called, { kind: 'answered' }>,
  reads: readonly Change[],
  by: string,
): void {
  for (const read of reads) journal.reads.push({ ...read, askedAtMs, answeredAtMs, by })
}
