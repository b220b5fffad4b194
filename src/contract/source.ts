import type { CommandId, Reply } from './command.ts'
import type { Uplink } from './event.ts'
import type { AppId, ChannelName, DeviceId } from './ids.ts'
import type { Stamp } from './position.ts'
import type { Reason } from './reasons.ts'
import type { Trail } from './recorder.ts'

/**
 * The adapter's end of a device's way up, for protocols where speaking and receiving are two things:
 * it publishes, posts and replies, and claims no channel by that (rule 18). Pike has no need of it.
 *
 *            adapter                        core
 *      makes a Source ──── admit(source) ────▶
 *      keeps an Intake ◀──────────────────────  makes it: receive, reply, touch, leave
 */
export interface Source {
  readonly app: AppId
  readonly device: DeviceId
  /** As {@link Link.via}. */
  readonly via?: DeviceId | undefined
  /** For logs and metrics. The core never branches on it. */
  readonly protocol: string
  /** Remote address, for logs. */
  readonly peer: string
  /** Its connection's record, as its device, where its adapter keeps one. */
  readonly trail?: Trail
  /**
   * True: it keeps a connection, and its device is online for as long, though perhaps not reachable
   * (rule 22). False: its messages are signs of life, no more.
   */
  readonly stays: boolean
  /** End it: say why in the protocol's own words. Never after `Intake.leave`. A second call does nothing. */
  close(reason: Reason, retryAfterMs?: number): void
  /** As {@link Link.ended}. */
  ended?(): Reason | undefined
}

/** Refusals are values: they happen every minute. */
export type Admitted =
  | { readonly kind: 'intake'; readonly intake: Intake }
  | { readonly kind: 'refused'; readonly reason: Reason; readonly retryAfterMs?: number }

/** The core's end of it. Calls after its end are answered with 'unavailable', save `reply`. */
export interface Intake {
  /**
   * Take uplinks, in order. `settled` is called once for them all: 'kept' (also when they were
   * kept before: answer the device again), 'stale' when a stamp lies too far back to be known: it is
   * not kept and not called a repeat (rule 17), 'unknown-channel', or 'unavailable' (do not
   * acknowledge).
   */
  receive(channel: ChannelName, uplinks: readonly Uplink[], settled: (outcome: Taken) => void): void
  /**
   * The device answered a command, which acknowledges it too; by the id it was given, whatever
   * session it came by. 'unknown': this device has no such command.
   */
  reply(id: CommandId, reply: StampedReply, settled: (outcome: Answered) => void): void
  /**
   * The device will not send the uplink of this {@link Uplink.once} again (MQTT PUBREL). `settled`
   * once that is kept: only then may its packet id be used anew.
   */
  forget(
    channel: ChannelName,
    once: string,
    settled: (outcome: 'kept' | 'unavailable') => void,
  ): void
  /**
   * The same for all names of that channel that begin with this: the client begins anew and its
   * packet ids with it (MQTT clean start).
   */
  forgetAll(
    channel: ChannelName,
    prefix: string,
    settled: (outcome: 'kept' | 'unavailable') => void,
  ): void
  /**
   * Does it want more at present? False while too many of its uplinks are not settled, or its app
   * is over its quota: do not read; `more` is called once when it does again.
   */
  wants(more: () => void): boolean
  /** A sign of life. Call for whatever arrives. */
  touch(): void
  /** It is gone. `graceful`: the device said goodbye. */
  leave(graceful: boolean): void
}

/** What becomes of uplinks of a channel that there is. */
export type TakenHere = 'kept' | 'stale' | 'unavailable'
export type Taken = TakenHere | 'unknown-channel'
export type Answered = 'kept' | 'stale' | 'unknown' | 'unavailable'

export interface StampedReply extends Reply {
  readonly stamp?: Stamp
}
