import type { Reason } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import { uintOption } from './codec.ts'
import { code, option } from './codes.ts'
import type { Response } from './exchange.ts'

/** How a reason is said in CoAP, and what becomes of an observation when a link ends by it. */
interface Saying {
  readonly code: number
  /**
   * The device's observation outlasts it: nobody tells the device, which would not hear it or need
   * not know, and the next sign of life attaches it again (rule 25).
   */
  readonly dormant?: true
  readonly retryAfterMs?: number
}

const later = 5_000

/** The contract's reasons in CoAP's codes; one left out does not compile. */
const sayings: Record<Reason, Saying> = {
  normal: { code: code.serviceUnavailable, retryAfterMs: 0 },
  independent: { code: code.serviceUnavailable, retryAfterMs: 0 }, // of connections that carry several
  shared: { code: code.serviceUnavailable, retryAfterMs: 0 },
  // The gateway that comes back knows its observers.
  'going-away': { code: code.serviceUnavailable, dormant: true, retryAfterMs: later },
  'taken-over': { code: code.serviceUnavailable, retryAfterMs: 60_000 },
  conflict: { code: code.serviceUnavailable, retryAfterMs: 60_000 },
  'keepalive-expired': { code: code.serviceUnavailable, dormant: true },
  unresponsive: { code: code.serviceUnavailable, dormant: true },
  'too-slow': { code: code.serviceUnavailable, dormant: true },
  'handshake-timeout': { code: code.serviceUnavailable, retryAfterMs: later },
  overloaded: { code: code.serviceUnavailable, retryAfterMs: later },
  'rate-limited': { code: code.tooManyRequests, retryAfterMs: 60_000 },
  unavailable: { code: code.serviceUnavailable, retryAfterMs: 2_000 },
  malformed: { code: code.badRequest },
  'protocol-error': { code: code.badRequest },
  'too-large': { code: code.requestEntityTooLarge },
  'unknown-channel': { code: code.notFound },
  unsupported: { code: code.badOption },
  unauthorized: { code: code.unauthorized },
  'device-removed': { code: code.unauthorized },
  'device-disabled': { code: code.unauthorized },
}

export const isDormant = (reason: Reason): boolean => sayings[reason].dormant === true

/** True: who got this has no session any more. */
export const endsSession = (reason: Reason): boolean => sayings[reason].code === code.unauthorized

/**
 * @param text for people, RFC 7252 §5.5.2; else the catalogue's words.
 */
export function refusal(reason: Reason, retryAfterMs?: number, text?: string): Response {
  const saying = sayings[reason]
  const waitMs = retryAfterMs ?? saying.retryAfterMs
  return {
    code: saying.code,
    options: waitMs === undefined ? [] : [uintOption(option.maxAge, Math.ceil(waitMs / 1000))],
    payload: Buffer.from(text ?? reasons[reason].text),
  }
}

/** What was asked is wrong in itself. */
export const wrong = (number: number, text: string): Response => ({
  code: number,
  payload: Buffer.from(text),
})
