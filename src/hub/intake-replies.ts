import type {
  Answered,
  Clock,
  CommandId,
  Found,
  Mailbox,
  Source,
  StampedReply,
} from '../contract/index.ts'
import { locateCommand, sentBeforeRestart } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'
import type { Dedupes, SharedDedupe } from './dedupes.ts'
import { count, type HubCounts } from './host.ts'
import type { InOrder } from './in-order.ts'
import { answered, isPlaced, replySettlement } from './replies.ts'
import type { Tally } from './sla.ts'

/** What replies by id need of the hub. */
export interface RepliesHost {
  readonly clock: Clock
  readonly mailbox: Mailbox
  readonly dedupes: Dedupes
  readonly counts: HubCounts
  /** What is attached to a channel at this moment. */
  attached(channel: string): Attachment | undefined
  /** Commands were changed: the next deadline may be another. */
  kept(): void
}

type Settle = (outcome: Answered) => void

/**
 * Replies of one source, by the ids of commands: a fact whoever brings it (rule 19).
 *
 *     id ─▶ is it of this device? ─▶ find ─▶ stamp seen? ─▶ settle ─▶ whoever is attached is told
 */
export class IntakeReplies {
  readonly #host: RepliesHost
  readonly #source: Source
  readonly #tally: Tally
  readonly #order: InOrder

  constructor(host: RepliesHost, source: Source, tally: Tally, order: InOrder) {
    this.#host = host
    this.#source = source
    this.#tally = tally
    this.#order = order
  }

  /** In its turn. */
  take(id: CommandId, reply: StampedReply, settled: Settle): void {
    const place = locateCommand(this.#source.app, id)
    if (place === undefined || place.device !== this.#source.device) {
      settled('unknown')
      return
    }
    const found = this.#host.mailbox.find(place.channel, place.epoch, place.offset)
    if (found instanceof Promise) {
      this.#order.until(
        found,
        (one) => this.#judge(one, reply, settled),
        () => settled('unavailable'),
      )
    } else this.#judge(found, reply, settled)
  }

  #judge(found: Found | undefined, reply: StampedReply, settled: Settle): void {
    if (!isPlaced(found)) {
      settled('unknown')
      return
    }
    const { counts, dedupes, mailbox } = this.#host
    counts.uplinks++
    const { stamp } = reply
    if (stamp === undefined) {
      this.#keep(found, reply, undefined, settled)
      return
    }
    const { channel } = found.command
    dedupes.use(
      channel,
      this.#order,
      (shared, dedupe) => {
        const judgement = dedupe.judge(stamp, false)
        if (judgement === 'fresh') {
          this.#keep(found, reply, dedupe.encode(), settled, shared)
          return
        }
        count(counts, judgement)
        const outcome = judgement === 'stale' ? 'stale' : 'kept'
        // Its first copy may still be on its way: the answer waits its turn.
        mailbox.settle(channel, { changes: [] }, (settlement) => {
          dedupes.settled(shared, settlement)
          settled(settlement === 'kept' ? outcome : settlement)
        })
      },
      () => settled('unavailable'),
    )
  }

  #keep(
    found: Found,
    reply: StampedReply,
    uplinks: string | undefined,
    settled: Settle,
    shared?: SharedDedupe,
  ): void {
    const { clock, dedupes, mailbox } = this.#host
    const atMs = clock.nowMs()
    const { channel, offset } = found.command
    const counted = reply.stamp === undefined && answered(found) ? 0 : 1
    const tally = this.#tally
    tally.uplinks += counted
    // Whoever is attached has no need to hear of it from the device any more.
    const attachment = this.#host.attached(channel)
    const isOut = attachment?.live.out(offset) !== undefined
    if (found.kind === 'open') attachment?.replying(offset, atMs)
    const settlement = { ...replySettlement(reply, found, atMs), uplinks }
    mailbox.settle(channel, settlement, (outcome) => {
      dedupes.settled(shared, outcome)
      settled(outcome)
      if (outcome !== 'kept') return
      if (counted > 0) tally.uplinksKept(counted, clock.nowMs() - atMs)
      if (!isOut) tallyWritten(tally, found, atMs)
      // Another may be attached by now.
      const there = this.#host.attached(channel)
      if (there === undefined) this.#host.kept()
      else there.kept(settlement.changes, undefined)
    })
  }
}

/** The reply says that the device has a command that no link waits for any more. */
function tallyWritten(tally: Tally, found: Found, nowMs: number): void {
  if (found.kind === 'ended') return
  const { command } = found
  if (command.deliveredAtMs !== undefined || command.sentAtMs === undefined) return
  if (!sentBeforeRestart(command)) tally.downlinkAcknowledged(nowMs - command.sentAtMs)
}
