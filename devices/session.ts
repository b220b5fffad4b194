import type { DeviceKeys } from '../src/secrets/secrets.ts'
import type { DeviceChannel } from './channel.ts'
import type { Downlink } from './downlink.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { Keeper } from './keeper.ts'
import type { Cause } from './lifecycle.ts'
import type { DeviceLimits } from './limits.ts'
import type { PikeClientEvents, PikeClientOptions } from './options.ts'
import type { SendFailure, Slot } from './outbox.ts'
import type { ReconnectPolicy } from './reconnect.ts'

/** 'stays': this one is independent, and its connection is for it alone. */
export type Move = 'independent' | 'shared' | 'stays'

/** What a session tells its client. */
export interface SessionEvents {
  /** Every channel has been welcomed. */
  ready(policy: ReconnectPolicy): void
  /** The server has some of ours. */
  acknowledged(): void
  kept(channel: DeviceChannel, slot: Slot): void
  /** It can never be sent, or the gateway will not have it. */
  notTaken(channel: DeviceChannel, slot: Slot, why: SendFailure): void
  tailLost(report: PikeClientEvents['tailLost'][0]): void
  /**
   * The gateway wants a channel on another connection; the session has let go of what it may not
   * keep. @returns false: nothing changes for this connection.
   */
  moves(channel: DeviceChannel, to: Move): boolean
  /** Nothing follows. Not called when we ended it ourselves. */
  lost(cause: Cause): void
}

/** What a session is made of; all but the connection outlives it. */
export interface SessionParts {
  readonly options: PikeClientOptions
  readonly limits: DeviceLimits
  readonly keeper: Keeper
  /** Those that go by this session. */
  readonly channels: readonly DeviceChannel[]
  /** It is thought to be for one channel that has its connection to itself. */
  readonly independent: boolean
  readonly heartbeat: Heartbeat
  readonly downlink: Downlink
  nowMs(): number
  /** `dueMs` may lie earlier now. */
  changed(): void
  keys(kdf: DeviceKeys['kdf']): Promise<DeviceKeys>
}

/** What a client needs of its channels' way to the gateway, whatever protocol that speaks. */
export interface ClientSession {
  readonly usable: boolean
  /** Ends when nothing of it is open any more. */
  readonly closed: Promise<void>
  /** When `tick` must come if nothing else happens. */
  readonly dueMs: number
  tick(nowMs: number): void
  /** Is something overdue? Asked on each beat and each send. */
  checkLife(nowMs: number): void
  /** An event that is not worth keeping. */
  writeUnreliable(
    channel: DeviceChannel,
    name: string,
    payload: Uint8Array,
    binary: boolean,
  ): 'written' | 'busy'
  /** One more channel goes this way; for protocols in which the gateway can say so. */
  add?(channel: DeviceChannel): void
  /** Write what may be written, at the end of this turn. */
  scheduleFlush(): void
  /** `politely`: say goodbye; else the bytes under way must not arrive later. */
  end(politely: boolean): void
}

/** Connects by itself; the storage must be loaded. */
export type OpenSession = (parts: SessionParts, events: SessionEvents) => ClientSession
