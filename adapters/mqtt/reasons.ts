import { type Reason, reasons } from '../../src/contract/index.ts'

/** How MQTT says a reason, where it can. */
interface Words {
  /** CONNACK return code of 3.x. Source: MQTT 3.1.1 §3.2.2.3. */
  readonly connack3: 1 | 2 | 3 | 4 | 5
  /** Reason code of CONNACK, MQTT 5 §3.2.2.2. */
  readonly connack5: number
  /** Reason code of DISCONNECT, MQTT 5 §3.14.2.1. */
  readonly disconnect5: number
  /** Reason code of SUBACK, MQTT 5 §3.9.3. In 3.x every failure is 0x80. */
  readonly suback5: number
  /** Reason code of PUBACK and PUBREC, MQTT 5 §3.4.2.1. 3.x can only close (§3.3.5). */
  readonly puback5: number
}

const words = (
  connack3: Words['connack3'],
  connack5: number,
  disconnect5: number,
  suback5: number,
  puback5: number,
): Words => ({ connack3, connack5, disconnect5, suback5, puback5 })

/** The contract's reasons in MQTT's words; one left out does not compile. */
export const wordsFor: Readonly<Record<Reason, Words>> = {
  //                         CONNACK 3, 5   DISCONNECT SUBACK PUBACK
  normal: words(3, 0x88, 0x00, 0x80, 0x80),
  independent: words(3, 0x88, 0x00, 0x80, 0x80), // of connections that carry several
  shared: words(3, 0x88, 0x00, 0x80, 0x80),
  'going-away': words(3, 0x88, 0x8b, 0x80, 0x80),
  'taken-over': words(3, 0x97, 0x8e, 0x97, 0x97),
  conflict: words(3, 0x97, 0x97, 0x97, 0x97),
  'keepalive-expired': words(3, 0x88, 0x8d, 0x80, 0x80),
  unresponsive: words(3, 0x88, 0x8d, 0x80, 0x80),
  'too-slow': words(3, 0x88, 0x97, 0x97, 0x97),
  'handshake-timeout': words(3, 0x88, 0x81, 0x80, 0x80),
  overloaded: words(3, 0x97, 0x89, 0x97, 0x97),
  'rate-limited': words(3, 0x9f, 0x96, 0x97, 0x97),
  unavailable: words(3, 0x88, 0x80, 0x80, 0x80),
  malformed: words(5, 0x81, 0x81, 0x80, 0x80),
  'protocol-error': words(5, 0x82, 0x82, 0x80, 0x80),
  'too-large': words(5, 0x95, 0x95, 0x80, 0x97),
  'unknown-channel': words(5, 0x87, 0x90, 0x8f, 0x90),
  unsupported: words(1, 0x84, 0x83, 0x83, 0x83),
  unauthorized: words(4, 0x86, 0x87, 0x87, 0x87),
  'device-removed': words(5, 0x87, 0x87, 0x87, 0x87),
  'device-disabled': words(5, 0x87, 0x87, 0x87, 0x87),
}

/** SUBACK of 3.x for whatever was refused. */
export const subscriptionFailed = 0x80

/** Should the client be closed for this, since nothing else would make it come again in time? */
export const endsConnection = (reason: Reason): boolean => reasons[reason].retry !== 'never'
