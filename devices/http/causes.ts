import { closeCode } from '../../adapters/pike/frames.ts'
import type { Cause } from '../lifecycle.ts'
import type { Answer } from './requests.ts'

/** Why it is refused, in the words that the life cycle knows. */
export function causeOf({ status, retryAfterMs, text }: Answer): Cause {
  if (status === 0) return { kind: 'local', text: 'the connection was lost' }
  return causeOfProblem(text, retryAfterMs)
}

export function causeOfProblem(text: string, retryAfterMs: number): Cause {
  const { type = '', title = '' } = problemOf(text) ?? {}
  const code = Object.hasOwn(closeCode, type) ? closeCode[type as keyof typeof closeCode] : 72
  return { kind: 'closed', code, retryAfterMs, text: title || 'refused' }
}

/** undefined: not from our gateway; it may be from whatever stands before it. */
export function problemOf(
  text: string,
): { readonly type: string; readonly title: string } | undefined {
  try {
    const { type, title } = JSON.parse(text) as { type?: unknown; title?: unknown }
    if (typeof type !== 'string' || !type.startsWith(ours)) return undefined
    return { type: type.slice(ours.length), title: String(title) }
  } catch {
    return undefined
  }
}

const ours = '/problems/'
