import type { CommandId, Delivery, EndStatus, Expect } from './command.ts'
import type { AppId, BroadcastId, ChannelName, DeviceId, KeyName, TagName } from './ids.ts'
import type { Asked, IdempotencyKey } from './mailbox.ts'

/**
 * One call for every device of a tag: who they were at that moment, and what became of each.
 *
 *     members  | placed: each has its command        | waiting, in order of name |
 *              | open | delivered | done | dropped … |                           |
 *
 * Members are placed by `Mailbox.append` with `Command.broadcast`, in the command's own batch, so
 * that after a crash nobody is placed twice; their commands are counted here as they end.
 *
 * Exam: test/exams/broadcasts.exam.ts.
 */
export interface Broadcasts {
  /**
   * Keep it with its members, which are read while it is made. Resolves once all of it is durable;
   * of one that a crash cut short nothing is left.
   */
  create(
    broadcast: NewBroadcast,
    members: AsyncIterable<readonly DeviceId[]>,
    options: CreateBroadcast,
  ): Promise<BroadcastMade>
  /**
   * What this key was answered with, for who is about to refuse, as `Mailbox.asked`. The broadcast
   * itself may be forgotten by now.
   * @throws StoreUnavailable, as a rejection
   */
  asked(app: AppId, asked: IdempotencyKey): Promise<Asked | undefined>
  /**
   * At once, though one that is over may have to be read.
   * @throws StoreUnavailable
   */
  find(app: AppId, id: BroadcastId): Broadcast | undefined
  /**
   * Newest first.
   * @throws StoreUnavailable
   */
  list(app: AppId, query: { readonly after?: BroadcastId; readonly limit: number }): BroadcastPage
  /** Those of all apps that run and have members waiting, oldest first: what to go on with after a start. */
  running(): readonly Broadcast[]
  /** The next members that have no command yet, in order of name. */
  waiting(app: AppId, id: BroadcastId, max: number): Promise<readonly DeviceId[]>
  /** Place no more of its members. Resolves with it as it is now once that is durable; undefined: unknown, or gone since. */
  stop(app: AppId, id: BroadcastId, why: string): Promise<Broadcast | undefined>
  /** Its members in order of name, each with its command once it has one. */
  members(
    app: AppId,
    id: BroadcastId,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<BroadcastMembers>
  /** Forget those made before and not running, or all of one app. Resolves with how many went. */
  purge(beforeMs: number, app?: AppId): Promise<number>
}

/** What every member gets; times count from when it is placed. */
export interface BroadcastCommand {
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
  readonly callback?: string
  /** As of a single command: of the call that asked, for every member. */
  readonly traceparent?: string
}

export interface NewBroadcast {
  readonly app: AppId
  readonly id: BroadcastId
  readonly tag: TagName
  readonly askedBy: KeyName
  readonly createdAtMs: number
  readonly command: BroadcastCommand
  /** Members placed a second, at most; undefined: as fast as it goes. */
  readonly ratePerSecond?: number
  /** Place no more once so many have ended other than `delivered` or `done`. */
  readonly stopAfterFailures?: number
}

export interface Broadcast extends NewBroadcast {
  /** `stopped`: members still waiting get nothing, `why` says so. */
  readonly state: 'running' | 'placed' | 'stopped'
  readonly why?: string
  readonly devices: number
  readonly waiting: number
  readonly open: number
  readonly ended: Readonly<Partial<Record<EndStatus, number>>>
}

export interface CreateBroadcast {
  readonly maxDevices: number
  /** Broadcasts kept of one app; at the bound the oldest that is not running goes. */
  readonly maxKept: number
  /** As for commands (rule 28). */
  readonly idempotency?: { readonly key: string; readonly hash: string }
}

export type BroadcastMade =
  | { readonly kind: 'kept'; readonly broadcast: Broadcast }
  | { readonly kind: 'repeat'; readonly id: BroadcastId }
  | { readonly kind: 'conflict'; readonly id: string }
  /** The tag has more devices than `maxDevices`. */
  | { readonly kind: 'too-many'; readonly max: number }
  /** As many as may be are running, of this app or of all. */
  | { readonly kind: 'busy'; readonly max: number }
  | { readonly kind: 'unavailable'; readonly full: boolean }

export interface BroadcastPage {
  readonly items: readonly Broadcast[]
  readonly next: BroadcastId | undefined
}

export interface BroadcastMembers {
  readonly items: readonly { readonly device: DeviceId; readonly command?: CommandId }[]
  readonly next: DeviceId | undefined
}

/** Ends that count as failures for `stopAfterFailures`. */
export const isFailure = (status: EndStatus): boolean =>
  status !== 'delivered' && status !== 'done' && status !== 'canceled' && status !== 'superseded'
