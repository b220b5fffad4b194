import type { Channel, Judgement, LateProof } from '../channel/index.ts'
import type {
  Answered,
  Change,
  DeviceReply,
  Found,
  NewEvent,
  Offset,
  Settled,
  Settlement,
  TakenHere,
  Uplink,
} from '../contract/index.ts'
import { channelParts } from '../contract/index.ts'
import { HeldAnswers } from './held-answers.ts'
import { count, type Host } from './host.ts'
import { InOrder } from './in-order.ts'
import { answered, isPlaced, replySettlement } from './replies.ts'
import type { Tally } from './sla.ts'

/** The attachment these uplinks come through. */
interface Through {
  readonly isOver: boolean
  readonly tally: Tally
  kept(changes: readonly Change[], intendUpTo: Offset | undefined): void
  /** An answer is held back: it wants to be woken for it. */
  holding(): void
}

/**
 * What a device says, on its way into the log: events, replies, and proof that comes late.
 *
 * One after the other: while the command of a reply is looked up, what follows waits, since a batch
 * that kept the later stamp would make the earlier look kept.
 */
export class Uplinks {
  readonly #host: Host
  readonly #channel: Channel
  readonly #through: Through
  /** Answers its app has to wait for. */
  readonly late = new HeldAnswers()
  /** What comes waits for a reply whose command is being looked up. */
  readonly #order = new InOrder()
  /** An event that comes in order was refused: it comes again with the next session. */
  #refused = false

  constructor(host: Host, channel: Channel, through: Through) {
    this.#host = host
    this.#channel = channel
    this.#through = through
  }

  receive(uplinks: readonly Uplink[], settled: (outcome: TakenHere) => void): void {
    if (this.#order.isWaiting) {
      this.#order.later(() => this.receive(uplinks, settled))
      return
    }
    if (this.#through.isOver) {
      settled('unavailable')
      return
    }
    if (this.#host.mailbox.full || uplinks.some((uplink) => this.#isBehindRefused(uplink))) {
      this.#refuse(uplinks, settled)
      return
    }
    const about = this.#about()
    const events: NewEvent[] = []
    let counted = 0
    let stamped = false
    let outcome: TakenHere = 'kept'
    for (const uplink of uplinks) {
      this.#host.counts.uplinks++
      if (uplink.expendable === true && this.#host.sheds()) {
        this.#host.counts.shed++
        continue
      }
      const judgement = this.#channel.judge(uplink)
      if (judgement !== 'fresh') {
        if (judgement === 'stale') outcome = 'stale'
        count(this.#host.counts, judgement)
        continue
      }
      const { name, payload, contentType, stamp, maybeRepeat } = uplink
      stamped ||= stamp !== undefined
      if (maybeRepeat !== true) counted++ // nobody knows whether the first one came
      events.push({ kind: 'event', ...about, name, payload, contentType, stamp, maybeRepeat })
    }
    const { app, atMs } = about
    const holdMs = events.length === 0 ? 0 : this.#host.quotas.events(app, events.length, atMs)
    // Even where nothing is new the answer waits its turn: the first copy may still be on its way.
    const kept = stamped ? this.#channel.keptUplinks : undefined
    const settlement = { changes: [], events, uplinks: kept }
    const answer = saying(outcome, settled)
    this.#keep(settlement, holdMs === 0 ? answer : this.#later(atMs + holdMs, answer), counted)
  }

  reply(reply: DeviceReply, settled: (outcome: Answered) => void): void {
    if (this.#order.isWaiting) {
      this.#order.later(() => this.reply(reply, settled))
      return
    }
    const over = this.#through.isOver
    // A reply is a fact whoever brings it (rule 19); but one with a stamp comes again in order on
    // the newer session, and taking it here would make what lies before it look kept.
    if ((over && reply.stamp !== undefined) || this.#isBehindRefused(reply)) {
      settled('unavailable')
      return
    }
    // Only looked at: its stamp is taken when it is kept, which may not come to pass.
    const judgement = this.#channel.look(reply)
    if (judgement !== 'fresh') {
      this.#notNew(judgement, settled)
      return
    }
    this.#host.counts.uplinks++
    const out = over ? undefined : this.#channel.outstanding(reply.offset)
    if (out !== undefined && out.epoch === reply.epoch) {
      this.#keepReply(reply, { kind: 'open', command: out }, settled)
      return
    }
    const found = this.#host.mailbox.find(this.#channel.id, reply.epoch, reply.offset)
    if (!(found instanceof Promise)) {
      this.#keepReply(reply, found, settled)
      return
    }
    this.#order.until(
      found,
      (one) => this.#keepReply(reply, one, settled),
      () => settled('unavailable'),
    )
  }

  /** The device acknowledged what had ended in doubt; nothing changes, but it is told (rule 8). */
  lateProof(proofs: readonly LateProof[]): void {
    const about = this.#about()
    const step = { status: 'delivered', late: true, atMs: about.atMs } as const
    const events = proofs.map(
      ({ id }): NewEvent => ({
        kind: 'command.late',
        ...about,
        command: id,
        proof: 'acknowledged',
      }),
    )
    const late = proofs.map(({ offset }) => ({ offset, step }))
    this.#keep({ changes: [], late, events }, ignore)
  }

  /** The store has no room for events; before they are judged, or their repeats would look kept. */
  #refuse(uplinks: readonly Uplink[], settled: (outcome: 'unavailable') => void): void {
    for (const { stamp } of uplinks) {
      if (stamp !== undefined && this.#channel.isInOrder(stamp)) this.#refused = true
    }
    settled('unavailable')
  }

  /** What comes in order behind a refused event waits for it: taken, it would make that look kept. */
  #isBehindRefused({ stamp }: { readonly stamp?: Uplink['stamp'] }): boolean {
    return this.#refused && stamp !== undefined && this.#channel.isInOrder(stamp)
  }

  /** Over its app's quota: kept like any other, but answered only when that is paid for. */
  #later(atMs: number, settled: (outcome: Settled) => void): (outcome: Settled) => void {
    return (outcome) => {
      if (outcome === 'unavailable' || this.#through.isOver) {
        settled(outcome)
        return
      }
      this.late.hold(atMs, () => settled(outcome))
      this.#through.holding()
    }
  }

  /** Its first copy may still be on its way: the answer waits its turn. */
  #notNew(judgement: Exclude<Judgement, 'fresh'>, settled: (outcome: TakenHere) => void): void {
    count(this.#host.counts, judgement)
    this.#keep({ changes: [] }, saying(judgement === 'stale' ? 'stale' : 'kept', settled))
  }

  #keepReply(
    reply: DeviceReply,
    found: Found | undefined,
    settled: (outcome: Answered) => void,
  ): void {
    const over = this.#through.isOver
    if (over && reply.stamp !== undefined) {
      settled('unavailable') // it ended while the command was looked up
      return
    }
    // Another source may have brought it meanwhile.
    const judgement = this.#channel.judge(reply)
    if (judgement !== 'fresh') {
      this.#notNew(judgement, settled)
      return
    }
    if (!isPlaced(found)) {
      this.#keep({ changes: [] }, (outcome) => settled(outcome === 'kept' ? 'unknown' : outcome))
      return
    }
    const atMs = this.#host.clock.nowMs()
    const counted = reply.stamp === undefined && answered(found) ? 0 : 1
    const uplinks = reply.stamp === undefined ? undefined : this.#channel.keptUplinks
    if (found.kind === 'open' && !over) this.#channel.replying(found.command.offset, atMs)
    this.#keep({ ...replySettlement(reply, found, atMs), uplinks }, settled, counted)
  }

  /** @param counted how many uplinks this is for service figures: repeats are none. */
  #keep(settlement: Settlement, settled: (outcome: Settled) => void, counted = 0): void {
    const { isOver, tally } = this.#through
    const receivedAtMs = this.#host.clock.nowMs()
    const intendUpTo = isOver ? undefined : this.#channel.pump.intendAhead
    tally.uplinks += counted
    this.#host.mailbox.settle(this.#channel.id, { ...settlement, intendUpTo }, (outcome) => {
      settled(outcome)
      if (outcome !== 'kept') return
      if (counted > 0) tally.uplinksKept(counted, this.#host.clock.nowMs() - receivedAtMs)
      if (!isOver) this.#through.kept(settlement.changes, intendUpTo)
    })
  }

  #about() {
    const { app, device, channel } = channelParts(this.#channel.id)
    return { app, device, channel, atMs: this.#host.clock.nowMs() }
  }
}

const ignore = (): void => {}

/** How the device is answered once it is kept. */
const saying = (
  outcome: 'kept' | 'stale',
  settled: (outcome: TakenHere) => void,
): ((settlement: Settled) => void) =>
  outcome === 'kept'
    ? settled
    : (settlement) => settled(settlement === 'kept' ? outcome : settlement)
