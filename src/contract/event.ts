import type { CommandId, EndedCommand, Reply } from './command.ts'
import type { AppId, ChannelName, DeviceId } from './ids.ts'
import type { Stamp } from './position.ts'

/**
 * Place of an event in the log of its app: `epoch-sequence`, both lower-case base 36, the sequence
 * padded to ten digits so that ids of one epoch sort as text.
 */
export type EventId = string

/** What a device says. The payload is opaque: the core moves bytes and never reads them. */
export interface Uplink {
  readonly name: string
  readonly payload: Uint8Array
  readonly contentType: string
  /** Absent where the protocol does not number messages; then it is kept once per arrival. */
  readonly stamp?: Stamp
  /**
   * The protocol says this may be a repeat and there is no stamp to tell (MQTT DUP). With `once` it
   * is not kept where that tells.
   */
  readonly maybeRepeat?: boolean
  /** Nobody expects it to be acknowledged (Pike without a sequence, MQTT QoS 0): under overload it is dropped. */
  readonly expendable?: true
  /**
   * The protocol says that what comes again under this name is the same message, until
   * `Intake.forget`: MQTT QoS 2, client id and packet id. At most 64 bytes; kept in the event's
   * batch (rule 17), `onceMaxPending` of a channel.
   */
  readonly once?: string
}

export type PresenceState = 'online' | 'suspect' | 'asleep' | 'offline'

interface About {
  readonly app: AppId
  readonly device: DeviceId
  readonly channel?: ChannelName
  readonly atMs: number
}

/** What back ends read. `kind` is the `type` of `product.md`. */
export type NewEvent = About &
  (
    | ({ readonly kind: 'event' } & Uplink)
    | {
        readonly kind: 'reply'
        readonly command: CommandId
        readonly reply: Reply
        readonly stamp?: Stamp
        /** Of the command. */
        readonly traceparent?: string
      }
    | {
        readonly kind: 'presence'
        readonly state: PresenceState
        /** Larger than that of every change of this device before it, also over restarts. */
        readonly term?: number
        /** Last proof of life; left out: now. */
        readonly heardAtMs?: number
        readonly protocol?: string
        /** Who speaks for it there, or did; left out: itself. */
        readonly via?: DeviceId
        readonly reason?: string
      }
    | { readonly kind: 'command.ended'; readonly ended: EndedCommand }
    | {
        /** Proof that came after the end; the outcome does not change. `rules.md` 8. */
        readonly kind: 'command.late'
        readonly command: CommandId
        readonly proof: 'acknowledged' | 'reply'
        readonly reply?: Reply
        /** Of the command, where a reply came. */
        readonly traceparent?: string
      }
    | {
        /** Two clients fight for one channel. `rules.md` 18. */
        readonly kind: 'session.conflict'
        readonly holdMs: number
      }
    | {
        /** A device stood where this store has never been; replayed from the stored cursor. */
        readonly kind: 'position.unknown'
        readonly claimed: { readonly epoch: number; readonly offset: number }
      }
  )

export type EventKind = NewEvent['kind']

export const eventKinds: readonly EventKind[] = [
  'event',
  'reply',
  'presence',
  'command.ended',
  'command.late',
  'session.conflict',
  'position.unknown',
]

/** An event in the log. */
export type KeptEvent = NewEvent & { readonly id: EventId }
