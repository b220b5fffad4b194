import type { ChannelId, Epoch, Offset } from '../../contract/index.ts'
import { epochsKept } from '../../contract/index.ts'
import type { OpenList } from './open-list.ts'

/**
 * What is known of a channel, always in memory and kept as one record, written once a commit.
 *
 *     ended            | some open, some ended       | free
 *   | 1  2  3  4  5  6 | 7  .  9  10  11  .  13  14  | 15 …
 *                        ^ floor      ^ sentUpTo  ^ top
 *
 * Nothing below `floor` is open, so reading starts there: below it lie only tombstones.
 * There may be a million of these, so fields are few and most of them small integers.
 */
export class Channel {
  readonly id: ChannelId
  /** Last offset given, durable or not. */
  top: Offset = 0
  durableTop: Offset = 0
  floor: Offset = 1
  /** Open commands, and payload bytes of those not delivered. */
  count = 0
  bytes = 0
  sentUpTo: Offset = 0
  /** `sentUpTo` as it stands in the record. */
  sentKept: Offset = 0
  intended: Offset = 0
  /** What may have been sent by a process before this one; above it up to `sentUpTo`, by this one. */
  sentBefore: Offset = 0
  /** When this process last wrote one of them to a link. */
  lastSentAtMs = 0
  /** No `now` above it is open. */
  nowUpTo: Offset = 0
  /** No open command is due before it. */
  dueAtMs = Number.POSITIVE_INFINITY
  /** Place in the heap of deadlines; -1 for none. */
  heapIndex = -1
  /** When the oldest open command was accepted. */
  oldestAtMs = 0
  /** The commit that holds its last change. */
  changedIn = 0
  /**
   * The lowest offset passed over, that is, ended without its device having it, in the commit that
   * is gathered and in the one that is written; 0 for none.
   */
  passed: Offset = 0
  passing: Offset = 0
  /** Current epoch; 0 for none yet. */
  epoch: Epoch = 0
  /** Whether `epoch` may number new commands, or the tail may have been lost since (rule 13). */
  current = false
  /** Epochs before, oldest first: epoch, last offset, epoch, last offset … */
  older: readonly number[] = none
  uplinks: string | undefined = undefined
  attempts: { readonly offset: Offset; readonly sessions: number } | undefined = undefined
  /** The open commands, while they are in memory. */
  live: Live | undefined = undefined

  constructor(id: ChannelId) {
    this.id = id
  }

  /** The lowest offset passed over whose end a crash could take back; 0 for none. */
  get passedOver(): Offset {
    const { passed, passing } = this
    return passing === 0 || (passed !== 0 && passed < passing) ? passed : passing
  }

  /** Up to here nothing can be read yet that is above; see `Mailbox.read`. */
  get readableUpTo(): Offset {
    const lowest = this.passedOver
    return lowest === 0 || lowest > this.durableTop ? this.durableTop : lowest - 1
  }

  /** When this process wrote it to a link, or a little later; undefined where it did not. */
  sentAtMsOf(offset: Offset): number | undefined {
    return offset > this.sentBefore && offset <= this.sentUpTo ? this.lastSentAtMs : undefined
  }

  /** In which epoch an offset was numbered. */
  epochOf(offset: Offset): Epoch {
    const { older } = this
    for (let at = 0; at < older.length; at += 2) if (offset <= older[at + 1]!) return older[at]!
    return this.epoch
  }

  /** Make sure that new offsets are numbered in an epoch of this start. */
  begin(random: () => Epoch): boolean {
    if (this.current) return false
    if (this.epoch !== 0) {
      const all = [...this.older, this.epoch, this.top]
      this.older = all.slice(-2 * (epochsKept - 1))
    }
    this.epoch = random()
    this.current = true
    return true
  }
}

const none: readonly number[] = []

export interface Live {
  readonly open: OpenList
  /** The hub holds it open: payloads are worth keeping. */
  attached: boolean
  /** Reads under way, and the highest offset one of them is about to give. */
  reads: number
  wanted: Offset
}
