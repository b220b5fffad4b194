import type { KeptCommand, Reply } from './command.ts'
import type { Uplink } from './event.ts'
import type { AppId, ChannelId, ChannelName, DeviceId, LinkId } from './ids.ts'
import type { Epoch, Offset, Position, Sequence, Stamp } from './position.ts'
import type { Reason } from './reasons.ts'
import type { Trail } from './recorder.ts'
import type { Answered, TakenHere } from './source.ts'

/**
 * The adapter's end of a live attachment: what the core may do to a device.
 * Made by an adapter, held by a channel. All methods return at once and never throw.
 */
export interface Link {
  readonly id: LinkId
  /** For logs and metrics. The core never branches on it. */
  readonly protocol: string
  /** Remote address, for logs. */
  readonly peer: string
  /** Its connection's record, as its device. Left out: the core makes one of its `id`. */
  readonly trail?: Trail
  /**
   * What its client calls itself, where its protocol lets it say: who comes back under the same name
   * after a silence takes over from itself, and fights with nobody (rule 18).
   */
  readonly client?: string | undefined
  /** The device that speaks for this one, if it is not itself: it has proved itself, and is granted. */
  readonly via?: DeviceId | undefined
  /**
   * False: nothing tells whether what it writes arrives (MQTT QoS 0). A command is written once and
   * takes no room in the window; it ends `in-doubt` at once, or by its reply (rule 23). Left out: true.
   */
  readonly acknowledges?: boolean
  /** Whether this link can carry a command at all; false: it is larger than the device takes. */
  carries(command: KeptCommand): boolean
  /**
   * Write one command. 'open': taken. 'full': taken, but no more until `Session.drained`; what is
   * already on its way in this turn, at most a window, is taken too.
   */
  deliver(downlink: Downlink): 'open' | 'full'
  /** Ask for a sign of life; it arrives as `Session.touch`. False: this protocol cannot ask. */
  probe(): boolean
  /**
   * Does it read its device at present? False while too many of its uplinks are unanswered: then the
   * silence is ours. Left out: always.
   */
  reads?(): boolean
  /**
   * 'shared': beside other channels on one connection; 'own': on one of its own. Asked when its
   * channel is, or ceases to be, independent (`ChannelSettings.connection`). Left out or undefined:
   * its protocol has no such thing, or its device would not understand.
   */
  connection?(): 'shared' | 'own' | undefined
  /**
   * Its time is over: ask it to come back within `spreadMs`, in the protocol's own words, once what it
   * has said is kept; then end, by `Session.detach`. Left out: it may last for ever.
   */
  leave?(spreadMs: number): void
  /** Say why in the protocol's own words, then end. A second call does nothing. */
  close(reason: Reason, retryAfterMs?: number): void
  /**
   * Why its adapter ended it, for what the device did or was; asked at a detach that is not graceful.
   * Left out or undefined: it is lost, nobody said anything.
   */
  ended?(): Reason | undefined
}

/** A command on its way down a link. */
export interface Downlink {
  readonly command: KeptCommand
  /** True when it may have been written before, on this link or an older one. */
  readonly repeated: boolean
}

/** What a device says of itself when it attaches to one channel. It has been authenticated. */
export interface Hello {
  readonly app: AppId
  readonly device: DeviceId
  readonly channel: ChannelName
  /** Asked for, ms; undefined: the core chooses. */
  readonly keepaliveMs?: number
  /**
   * True: its adapter decides when silence is death, by the rules of its protocol, and ends the link
   * then (MQTT: keep-alives of hours, or none, and a server cannot ask, rule 21). The core sets no
   * dead-line and does not look at `keepaliveMs`.
   */
  readonly adapterWatches?: boolean
  /**
   * It can be told while connected how long it may be silent: then the core finds that out, and
   * `keepaliveMs` is not looked at. See {@link Session.renewKeepalive}.
   */
  readonly silence?: Silence
  /** How many commands it takes before it must acknowledge one; at least 1. */
  readonly windowMaxCommands?: number
  /** Where it believes it stands; absent: from the stored cursor. */
  readonly resumeFrom?: Position
  /** The epoch in which it numbers its uplinks; absent: it does not. */
  readonly uplinkEpoch?: Epoch
  /** Its device has just given up a link for this one: it was here, and takes nobody's place. */
  readonly goesOn?: boolean
}

/** What the core must know to learn how long a device may be silent. */
export interface Silence {
  /** Names the network it comes from; an identifier. What forgets connections is there. */
  readonly network: string
  /** What the device allows, ms; left out: what its class allows. */
  readonly minMs?: number
  readonly maxMs?: number
  /** Where to begin while nothing is known, ms; left out: `keepaliveStartMs`. */
  readonly startMs?: number
  /** How many intervals it waits for the answer to a sign of life; left out: seconds only. */
  readonly patience?: number
}

/**
 * How long one device may be silent in one network, as far as that is known; made by the core. For
 * adapters that decide themselves when silence is death: see `Core.pulse`.
 */
export interface Pulse {
  /** What to tell it, ms. */
  grant(): number
  /** A sign of life, at `nowMs`, after silence since then. Call before that silence is forgotten. */
  heard(silence: SilentSince, nowMs: number): void
  /** Its connection is over, silent since then. Only what was given up for silence, or taken over, counts. */
  left(silence: SilentSince, why: Reason | 'lost'): void
}

export interface SilentSince {
  readonly silentFromMs: number
  /** What it had been granted. */
  readonly keepaliveMs: number
}

/** The answer to an attach. Refusals are values: they happen every minute. */
export type Attached =
  | {
      readonly kind: 'session'
      readonly session: Session
      /** Its channel is independent: nothing else may join it on its connection. */
      readonly independent?: boolean
    }
  | { readonly kind: 'refused'; readonly reason: Reason; readonly retryAfterMs?: number }

/**
 * The core's end of the same attachment: what a device may do to the core.
 * Made by `Core.attach`, held by the adapter; calls after its end do nothing, save `reply`,
 * since a reply is a fact whoever brings it (`rules.md` 19).
 */
export interface Session {
  readonly channel: ChannelId
  /**
   * 'resumed': from the device's position. 'fresh': it gave none. 'tail-lost': it stood where this
   * store has never been; replayed from the stored cursor, repeats possible.
   */
  readonly resumed: 'resumed' | 'fresh' | 'tail-lost'
  /** What delivery starts after; its epoch is the one in which coming appends are numbered. */
  readonly position: Position
  /** Last sequence kept of the uplink epoch in Hello; 0 for none (rule 15). */
  readonly uplinkKept: Sequence
  /**
   * Granted, ms. The core declares the device dead 1.25 × this + 10 s after its last sign of life;
   * Infinity where the adapter watches.
   */
  readonly keepaliveMs: number
  /**
   * It can be told a new one now: what to tell, ms. From then on that is what is granted. Call where
   * the protocol has room for it, after `touch`; without {@link Hello.silence} it never changes.
   */
  renewKeepalive(): number
  readonly windowMaxCommands: number

  /** The adapter has told the device of all this; commands may follow. Call once. */
  start(): void
  /**
   * Take uplinks, in order; as `Intake.receive`, of the channel it is attached to. Of
   * `Uplink.once` it knows nothing. What is numbered in the epoch of Hello is never 'stale'.
   */
  receive(uplinks: readonly Uplink[], settled: (outcome: TakenHere) => void): void
  /**
   * The device's end has this one: PUBACK, CoAP ACK. Repeating it does nothing.
   * 'unknown': neither sent nor resumed past in this session, a protocol error (rule 12).
   */
  acknowledge(offset: Offset): 'ok' | 'unknown'
  /** It has all up to and with this one: Pike ACK, HTTP `after`. */
  acknowledgeUpTo(offset: Offset): 'ok' | 'unknown'
  /**
   * The device answered a command; acknowledges it too.
   * 'unknown': there is no such command; the reply is not kept, do not ask for it again.
   */
  reply(reply: DeviceReply, settled: (outcome: Answered) => void): void
  /** A sign of life. Call for whatever arrives. */
  touch(): void
  /** There is room again after `deliver` said 'full'. */
  drained(): void
  /**
   * The link is gone. `graceful`: the device said goodbye, or a polling device was answered and has
   * not come again. `backAtMs`: it said that it comes back then, and is asleep until, not offline
   * (rule 22).
   */
  detach(graceful: boolean, backAtMs?: number): void
}

/**
 * A reply names its command by where it was numbered; of one that was scheduled by what its id says,
 * `scheduledEpoch` and the number there.
 */
export interface DeviceReply extends Reply {
  readonly epoch: Epoch
  readonly offset: Offset
  readonly stamp?: Stamp
}
