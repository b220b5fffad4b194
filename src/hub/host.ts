import type { Clock, Limits, Mailbox, Offset, Reason, Trail } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'
import type { Deadlines } from './deadlines.ts'
import type { SharedDedupe } from './dedupes.ts'
import type { Pulse } from './heartbeats.ts'
import type { Quotas } from './quotas.ts'
import type { Tally } from './sla.ts'

/** While the store is away, devices are asked to come back after this. */
export const unavailableRetryMs = 2_000

/** What an attachment needs of the hub. */
export interface Host {
  readonly clock: Clock
  readonly limits: Limits
  readonly mailbox: Mailbox
  readonly deadlines: Deadlines
  readonly quotas: Quotas
  /** Exactly once, when the attachment is over; `backAtMs`: when the device said that it comes back. */
  detached(attachment: Attachment, why: Reason | 'lost', backAtMs?: number): void
  /** The device went quiet, or spoke again. */
  suspicion(attachment: Attachment): void
  /** Commands were changed: the next deadline may be another. */
  kept(): void
  readonly counts: HubCounts
  /** Is what nobody expects to be acknowledged dropped at the moment? */
  sheds(): boolean
}

/** What an attachment brings along for service figures, and what it shares with others. */
export interface Figures {
  /** Held for it; undefined: its device numbers nothing. */
  readonly uplinks: SharedDedupe | undefined
  /** The record of its link. */
  readonly trail: Trail
  readonly tally: Tally
  /** When its link asked to be attached. */
  readonly askedAtMs: number
  /** When commands were written that its device came back standing past; undefined for none. */
  readonly resumedPast: Map<Offset, number> | undefined
  /** How long it may be silent, where that is learned. */
  readonly pulse: Pulse | undefined
  /** Its connection is asked to come back when it is old. */
  readonly ages: boolean
}

export interface HubCounts {
  /** For too much of everything: dropped, told 429, not let in. */
  shed: number
  limited: number
  /** Connections asked to come back for their age. */
  aged: number
  crowded: number
  delivered: number
  repeated: number
  uplinks: number
  duplicates: number
  /** Uplinks refused because their stamp lies too far back. */
  stale: number
  /** Names of uplinks that had to go for others (`onceMaxPending`). */
  namesLost: number
  probes: number
}

/** An uplink that is not kept, and why. */
export function count(counts: HubCounts, judgement: 'duplicate' | 'stale'): void {
  if (judgement === 'stale') counts.stale++
  else counts.duplicates++
}

export const noCounts = (): HubCounts => ({
  ...{ delivered: 0, repeated: 0, probes: 0 },
  ...{ uplinks: 0, duplicates: 0, stale: 0, namesLost: 0 },
  ...{ shed: 0, limited: 0, crowded: 0, aged: 0 },
})
