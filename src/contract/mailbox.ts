import type {
  Command,
  CommandId,
  EndedCommand,
  EndStatus,
  KeptCommand,
  OpenCommand,
  Reply,
  Step,
} from './command.ts'
import type { NewEvent } from './event.ts'
import type { AppId, ChannelId, DeviceKey } from './ids.ts'
import type { Epoch, EpochSpan, Offset } from './position.ts'

/**
 * Commands that wait for their device: one mailbox a channel, numbered by the store.
 *
 *     ended, or awaiting a reply |  may have been sent  |  certainly never sent
 *   | 1  2  .  4  5              | 6  7  8              | 9  .  11 |
 *                         cursor ^               sentUpTo ^     top ^      (. = a hole)
 *
 * Calls take effect in the order they are made; what is read is only ever what is durable, so no
 * link can see a command that a crash could still take back. Every promise and every `settled` is
 * answered after the synced write of all that came before it.
 *
 * A failed write is final for the whole engine: it drops what it holds in memory, reports `down`
 * or `full` (see `engine.ts`), answers everything outstanding with 'unavailable', reopens, and
 * comes back by itself. Nobody needs to undo anything.
 *
 * Exam: test/exams/mailbox.exam.ts.
 */
export interface Mailbox {
  /**
   * No space for anything new: `append` says so too. What was accepted goes on: it ends, is
   * acknowledged and replied to, which gives space back.
   */
  readonly full: boolean
  /**
   * Keep a command. Resolves once it is durable, and never rejects.
   * The first append after a start that did not follow a clean close begins a new epoch (rule 13).
   */
  append(channel: ChannelId, command: Command, options: AppendOptions): Promise<Appended>

  /**
   * What this key was answered with, for who is about to refuse: a name may be gone by the time a
   * call is repeated, the command is not (rule 28). Once that answer is durable.
   * @throws StoreUnavailable, as a rejection
   */
  asked(app: AppId, asked: IdempotencyKey): Promise<Asked | undefined>

  /**
   * Keep a command for later (rule 6): it is accepted and open, and has an id, but no place yet.
   * When its time has come, or when it ends before, it is appended with `Command.scheduled` set:
   * that moves it in one batch, counts it as accepted only once, and answers 'repeat' when it is
   * not there to be moved any more. Resolves once durable, and never rejects.
   */
  schedule(channel: ChannelId, command: Command, options: ScheduleOptions): Promise<Scheduled>
  /** Scheduled commands whose time has come, earliest first, at most `max`. Durable ones only. */
  ripe(nowMs: number, max: number): Promise<readonly ScheduledCommand[]>
  /** When the next scheduled command is due; Infinity for none. */
  nextRipeMs(): number
  /** The scheduled commands of a device. */
  scheduled(device: DeviceKey): Promise<readonly ScheduledCommand[]>

  /**
   * What the mailbox knows of a channel; makes nothing for one never used (all zero, no epochs).
   * Loads the channel's open commands into memory; `release` lets them go again.
   * Also makes the current epoch durable: after it, `epochs` holds one that appends will use.
   * `renumber`: begin a new one even so, because a device stands beyond what this store has
   * numbered in the current one. Then the store was put back without anybody noticing, and offsets
   * numbered on in that epoch would be taken for repeats.
   * @throws StoreUnavailable
   */
  open(channel: ChannelId, renumber?: boolean): Promise<Head>
  /** The hub holds no live state for this channel any more. */
  release(channel: ChannelId): void

  /**
   * Durable, undelivered commands after an offset, in order, at most `max`. May answer at once.
   * Commands that end while the answer is on its way are not in it.
   *
   * It does not look past the end of a command that no device has (expired, canceled, dropped and
   * the like) before that end is durable. Else a crash could bring such a command back behind a
   * device that has meanwhile received a later one, and whose position would then claim it
   * (rule 14). What lies before is answered at once; only where there is nothing does it wait.
   * @throws StoreUnavailable, as a rejection
   */
  read(channel: ChannelId, after: Offset, max: number): Reading | Promise<Reading>

  /**
   * A promise that nothing above `upTo` is written to a link before another `intend` is kept:
   * what a crash leaves at or below the highest kept intent counts as maybe sent (rule 4).
   * Resolves once durable; false when the store cannot be written. `append` and `settle` carry it too.
   */
  intend(channel: ChannelId, upTo: Offset): Promise<boolean>
  /** Commands up to here were written to a link at this time. In memory, exact, never behind. */
  sent(channel: ChannelId, upTo: Offset, atMs: number): void

  /**
   * Change what is kept of a channel, all in one batch: ends, deliveries, late proof, and the uplinks
   * they came with. A change is passed over where it would be untrue by now: of a command that is
   * not open any more; an end as never sent (`expired`, `canceled`, `superseded`, `dropped`) of one
   * that may have been sent meanwhile; `in-doubt` of one that was delivered meanwhile, unless its
   * device was removed.
   */
  settle(channel: ChannelId, settlement: Settlement, settled: (outcome: Settled) => void): void

  /**
   * A command, open or ended. The epoch must be the one it was numbered in, or `scheduledEpoch` and
   * the number it was scheduled with: then it is found wherever it is by now. While it waits for its
   * time it is open, not `maybeSent`, its epoch and offset those. May answer at once.
   */
  find(
    channel: ChannelId,
    epoch: Epoch,
    offset: Offset,
  ): Found | undefined | Promise<Found | undefined>

  /** Open commands whose next deadline (see {@link dueAtMs}) has come, over all channels. */
  due(nowMs: number, max: number): Promise<readonly OpenCommand[]>
  /** Earliest next deadline over all channels, or a time before it; Infinity for none. */
  nextDueMs(): number

  /**
   * What `Settlement.uplinks` last kept of a channel, once all that was settled before is durable;
   * undefined for none. Loads nothing else, and may answer at once.
   * @throws StoreUnavailable, as a rejection
   */
  uplinks(channel: ChannelId): string | undefined | Promise<string | undefined>

  /** How full a channel's mailbox is. May answer at once. */
  depth(channel: ChannelId): Depth | Promise<Depth>
  /** Channels that have a record, of one device. */
  channels(device: DeviceKey): Promise<readonly ChannelId[]>
  /** Commands of a device, newest first by acceptance, open and ended. */
  history(device: DeviceKey, query: HistoryQuery): Promise<HistoryPage>
  /** Accepted = ended + open, kept in the same batches as what they count (rule 11). */
  counts(app: AppId): Promise<Counts>
}

/** The same key and the same hash are the same request, for 24 h. `rules.md` 28. */
export interface IdempotencyKey {
  readonly key: string
  readonly hash: string
}

/** 'conflict': the key was used with another body. */
export interface Asked {
  readonly kind: 'repeat' | 'conflict'
  /** Of a command, or of a broadcast. */
  readonly id: CommandId
}

export interface AppendOptions {
  readonly maxCommands: number
  readonly maxBytes: number
  /** `drop-oldest` ends the oldest never-sent command as `dropped`, in the same batch. */
  readonly overflow: 'reject' | 'drop-oldest'
  readonly idempotency?: IdempotencyKey
  /**
   * A live link will take it at once if its offset is not above this: then the intent is kept in
   * the same batch (rule 4). 0: no link, or it is not ready.
   */
  readonly intendUpTo: Offset
  /**
   * It ends as it is accepted, e.g. a `now` without a link: kept as history, never queued. A
   * scheduled command that is canceled ends this way too.
   */
  readonly ended?: { readonly status: EndStatus; readonly reason: string }
}

export interface ScheduleOptions {
  /** Scheduled commands of one channel, and of all; of one app half of those. */
  readonly maxCommands: number
  readonly maxTotal: number
  readonly idempotency?: IdempotencyKey
}

export type Scheduled =
  | { readonly kind: 'kept'; readonly command: ScheduledCommand }
  | { readonly kind: 'repeat'; readonly id: CommandId }
  | { readonly kind: 'conflict'; readonly id: CommandId }
  | { readonly kind: 'full'; readonly max: number }
  | { readonly kind: 'unavailable'; readonly full: boolean }

/** A command that waits for its time. */
export interface ScheduledCommand extends Command {
  readonly id: CommandId
  readonly channel: ChannelId
  readonly scheduled: number
  readonly notBeforeMs: number
}

export type Appended =
  | { readonly kind: 'kept'; readonly command: KeptCommand }
  /**
   * The key was used before with this body: the command of then, whatever became of it. So too for a
   * scheduled command that is no longer waiting, and a broadcast's second command to one device.
   */
  | { readonly kind: 'repeat'; readonly id: CommandId }
  /** The key was used before with another body. */
  | { readonly kind: 'conflict'; readonly id: CommandId }
  | { readonly kind: 'full'; readonly depth: Depth }
  /** The store cannot be written; nothing is promised. `full`: no space left. */
  | { readonly kind: 'unavailable'; readonly full: boolean }

export interface Reading {
  readonly commands: readonly OpenCommand[]
  /** All at or below it is in `commands`, or needs no sending any more. At least the last of them. */
  readonly lookedUpTo: Offset
}

export interface Depth {
  /** Open commands. */
  readonly commands: number
  /** Payload bytes of those not yet delivered. */
  readonly bytes: number
  /** When the oldest open one was accepted; undefined for none. */
  readonly oldestAtMs: number | undefined
}

export interface Head {
  /** Oldest first; the last is current. Empty only in engines that make epochs lazily and have none. */
  readonly epochs: readonly EpochSpan[]
  /** Nothing at or below it is undelivered. */
  readonly cursor: Offset
  /** Last durable offset. */
  readonly top: Offset
  /** Highest offset that may have been written to a link. */
  readonly sentUpTo: Offset
  /** Highest kept intent. */
  readonly intended: Offset
  /** What the channel's dedupe last gave to keep; undefined for none. */
  readonly uplinks: string | undefined
  /** The oldest undelivered command that was sent, and the sessions in which it was, unacknowledged. */
  readonly attempts: { readonly offset: Offset; readonly sessions: number } | undefined
  /** Every open command, in order; payloads may be empty here. */
  readonly open: readonly OpenCommand[]
}

/** What becomes of one command. */
export type Change =
  | { readonly kind: 'delivered'; readonly offset: Offset; readonly atMs: number }
  | {
      readonly kind: 'ended'
      readonly offset: Offset
      readonly status: EndStatus
      readonly reason?: string
      readonly atMs: number
      readonly reply?: Reply
      /** Steps between `queued` and the end that the mailbox does not know itself. */
      readonly steps?: readonly Step[]
      /**
       * Kept in the log before the outcome event. The command may have ended since it was looked up:
       * then `late` is kept instead, and this end as a late step (rule 8).
       */
      readonly told?: { readonly event: NewEvent; readonly late: NewEvent }
    }

export type Ending = Extract<Change, { kind: 'ended' }>

export interface Settlement {
  readonly changes: readonly Change[]
  /**
   * Proof that came after the end of these; kept beside their history, at most `lateStepsMax` each.
   * Of what has not ended by then, these changes included, or is forgotten, it is passed over.
   */
  readonly late?: readonly { readonly offset: Offset; readonly step: Step }[]
  /** Kept in the log before the outcome events of the changes. */
  readonly events?: readonly NewEvent[]
  /** The channel's dedupe state after these uplinks. */
  readonly uplinks?: string
  readonly attempts?: { readonly offset: Offset; readonly sessions: number }
  readonly intendUpTo?: Offset
}

/** `unavailable`: not kept, the device must send it again. */
export type Settled = 'kept' | 'unavailable'

export type Found =
  | { readonly kind: 'open'; readonly command: OpenCommand }
  | { readonly kind: 'ended'; readonly command: EndedCommand }

export interface HistoryQuery {
  readonly status?: EndStatus | 'open'
  /** From the page before; opaque. */
  readonly after?: string
  readonly limit: number
}

export interface HistoryPage {
  readonly items: readonly Found[]
  readonly next: string | undefined
}

export interface Counts {
  readonly accepted: number
  readonly open: number
  readonly ended: Readonly<Partial<Record<EndStatus, number>>>
}

/**
 * When something must become of an open command though nobody says anything: expiry while certainly
 * unsent, `in-doubt` a grace after it once maybe sent, `unanswered` when the reply is overdue; at
 * once for a `now` that a process before this one may have sent. Source: rules 1, 3, 4.
 */
export function dueAtMs(command: OpenCommand, inDoubtGraceMs: number): number {
  if (command.deliveredAtMs !== undefined) return command.deliveredAtMs + command.replyTimeoutMs
  if (sentBeforeRestart(command) && command.delivery === 'now') return command.acceptedAtMs
  return command.maybeSent ? command.expiresAtMs + inDoubtGraceMs : command.expiresAtMs
}

/** A command that may have been written to a link by a process before this one. */
export const sentBeforeRestart = (command: OpenCommand): boolean =>
  command.maybeSent && command.sentAtMs === undefined && command.deliveredAtMs === undefined
