import { closeCode } from '../../adapters/pike/frames.ts'
import type { Cause } from '../lifecycle.ts'
import type { PikeClientOptions } from '../options.ts'
import type { Lane } from './lane.ts'

/** What no gateway can help. */
export function whyNever(
  { tls, device }: PikeClientOptions,
  lanes: readonly Lane[],
): Cause | undefined {
  const never = (text: string): Cause => ({
    ...{ kind: 'closed', code: closeCode.unsupported, retryAfterMs: 0, text },
  })
  if (tls !== undefined && tls !== false)
    return never('CoAP has no DTLS yet: connect without TLS, in a network you trust')
  if (lanes.some((lane) => !lane.fits(device)))
    return never('the names of device and channel are too long for CoAP')
  return undefined
}

/** A refusal: an answer, or the last notification of an observation. */
export interface Refused {
  readonly code: string
  readonly payload: Buffer
  readonly maxAgeMs: number | undefined
}

const codes = new Map<string, number>([
  ['4.00', closeCode['protocol-error']],
  ['4.01', closeCode.unauthorized],
  ['4.02', closeCode.unsupported],
  ['4.04', closeCode['unknown-channel']],
  ['4.13', closeCode['too-large']],
  ['4.29', closeCode['rate-limited']],
  ['5.03', closeCode.unavailable],
])

/** Why the gateway does not want it, in the words that the life cycle knows. */
export function causeOf({ code, payload, maxAgeMs = 0 }: Refused): Cause {
  const text = payload.toString('utf8', 0, 200) || `refused (${code})`
  const known = codes.get(code) ?? closeCode.unavailable
  return { kind: 'closed', code: known, retryAfterMs: maxAgeMs, text }
}
