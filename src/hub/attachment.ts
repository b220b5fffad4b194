import type { Channel, LateProof } from '../channel/index.ts'
import type {
  Answered,
  AppId,
  Change,
  Claim,
  DeviceId,
  DeviceKey,
  DeviceReply,
  Link,
  Offset,
  Reason,
  Session,
  TakenHere,
  Trail,
  Uplink,
} from '../contract/index.ts'
import { channelParts, deviceOf } from '../contract/index.ts'
import type { Sleeper } from './deadlines.ts'
import type { SharedDedupe } from './dedupes.ts'
import type { Pulse } from './heartbeats.ts'
import type { Figures, Host } from './host.ts'
import { agedSpreadMs, lastWordsMs, lifeEndsMs } from './lifetime.ts'
import type { Patrolled } from './patrol.ts'
import { perform } from './perform.ts'
import type { Standing } from './presences.ts'
import type { HoldsAnswers } from './quotas.ts'
import { type Tally, tallyAcknowledged } from './sla.ts'
import { Uplinks } from './uplinks.ts'

/**
 * One channel attached to one link: the session an adapter holds, and the place where the pure
 * channel meets time, link and mailbox.
 *
 * What the channel wants done is done in order and at once; what has to wait for the store comes
 * back as another call. After `over` nothing is delivered and no cursor moves (rule 19).
 */
export class Attachment implements Session, Sleeper, HoldsAnswers, Standing, Patrolled {
  readonly link: Link
  readonly claim: Claim
  readonly attachedAtMs: number
  readonly tally: Tally
  readonly sharedUplinks: SharedDedupe | undefined
  readonly trail: Trail
  heapIndex = -1
  armedAtMs = 0
  patrolSlice = 0

  readonly #channel: Channel
  readonly #host: Host
  /** Made for the first one: devices of most protocols bring theirs by another way. */
  #uplinks: Uplinks | undefined
  readonly #askedAtMs: number
  readonly #resumedPast: Map<Offset, number> | undefined
  readonly #pulse: Pulse | undefined
  /** 'last-words': its time is over, and what is on its way to it is waited for. */
  #life: 'lasts' | 'ages' | 'last-words'
  #over = false
  #performing = false
  #suspect = false

  constructor(host: Host, claim: Claim, link: Link, channel: Channel, figures: Figures) {
    this.#host = host
    this.tally = figures.tally
    this.sharedUplinks = figures.uplinks
    this.trail = figures.trail
    this.#askedAtMs = figures.askedAtMs
    this.#resumedPast = figures.resumedPast
    this.#pulse = figures.pulse
    this.#life = figures.ages && link.leave !== undefined ? 'ages' : 'lasts'
    this.claim = claim
    this.link = link
    this.#channel = channel
    this.attachedAtMs = host.clock.nowMs()
    const { epoch, offset } = channel.position
    this.trail.note('attached', { epoch, offset, reason: channel.resumed, about: link.peer })
    this.perform()
  }

  /** Derived: it is asked for when somebody comes, goes or falls silent. */
  get device(): DeviceKey {
    return deviceOf(this.#channel.id)
  }

  get channel(): string {
    return this.#channel.id
  }

  get protocol(): string {
    return this.link.protocol
  }

  get via(): DeviceId | undefined {
    return this.link.via
  }

  get heardAtMs(): number {
    return this.#channel.liveness.heardAtMs
  }

  get suspect(): boolean {
    return this.#channel.liveness.suspect
  }

  get live(): Channel {
    return this.#channel
  }

  get isOver(): boolean {
    return this.#over
  }

  get resumed() {
    return this.#channel.resumed
  }

  get position() {
    return this.#channel.position
  }

  get uplinkKept() {
    return this.#channel.uplinkKept
  }

  get keepaliveMs() {
    return this.#channel.liveness.keepaliveMs
  }

  get windowMaxCommands() {
    return this.#channel.windowMaxCommands
  }

  get deadlineMs(): number {
    if (this.#over) return Number.POSITIVE_INFINITY
    const deadlineMs = Math.min(this.#channel.liveness.deadlineMs, this.#lifeEndsMs)
    const nextAtMs = this.#uplinks?.late.nextAtMs
    return nextAtMs === undefined ? deadlineMs : Math.min(nextAtMs, deadlineMs)
  }

  // What the device does.

  start(): void {
    if (this.#over) return
    this.tally.channelAvailable(this.#now - this.#askedAtMs)
    this.#channel.pump.start()
    this.perform()
  }

  receive(uplinks: readonly Uplink[], settled: (outcome: TakenHere) => void): void {
    this.#up().receive(uplinks, settled)
  }

  acknowledge(offset: Offset): 'ok' | 'unknown' {
    if (this.#over) return 'ok'
    return this.#acknowledged(this.#channel.acknowledge(offset, this.#now))
  }

  acknowledgeUpTo(offset: Offset): 'ok' | 'unknown' {
    if (this.#over) return 'ok'
    return this.#acknowledged(this.#channel.acknowledgeUpTo(offset, this.#now))
  }

  reply(reply: DeviceReply, settled: (outcome: Answered) => void): void {
    this.#up().reply(reply, settled)
  }

  touch(): void {
    if (this.#over) return
    const { liveness } = this.#channel
    const nowMs = this.#now
    this.#pulse?.heard(liveness, nowMs)
    liveness.touch(nowMs)
    if (this.#suspect) this.suspicion(false)
  }

  renewKeepalive(): number {
    const { liveness } = this.#channel
    if (this.#over || this.#pulse === undefined) return liveness.keepaliveMs
    liveness.keepaliveMs = this.#pulse.grant()
    this.#host.deadlines.arm(this)
    return liveness.keepaliveMs
  }

  drained(): void {
    if (this.#over) return
    this.#channel.pump.drained()
    this.perform()
  }

  detach(graceful: boolean, backAtMs?: number): void {
    this.#end(graceful ? 'normal' : (this.link.ended?.() ?? 'lost'), backAtMs)
  }

  // What the hub does.

  /** There is durable mail up to here. */
  hint(top: Offset, intended: boolean): void {
    if (this.#over) return
    this.#channel.pump.hint(top, intended)
    this.perform()
  }

  /** So many commands may be out at once, where that is less than its window. */
  narrow(max: number): void {
    if (this.#over) return
    this.#channel.pump.narrow(max)
    this.perform()
  }

  /** Write nothing more while it is held: the gateway is leaving. */
  hold(held: boolean): void {
    if (this.#over) return
    this.#channel.pump.hold(held)
    this.perform()
  }

  /** A command ended in doubt while it was out on this link. */
  withdraw(offset: Offset): void {
    if (this.#over) return
    this.#channel.withdraw(offset)
    this.perform()
  }

  /** A reply that came another way is being kept: the device has this one. */
  replying(offset: Offset, nowMs: number): void {
    if (!this.#over) this.#channel.replying(offset, nowMs)
  }

  patrol(): void {
    if (this.#over) return
    this.#channel.pump.patrol()
    this.perform()
  }

  wake(nowMs: number): void {
    this.#answerLate(nowMs)
    if (nowMs >= this.#lifeEndsMs) this.#age()
    if (this.#over) return
    const { liveness } = this.#channel
    if (nowMs < liveness.deadlineMs) return
    if (this.link.reads?.() === false) {
      liveness.excused(nowMs)
      if (this.#suspect) this.suspicion(false)
      return
    }
    liveness.tick(nowMs)
    this.perform()
  }

  /** The quota for which answers are held back is another: `slower` times as long to wait, 0: none. */
  retime(slower: number, nowMs: number): void {
    this.#uplinks?.late.retime(slower, nowMs)
    this.#host.deadlines.arm(this)
  }

  /** End it from our side. */
  close(reason: Reason, retryAfterMs?: number): void {
    if (this.#over) return
    this.#end(reason)
    this.link.close(reason, retryAfterMs)
  }

  get #now(): number {
    return this.#host.clock.nowMs()
  }

  #end(why: Reason | 'lost', backAtMs?: number): void {
    if (this.#over) return
    this.#over = true
    this.#pulse?.left(this.#channel.liveness, why)
    this.trail.note('detached', { reason: why })
    if (this.link.trail === undefined) this.trail.end(why)
    this.#channel.pump.stop()
    this.#channel.effects.length = 0
    if (this.#uplinks?.late.end() === true) this.#host.quotas.answered(this.#app, this)
    this.#host.deadlines.remove(this)
    this.#host.detached(this, why, backAtMs)
  }

  /** It went quiet and was asked for a sign of life, or has given one. */
  suspicion(suspect: boolean): void {
    this.#suspect = suspect
    this.#host.suspicion(this)
  }

  get #lifeEndsMs(): number {
    if (this.#life === 'lasts') return Number.POSITIVE_INFINITY
    const endsMs = lifeEndsMs(this.attachedAtMs, this.#host.limits.connectionLifetimeMs)
    return this.#life === 'ages' ? endsMs : endsMs + lastWordsMs
  }

  /** What is on its way is acknowledged first, lest it come again; for a moment. */
  #age(): void {
    if (this.#over) return
    if (this.#life === 'ages' && this.#channel.inFlight > 0) {
      this.#life = 'last-words'
      this.hold(true)
      return
    }
    this.#life = 'lasts'
    this.#host.counts.aged++
    this.link.leave?.(agedSpreadMs)
  }

  #acknowledged(proofs: readonly LateProof[] | 'unknown'): 'ok' | 'unknown' {
    this.perform()
    if (proofs === 'unknown') return 'unknown'
    if (proofs.length > 0) this.#up().lateProof(proofs)
    return 'ok'
  }

  /** What a settlement of this channel changed is kept. */
  kept(changes: readonly Change[], intendUpTo: Offset | undefined): void {
    tallyAcknowledged(this.tally, this.#channel, this.#resumedPast, changes)
    for (const { kind, offset } of changes)
      if (kind === 'delivered') this.trail.note('delivered', { offset })
    this.#channel.pump.settled(changes, intendUpTo)
    // What is delivered and owes a reply is due sooner than it was.
    if (changes.length > 0) this.#host.kept()
    if (!this.#over) this.perform()
  }

  holding(): void {
    if (this.#over) return
    this.#host.quotas.holding(this.#app, this, this.#now)
    this.#host.deadlines.arm(this)
  }

  #answerLate(nowMs: number): void {
    const late = this.#uplinks?.late
    if (late?.nextAtMs === undefined) return
    late.release(nowMs)
    if (late.nextAtMs === undefined) this.#host.quotas.answered(this.#app, this)
  }

  #up(): Uplinks {
    this.#uplinks ??= new Uplinks(this.#host, this.#channel, this)
    return this.#uplinks
  }

  get #app(): AppId {
    return channelParts(this.channel).app
  }

  /** What the channel wants done is done. */
  perform(): void {
    if (this.#performing) return // a call from within: its effects join the list being carried out
    this.#performing = true
    const { effects } = this.#channel
    for (let i = 0; i < effects.length; i++) perform(effects[i]!, this, this.#host)
    effects.length = 0
    this.#performing = false
    if (!this.#over) this.#host.deadlines.arm(this)
  }
}
