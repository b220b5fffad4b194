import type { DeviceId, KeptCommand, Reason, Trail } from '../../src/contract/index.ts'
import type { Identity } from './template.ts'

/** Whose it is. */
export interface Addressee extends Identity {
  /** Who speaks for that device on this connection, if not itself. */
  readonly via?: DeviceId | undefined
}

/** A command on its way to a client. */
export interface Outgoing {
  readonly channel: Addressee
  readonly topic: string
  readonly qos: 0 | 1
  /** 0 at QoS 0. */
  readonly messageId: number
  /** It may have been written before, on this connection or an older one. */
  readonly dup: boolean
  readonly command: KeptCommand
}

/** What a client of any version needs of its connection. */
export interface Wire {
  /** For logs and metrics: `mqtt`, `mqtt5`. */
  readonly protocol: string
  readonly peer: string
  /** Why we end it; 'lost': we do not. */
  readonly why: Reason | 'lost'
  /** Who is there has proved it. @returns the connection's record, as that. */
  proved(app: string, device: string): Trail
  /** Publishes at QoS 1 it takes before it must acknowledge one. */
  readonly receiveMaximum: number
  /** False: larger than the client takes. */
  carries(topic: string, command: KeptCommand, channel: Addressee): boolean
  publish(message: Outgoing): void
  /** Say something that is no command, at QoS 0. */
  tell(topic: string, payload: Uint8Array): void
  /** So much waits for the client that no more should be sent. */
  isFull(): boolean
  /** Read no more, until told otherwise. */
  hold(held: boolean): void
  /** Ask it to come back then, once what it has said is kept; then end. */
  goAway(backInMs: number): void
  /** Say why in the version's own words where it has any, then end, or reset (rule 20). */
  close(reason: Reason, retryAfterMs?: number): void
}
