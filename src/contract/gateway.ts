import type { Broadcast, BroadcastCommand } from './broadcast.ts'
import type {
  CommandId,
  Delivery,
  EndedCommand,
  Expect,
  OpenCommand,
  OpenStatus,
  Step,
} from './command.ts'
import type { PresenceState } from './event.ts'
import type {
  AliasName,
  AppId,
  BroadcastId,
  ChannelName,
  DeviceId,
  KeyName,
  TagName,
} from './ids.ts'
import type { Depth } from './mailbox.ts'
import type { DeviceRecord } from './names.ts'
import type { Traces } from './recorder.ts'
import type { SlaSeries } from './sla.ts'

/** The way from back ends to the hub: what `api` and `cli` may ask of it. */
export interface Gateway {
  /** Accept one command. Resolves once kept, or with why not; never rejects. */
  submit(request: SubmitRequest): Promise<Submitted>
  /** May answer at once. undefined: no such command in this app. */
  status(app: AppId, id: CommandId): Promise<CommandStatus | undefined>
  /** As `status`, but held until the command has ended or the time is over. */
  wait(app: AppId, id: CommandId, timeoutMs: number): Promise<CommandStatus | undefined>
  cancel(app: AppId, id: CommandId): Promise<Canceled>
  /** One command for every device of a tag, placed at its own pace (rule 27). Resolves once kept. */
  broadcast(request: BroadcastRequest): Promise<Broadcasted>
  /**
   * Place no more of its members, and cancel those of its commands that were never sent. undefined:
   * unknown. Repeating it goes on where it stopped.
   * @throws StoreUnavailable, as a rejection
   */
  stopBroadcast(app: AppId, id: BroadcastId): Promise<Broadcast | undefined>
  explain(app: AppId, id: CommandId): Promise<Explanation | undefined>
  /** What happened last, of one device. */
  readonly traces: Traces
  presence(app: AppId, device: DeviceId): Presence
  /** How long it may be silent, as far as that is at hand. */
  keepalive(app: AppId, device: DeviceId): Keepalive
  depth(app: AppId, device: DeviceId): Promise<Depth>
  /** End its commands (rule 7), close its links, forget it. False: there was none. */
  removeDevice(app: AppId, device: DeviceId): Promise<boolean>
  /** Close all it is there by, since it was disabled. */
  refuseDevice(app: AppId, device: DeviceId): void
  /** Its record was changed, and is kept: what it is there by may have to end for that. */
  deviceChanged(before: DeviceRecord, after: DeviceRecord): void
  /** Is everything that is needed to accept commands there? */
  ready(): { readonly ok: boolean; readonly why?: string }
  figures(): Readonly<Record<string, number>>
  sla(): readonly SlaSeries[]
}

/** To whom: a device, or whoever an alias stands for now (rule 27). */
export type Addressee =
  | { readonly device: DeviceId; readonly alias?: never }
  | { readonly alias: AliasName; readonly device?: never }

export interface SubmitRequest {
  readonly app: AppId
  readonly to: Addressee
  readonly channel: ChannelName
  readonly name: string
  readonly payload: Uint8Array
  readonly contentType: string
  readonly delivery: Delivery
  readonly expect: Expect
  /** undefined: the default of its delivery. */
  readonly ttlMs?: number
  readonly replyTimeoutMs?: number
  readonly collapse?: string
  /** Not handed over before; its time to live counts from then. */
  readonly notBeforeMs?: number
  /** Where the outcome is posted to. Checked by the caller. */
  readonly callback?: string
  /** `traceparent` of W3C Trace Context. Checked by the caller. */
  readonly traceparent?: string
  readonly askedBy: KeyName
  /** `hash` covers route and body. */
  readonly idempotency?: { readonly key: string; readonly hash: string }
  /** It waits where it is `limited`: some of the quota is left for calls that do not. */
  readonly patient?: boolean
}

export type Submitted =
  | { readonly kind: 'accepted'; readonly status: CommandStatus }
  | { readonly kind: 'unknown-device' }
  /** Nobody has it, or it has expired. */
  | { readonly kind: 'unknown-alias' }
  /** Over the app's quota. */
  | { readonly kind: 'limited'; readonly retryAfterMs: number }
  /** As many commands of this channel, or in all, are scheduled as may be. */
  | { readonly kind: 'schedule-full'; readonly max: number; readonly retryAfterMs: number }
  | { readonly kind: 'unknown-channel' }
  | { readonly kind: 'device-disabled' }
  | { readonly kind: 'full'; readonly depth: Depth; readonly retryAfterMs: number }
  | { readonly kind: 'conflict'; readonly id: CommandId }
  /** It was accepted when it was first asked for; its outcome is not kept any more. */
  | { readonly kind: 'forgotten'; readonly id: CommandId }
  | { readonly kind: 'unavailable'; readonly full: boolean }

export interface BroadcastRequest {
  readonly app: AppId
  readonly tag: TagName
  readonly command: BroadcastCommand
  readonly ratePerSecond?: number
  readonly stopAfterFailures?: number
  readonly askedBy: KeyName
  readonly idempotency?: { readonly key: string; readonly hash: string }
  /** As for one command. */
  readonly patient?: boolean
}

export type Broadcasted =
  | { readonly kind: 'accepted'; readonly broadcast: Broadcast }
  /** No device has it. */
  | { readonly kind: 'unknown-tag' }
  | { readonly kind: 'too-many'; readonly max: number }
  | { readonly kind: 'busy'; readonly max: number; readonly retryAfterMs: number }
  | { readonly kind: 'conflict'; readonly id: string }
  /** It was accepted when it was first asked for, and is not known any more. */
  | { readonly kind: 'forgotten'; readonly id: BroadcastId }
  | { readonly kind: 'limited'; readonly retryAfterMs: number }
  | { readonly kind: 'unavailable'; readonly full: boolean }

export type CommandStatus =
  | {
      readonly kind: 'open'
      readonly status: OpenStatus
      readonly command: OpenCommand
      readonly timeline: readonly Step[]
    }
  | { readonly kind: 'ended'; readonly command: EndedCommand }

export type Canceled =
  | { readonly kind: 'canceled'; readonly command: EndedCommand }
  | { readonly kind: 'too-late'; readonly status: CommandStatus }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'unavailable' }

/**
 * Why a command is where it is: a code for programs, a sentence for people.
 *
 *     scheduled   waiting.not-before  waiting.place
 *     queued      waiting.no-link  .asleep  .session  .turn  .window-full  .link-full  .store  .pump
 *     sent        waiting.acknowledgement  .probe  .device-after-sent  .repeat  .unacknowledged
 *     delivered   waiting.reply
 *     any         waiting.store-away  waiting.expiry-held
 *     ended       ended.STATUS or ended.STATUS.REASON; a device's own word is no REASON
 */
export interface Explanation {
  readonly code: string
  readonly sentence: string
  readonly status: CommandStatus
  readonly session?: {
    readonly connection: string
    readonly protocol: string
    readonly peer: string
    readonly sinceMs: number
    readonly heardAtMs: number
    readonly inFlight: number
    readonly windowMaxCommands: number
  }
  /** The oldest undelivered command of its channel, which all others wait for. */
  readonly head?: CommandId
  readonly lastAcknowledgedAtMs?: number
  /** When something happens to it if nobody says anything. */
  readonly nextAtMs?: number
}

/** How long a device may be silent; see `docs/keep-alive.md`. */
export interface Keepalive {
  /** As it was told, ms; the least of its connections. undefined: it has none that the core watches. */
  readonly grantedMs: number | undefined
  /**
   * The longest silence that a connection of it has survived in the network it came from last, ms.
   * undefined: none yet, or forgotten by this process since it was last here.
   */
  readonly provenMs: number | undefined
}

export interface Presence {
  readonly state: PresenceState
  readonly sinceMs: number | undefined
  /** Last proof of life. */
  readonly heardAtMs: number | undefined
  readonly protocol: string | undefined
  /** The device that speaks for it now, if one does. */
  readonly via?: DeviceId | undefined
  readonly reason?: string
  /** Of its last change, as in the event that told it. */
  readonly term?: number
  /** While it is `asleep`: when it said that it comes back. */
  readonly backAtMs?: number
}
