import { closeCode } from '../../adapters/pike/frames.ts'
import type { Cause } from '../lifecycle.ts'
import type { Answer } from './requests.ts'

/** Why it is refused, in the words that the life cycle knows. */
export function causeOf({ status, retryAfterMs, text }: Answer): Cause {
  if (status === 0) return { kind: 'local', text: 'the connection was lost' }
  return causeOfProblem(text, retryAfterMs)
}

export function causeOfProblem(text: string, retryAfterMs: number): Cause {
  let type = ''
  let title = ''
  try {
    const problem = JSON.parse(text) as { type?: unknown; title?: unknown }
    type = String(problem.type).replace('/problems/', '')
    title = String(problem.title)
  } catch {
    // Not from our gateway; it may be from whatever stands before it.
  }
  const code = Object.hasOwn(closeCode, type) ? closeCode[type as keyof typeof closeCode] : 72
  return { kind: 'closed', code, retryAfterMs, text: title || 'refused' }
}
