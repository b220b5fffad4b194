import { closeCode } from '../../adapters/pike/frames.ts'
import type { Cause } from '../lifecycle.ts'

type Reason = keyof typeof closeCode

const closed = (reason: Reason, text: string, retryAfterMs = 0): Cause => ({
  kind: 'closed',
  code: closeCode[reason],
  retryAfterMs,
  text,
})

/** CONNACK return codes of 3.1.1 (§3.2.2.3). */
const connack3: Readonly<Record<number, readonly [Reason, text: string]>> = {
  1: ['unsupported', 'this version of MQTT is not spoken here'],
  2: ['protocol-error', 'the client id is not taken'],
  3: ['unavailable', 'not now'],
  4: ['unauthorized', 'user name or password'],
  5: ['device-removed', 'not authorized'],
}

/** Reason codes of CONNACK and DISCONNECT of MQTT 5, where they mean more than "try again". */
const reasons5: Readonly<Record<number, Reason>> = {
  0: 'normal',
  129: 'malformed',
  130: 'protocol-error',
  131: 'unsupported',
  132: 'unsupported',
  133: 'protocol-error',
  134: 'unauthorized',
  135: 'device-removed',
  137: 'overloaded',
  139: 'going-away',
  140: 'unsupported',
  141: 'keepalive-expired',
  142: 'taken-over',
  144: 'unknown-channel',
  149: 'too-large',
  150: 'rate-limited',
  151: 'conflict',
  159: 'rate-limited',
}

/** Why the gateway lets us not in. */
export function causeOfConnack(version: 4 | 5, code: number, text: string | undefined): Cause {
  if (version === 5) return closed(reasons5[code] ?? 'unavailable', text ?? `CONNACK ${hex(code)}`)
  const [reason, words] = connack3[code] ?? ['unavailable', `CONNACK ${code}`]
  return closed(reason, words)
}

/** Why it ends what was; MQTT 3 does not say. */
export const causeOfDisconnect = (
  code: number,
  text: string | undefined,
  retryAfterMs: number,
): Cause => closed(reasons5[code] ?? 'unavailable', text ?? `DISCONNECT ${hex(code)}`, retryAfterMs)

/** Is a SUBACK's refusal for now only? Then the gateway ends the connection, and says until when. */
export const passes = (version: 4 | 5, code: number): boolean =>
  version === 5 && (code === 0x97 || code === 0x80)

/** Why a channel is not had. In MQTT 3 one code says that there is none; all else ends the connection. */
export function causeOfSuback(version: 4 | 5, code: number, channel: string): Cause {
  if (version === 5 && code === 0x97) return closed('conflict', 'another takes this channel')
  if (version === 5 && code === 0x80) return closed('unavailable', 'not now')
  return closed('unknown-channel', `the gateway gives us no channel ${channel}`)
}

const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0')}`
