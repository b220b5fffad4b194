import { hash } from 'node:crypto'
import { apiBounds } from './bounds.ts'

/**
 * How long a `Prefer` header asks to wait, ms, at most `maxMs`; 0 when it does not. What cannot be
 * understood is passed over. Source: RFC 7240 §2, §4.3.
 */
export function waitAskedMs(prefer: string | string[] | undefined, maxMs: number): number {
  if (prefer === undefined) return 0
  const text = typeof prefer === 'string' ? prefer : prefer.join(',')
  const match = /(?:^|[,;])\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:$|[,;])/i.exec(text)
  return match === null ? 0 : Math.min(Number(match[1]) * 1000, maxMs)
}

/** Visible characters only; two headers of this name join with a space and so do not fit. */
const keyPattern = /^[\x21-\x7e]+$/

export const isIdempotencyKey = (key: unknown): key is string =>
  typeof key === 'string' && key.length <= apiBounds.idempotencyKeyMaxChars && keyPattern.test(key)

/** Rule 28: what an idempotency key stands for, the route and the body as it came. */
export const requestHash = (route: string, body: Uint8Array): string =>
  hash('sha256', Buffer.concat([Buffer.from(`${route}\n`), body]), 'base64url')
