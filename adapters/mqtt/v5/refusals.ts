import { reasons } from '../../../src/contract/index.ts'
import type { Published } from '../said.ts'
import { type Code, code } from './packets.ts'

/** Why a publish is not taken, for its PUBACK or PUBREC. */
export interface Refusal {
  readonly code: Code
  readonly text: string
}

/** Ways a publish can go that are neither "kept" nor "try again". */
export type Refused = Exclude<Published, 'kept' | 'unavailable'> | 'bad-stamp' | 'bad-status'

export const refusals: Readonly<Record<Refused, Refusal>> = {
  'bad-stamp': {
    code: code.payloadFormatInvalid,
    text: 'pike-stamp is not epoch.sequence, two decimal numbers from 1',
  },
  'bad-status': {
    code: code.payloadFormatInvalid,
    text: 'pike-status is done, failed or rejected',
  },
  stale: {
    code: code.implementationSpecific,
    text: 'its stamp lies too far back to tell whether it is a repeat',
  },
  unknown: { code: code.topicNameInvalid, text: 'this device has no such command' },
  'foreign-topic': { code: code.notAuthorized, text: 'no topic of this device' },
  'bad-name': { code: code.topicNameInvalid, text: 'a name or reason that is too long' },
  'too-large': { code: code.quotaExceeded, text: 'a payload over the limit' },
  'unknown-channel': { code: code.topicNameInvalid, text: reasons['unknown-channel'].text },
}

/**
 * What a device says by refusing the message of a command (PUBACK of 0x80 and above): the command is
 * rejected, and this is why.
 */
export const deviceReasons: ReadonlyMap<number, string> = new Map([
  [code.unspecified, 'unspecified'],
  [code.implementationSpecific, 'implementation-specific'],
  [code.notAuthorized, 'not-authorized'],
  [code.topicNameInvalid, 'topic-name-invalid'],
  [code.packetIdInUse, 'packet-id-in-use'],
  [code.quotaExceeded, 'quota-exceeded'],
  [code.payloadFormatInvalid, 'payload-format-invalid'],
])

/** Those of ours that CONNACK may carry (§3.2.2.2); others mean that there was no CONNECT. */
export const connackCodes: ReadonlySet<Code> = new Set<Code>([
  code.unspecified,
  code.malformed,
  code.protocolError,
  code.implementationSpecific,
  code.unsupportedVersion,
  code.clientIdNotValid,
  code.badUserOrPassword,
  code.notAuthorized,
  code.serverUnavailable,
  code.serverBusy,
  code.badAuthenticationMethod,
  code.topicNameInvalid,
  code.packetTooLarge,
  code.quotaExceeded,
  code.payloadFormatInvalid,
  code.retainNotSupported,
  code.connectionRateExceeded,
])
