import type { CommandId } from './command.ts'
import type { AppId, ChannelName, DeviceId, LinkId } from './ids.ts'
import type { Epoch, Offset, Sequence } from './position.ts'
import type { Reason } from './reasons.ts'

/**
 * The flight recorder: what happened last, of every device, always on, in one bounded ring.
 *
 *     adapter ── connect ──▶ Trail ── as(app, device, channel) ──▶ Trail ── frame, note ──▶ ring ──▶ trace
 *
 * Whoever has not proved itself is recorded by its connection only, in a ring of its own, so that
 * strangers cannot wash away what is known of devices. Never tell it a secret, a proof or a key.
 */
export interface Recorder {
  /** A connection begins. `token` names it in public: no secret, no address, never used twice. */
  connect(token: LinkId, protocol: string, peer: string): Trail
}

/** The record of one connection, or of one device on it. Calls return at once and never throw. */
export interface Trail {
  readonly token: LinkId
  /** This connection as a device that has proved itself there; `channel`: where it is of one. */
  as(app: AppId, device: DeviceId, channel?: ChannelName): Trail
  /**
   * A frame, packet or request, in the words of its protocol: `COMMAND`, `PUBACK`, `2.05`. Of a device
   * it is of the moment at which anybody looked at the clock last: look at it for what arrives, as
   * signs of life do, before it is told here; what leaves follows from that.
   * @param bytes what it took on the wire, 0 where nobody knows.
   */
  frame(way: 'in' | 'out', type: string, bytes: number, seen?: Seen): void
  /** A change of state: `attached`, `refused`, `detached`. */
  note(type: string, seen?: Seen): void
  /** The connection is over, as a whole; a second call does nothing. */
  end(reason: Reason | 'lost'): void
}

/**
 * What there is to say of a frame or a change. Texts must exist already, and be short: they are
 * kept by reference. Of a payload the beginning is copied.
 */
export interface Seen {
  readonly channel?: ChannelName | undefined
  /** {@link byPlace}: the one that lies at `epoch` and `offset` of the channel. */
  readonly command?: CommandId | undefined
  readonly epoch?: Epoch | undefined
  readonly offset?: Offset | undefined
  readonly sequence?: Sequence | undefined
  readonly name?: string | undefined
  readonly payload?: Uint8Array | undefined
  /** A status, a reason, a code: one word. */
  readonly reason?: string | undefined
  /** Who or what else: the key that asked, the peer that took over, a packet id. */
  readonly about?: string | undefined
}

/** In place of the id of a command that its place tells: so no text is kept for it. */
export const byPlace = ''

/** One entry, as it is read. */
export interface TraceEntry {
  /** Grows; in the order in which things happened. */
  readonly id: number
  readonly atMs: number
  readonly way: 'in' | 'out' | 'state'
  readonly type: string
  readonly connection?: LinkId
  readonly protocol?: string
  readonly channel?: ChannelName
  readonly command?: CommandId
  readonly epoch?: Epoch
  readonly offset?: Offset
  readonly sequence?: Sequence
  readonly name?: string
  /** On the wire. */
  readonly bytes?: number
  readonly reason?: string
  readonly about?: string
  /** `head`: as much of it as was kept. */
  readonly payload?: { readonly bytes: number; readonly head: Uint8Array }
}

export interface TraceQuery {
  /** Only what came after this entry. */
  readonly after?: number
  /** Only from this moment on. */
  readonly sinceMs?: number
  readonly connection?: LinkId
  /** With `after` or `sinceMs` the first so many of what follows, else the last. */
  readonly limit: number
}

export interface Trace {
  /** Newest last. */
  readonly items: readonly TraceEntry[]
  /** Go on after this. */
  readonly next: number
  /** Nothing lies behind the last item. */
  readonly caughtUp: boolean
  /** The oldest entry of any device that the ring still has; undefined for an empty one. */
  readonly ringFromMs: number | undefined
}

/** A connection that is, or of which the ring still knows. */
export interface ConnectionRecord {
  readonly token: LinkId
  readonly protocol: string
  readonly peer: string
  readonly sinceMs: number
  readonly endedAtMs?: number
  readonly reason?: string
  /** Of the app that asks: who proved to be there. */
  readonly devices: readonly DeviceId[]
  readonly entries: readonly TraceEntry[]
}

/** What back ends may ask of the recorder; part of the `Gateway`. */
export interface Traces {
  trace(app: AppId, device: DeviceId, query: TraceQuery): Trace
  /** Call `heard` after there is more of a device, at most once a turn. @returns stops. */
  follow(app: AppId, device: DeviceId, heard: () => void): () => void
  /** A call for this device, which there is, was not accepted: why, and who asked. */
  refused(app: AppId, device: DeviceId, seen: Seen): void
  /** undefined: never was, is forgotten, or no device of this app is there. */
  connection(app: AppId, token: LinkId, limit: number): ConnectionRecord | undefined
}
