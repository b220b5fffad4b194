import type { Dedupe, Judgement } from '../channel/index.ts'
import type {
  Answered,
  AppId,
  ChannelId,
  ChannelName,
  Clock,
  CommandId,
  DeviceKey,
  DeviceRecord,
  Found,
  Limits,
  Mailbox,
  NewEvent,
  Intake as Port,
  Reason,
  Source,
  StampedReply,
  Taken,
  Uplink,
} from '../contract/index.ts'
import { channelId, deviceKey, locateCommand, sentBeforeRestart } from '../contract/index.ts'
import type { Attachment, HubCounts } from './attachment.ts'
import type { Deadlines, Sleeper } from './deadlines.ts'
import type { Dedupes, SharedDedupe } from './dedupes.ts'
import { HeldAnswers } from './held-answers.ts'
import { InOrder } from './in-order.ts'
import { hasChannel } from './placement.ts'
import type { Standing } from './presences.ts'
import type { HoldsAnswers, Quotas } from './quotas.ts'
import { answered, isPlaced, replySettlement } from './replies.ts'
import type { Tally } from './sla.ts'

/** What an intake needs of the hub. */
export interface IntakeHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly mailbox: Mailbox
  readonly deadlines: Deadlines
  readonly quotas: Quotas
  readonly dedupes: Dedupes
  readonly counts: HubCounts
  log(event: string, fields: Record<string, unknown>): void
  /** What is attached to a channel at this moment. */
  attached(channel: ChannelId): Attachment | undefined
  /** Commands were changed: the next deadline may be another. */
  kept(): void
  device(source: Source): Promise<DeviceRecord | undefined>
  /** A device gave a sign of life, by something that does not stay. */
  heard(device: DeviceKey, nowMs: number): void
  /** Exactly once, when the intake is over. */
  left(intake: Intake, why: string): void
}

type Settle<Outcome> = (outcome: Outcome) => void

/** Longest name of {@link Uplink.once}, bytes: 64 of them are kept with each uplink that has one. */
const onceMaxBytes = 64

/**
 * The core's end of a device's way up that claims no channel (rule 18).
 *
 *     receive ─┬─ no stamp, no name ──────────────────────────▶ settle
 *              ╰─ hold the channel's dedupe ▶ judge ▶ settle, with what it knows now ▶ let go
 *     reply ───── find the command ▶ judge ▶ settle ▶ whoever is attached is told
 *
 * What comes is taken in order: while one waits for the store, those behind it wait too.
 */
export class Intake implements Port, Sleeper, HoldsAnswers, Standing {
  readonly device: DeviceKey
  readonly source: Source
  heapIndex = -1
  armedAtMs = 0
  heardAtMs: number

  readonly #host: IntakeHost
  readonly #tally: Tally
  readonly #order = new InOrder()
  /** Answers its app has to wait for. */
  readonly #late = new HeldAnswers()
  readonly #channels = new Map<ChannelName, ChannelId>()
  readonly #more = new Set<() => void>()
  #record: DeviceRecord
  /** Uplinks not answered yet. */
  #pending = 0
  #over = false

  constructor(host: IntakeHost, source: Source, record: DeviceRecord, tally: Tally) {
    this.#host = host
    this.source = source
    this.device = deviceKey(source.app, source.device)
    this.#record = record
    this.#tally = tally
    this.heardAtMs = host.clock.nowMs()
  }

  get app(): AppId {
    return this.source.app
  }

  get protocol(): string {
    return this.source.protocol
  }

  /** Whether anybody is there is found out by its adapter, who keeps the connection. */
  get suspect(): boolean {
    return false
  }

  get deadlineMs(): number {
    return this.#over ? Number.POSITIVE_INFINITY : (this.#late.nextAtMs ?? Number.POSITIVE_INFINITY)
  }

  // What the device does.

  receive(channel: ChannelName, uplinks: readonly Uplink[], settled: Settle<Taken>): void {
    const settle = this.#counted(uplinks.length, settled)
    this.#inOrder(() => this.#receive(channel, uplinks, settle))
  }

  reply(id: CommandId, reply: StampedReply, settled: Settle<Answered>): void {
    const settle = this.#counted(1, settled)
    this.#inOrder(() => this.#reply(id, reply, settle))
  }

  forget(channel: ChannelName, once: string, settled: Settle<'kept' | 'unavailable'>): void {
    this.#inOrder(() => this.#forget(channel, (dedupe) => dedupe.forget(once), settled))
  }

  forgetAll(channel: ChannelName, prefix: string, settled: Settle<'kept' | 'unavailable'>): void {
    this.#inOrder(() => this.#forget(channel, (dedupe) => dedupe.forgetAll(prefix), settled))
  }

  wants(more: () => void): boolean {
    const { uplinkMaxPending } = this.#host.limits
    if (this.#pending <= uplinkMaxPending && this.#late.nextAtMs === undefined) return true
    if (!this.#over) this.#more.add(more)
    return false
  }

  touch(): void {
    if (this.#over) return
    this.heardAtMs = this.#host.clock.nowMs()
    if (!this.source.stays) this.#host.heard(this.device, this.heardAtMs)
  }

  leave(graceful: boolean): void {
    this.#end(graceful ? 'normal' : 'lost')
  }

  // What the hub does.

  /** End it from our side. */
  close(reason: Reason, retryAfterMs?: number): void {
    if (this.#over) return
    this.#end(reason)
    this.source.close(reason, retryAfterMs)
  }

  wake(nowMs: number): void {
    this.#late.release(nowMs)
    if (this.#late.nextAtMs === undefined) this.#host.quotas.answered(this.app, this)
    this.#askForMore()
  }

  retime(slower: number, nowMs: number): void {
    this.#late.retime(slower, nowMs)
    this.#host.deadlines.arm(this)
  }

  #end(why: string): void {
    if (this.#over) return
    this.#over = true
    this.#more.clear()
    if (this.#late.end()) this.#host.quotas.answered(this.app, this)
    this.#host.deadlines.remove(this)
    this.#host.left(this, why)
  }

  #inOrder(step: () => void): void {
    if (this.#order.isWaiting) this.#order.later(step)
    else step()
  }

  /** Until it is answered it is pending. */
  #counted<Outcome>(count: number, settled: Settle<Outcome>): Settle<Outcome> {
    this.#pending += count
    return (outcome) => {
      this.#pending -= count
      settled(outcome)
      this.#askForMore()
    }
  }

  /** Half of what it may have under way, so that it does not stop and go for each. */
  #askForMore(): void {
    if (this.#more.size === 0 || this.#late.nextAtMs !== undefined) return
    if (this.#pending > this.#host.limits.uplinkMaxPending / 2) return
    const all = [...this.#more]
    this.#more.clear()
    for (const more of all) more()
  }

  #channel(name: ChannelName): ChannelId | undefined {
    const known = this.#channels.get(name)
    if (known !== undefined || !hasChannel(this.#record, name)) return known
    const channel = channelId(this.app, this.source.device, name)
    this.#channels.set(name, channel)
    return channel
  }

  #receive(name: ChannelName, uplinks: readonly Uplink[], settled: Settle<Taken>): void {
    if (this.#over || this.#host.mailbox.full) {
      settled('unavailable') // before it is judged, or its repeat would look kept
      return
    }
    const channel = this.#channel(name)
    if (channel === undefined) {
      this.#lookAgain(name, uplinks, settled)
      return
    }
    if (!uplinks.some(isNamed)) {
      this.#host.counts.uplinks += uplinks.length
      this.#keepEvents(channel, uplinks, undefined, 'kept', settled)
      return
    }
    this.#holding(
      channel,
      (shared, dedupe) => this.#judge(shared, dedupe, uplinks, settled),
      () => settled('unavailable'),
    )
  }

  /** It may have got the channel since it was admitted. */
  #lookAgain(name: ChannelName, uplinks: readonly Uplink[], settled: Settle<Taken>): void {
    this.#order.until(
      this.#host.device(this.source),
      (record) => {
        if (record === undefined || !hasChannel(record, name)) {
          settled('unknown-channel')
          return
        }
        this.#record = record
        this.#receive(name, uplinks, settled)
      },
      () => settled('unavailable'),
    )
  }

  /** With the dedupe of a channel in hand, to be let go by `held`. */
  #holding(
    channel: ChannelId,
    held: (shared: SharedDedupe, dedupe: Dedupe) => void,
    failed: () => void,
  ): void {
    const { dedupes } = this.#host
    const shared = dedupes.hold(channel)
    const go = (): void => {
      if (!shared.isVoid && shared.dedupe !== undefined) {
        held(shared, shared.dedupe)
        return
      }
      dedupes.letGo(shared)
      failed()
    }
    if (shared.loading === undefined) go()
    else this.#order.until(shared.loading, go, go)
  }

  #judge(
    shared: SharedDedupe,
    dedupe: Dedupe,
    uplinks: readonly Uplink[],
    settled: Settle<Taken>,
  ): void {
    const { counts, dedupes } = this.#host
    if (this.#over || !this.#hasRoom(dedupe, uplinks)) {
      dedupes.letGo(shared)
      settled('unavailable')
      return
    }
    const fresh: Uplink[] = []
    let outcome: Taken = 'kept'
    for (const uplink of uplinks) {
      const { once, stamp } = uplink
      counts.uplinks++
      let judgement: Judgement = 'fresh'
      if (once !== undefined && dedupe.isPending(once)) judgement = 'duplicate'
      else if (stamp !== undefined) judgement = dedupe.judge(stamp, false)
      if (judgement === 'stale') outcome = 'stale'
      if (judgement === 'duplicate') counts.duplicates++
      if (judgement !== 'fresh') continue
      if (once !== undefined) dedupe.remember(once)
      fresh.push(uplink)
    }
    const { channel } = shared
    const kept = fresh.length === 0 ? undefined : dedupe.encode()
    this.#keepEvents(channel, fresh, kept, outcome, settled, shared)
  }

  /** Before any of them is judged: what is refused comes again, all of it. */
  #hasRoom(dedupe: Dedupe, uplinks: readonly Uplink[]): boolean {
    let names = dedupe.pending
    for (const { once } of uplinks) {
      if (once === undefined || dedupe.isPending(once)) continue
      names++
      const isShort = once.length <= onceMaxBytes && Buffer.byteLength(once) <= onceMaxBytes
      if (isShort && names <= this.#host.limits.onceMaxPending) continue
      const { app, source, protocol } = this
      this.#host.log('intake.once-refused', { app, device: source.device, protocol, names })
      return false
    }
    return true
  }

  #keepEvents(
    channel: ChannelId,
    uplinks: readonly Uplink[],
    kept: string | undefined,
    outcome: Taken,
    settled: Settle<Taken>,
    shared?: SharedDedupe,
  ): void {
    const { clock, mailbox, quotas } = this.#host
    const atMs = clock.nowMs()
    const { app, device } = this.source
    const name = channel.slice(this.device.length + 1)
    const events: NewEvent[] = []
    let counted = 0
    for (const { name: event, payload, contentType, stamp, maybeRepeat } of uplinks) {
      if (maybeRepeat !== true) counted++ // nobody knows whether the first one came
      const about = { app, device, channel: name, atMs }
      events.push({
        kind: 'event',
        ...about,
        name: event,
        payload,
        contentType,
        stamp,
        maybeRepeat,
      })
    }
    const holdMs = events.length === 0 ? 0 : quotas.events(app, events.length, atMs)
    const tally = this.#tally
    tally.uplinks += counted
    // Even where nothing is new the answer waits its turn: the first copy may still be on its way.
    mailbox.settle(channel, { changes: [], events, uplinks: kept }, (settlement) => {
      this.#letGo(shared, settlement)
      if (settlement !== 'kept') {
        settled('unavailable')
        return
      }
      if (counted > 0) tally.uplinksKept(counted, clock.nowMs() - atMs)
      if (holdMs === 0 || this.#over) settled(outcome)
      else this.#answerLater(atMs + holdMs, () => settled(outcome))
    })
  }

  #letGo(shared: SharedDedupe | undefined, settlement: 'kept' | 'unavailable'): void {
    if (shared === undefined) return
    if (settlement !== 'kept') this.#host.dedupes.void(shared)
    this.#host.dedupes.letGo(shared)
  }

  /** Over its app's quota: kept like any other, but answered only when that is paid for. */
  #answerLater(atMs: number, answer: () => void): void {
    this.#late.hold(atMs, answer)
    this.#host.quotas.holding(this.app, this, this.#host.clock.nowMs())
    this.#host.deadlines.arm(this)
  }

  #reply(id: CommandId, reply: StampedReply, settled: Settle<Answered>): void {
    const place = locateCommand(this.app, id)
    if (place === undefined || place.device !== this.source.device) {
      settled('unknown')
      return
    }
    const found = this.#host.mailbox.find(place.channel, place.epoch, place.offset)
    if (found instanceof Promise) {
      this.#order.until(
        found,
        (one) => this.#replyTo(one, reply, settled),
        () => settled('unavailable'),
      )
    } else this.#replyTo(found, reply, settled)
  }

  #replyTo(found: Found | undefined, reply: StampedReply, settled: Settle<Answered>): void {
    if (!isPlaced(found)) {
      settled('unknown')
      return
    }
    this.#host.counts.uplinks++
    const { stamp } = reply
    if (stamp === undefined) {
      this.#keepReply(found, reply, undefined, settled)
      return
    }
    const { channel } = found.command
    this.#holding(
      channel,
      (shared, dedupe) => {
        const judgement = dedupe.judge(stamp, false)
        if (judgement === 'fresh') {
          this.#keepReply(found, reply, dedupe.encode(), settled, shared)
          return
        }
        if (judgement === 'duplicate') this.#host.counts.duplicates++
        const outcome = judgement === 'stale' ? 'stale' : 'kept'
        this.#host.mailbox.settle(channel, { changes: [] }, (settlement) => {
          this.#letGo(shared, settlement)
          settled(settlement === 'kept' ? outcome : settlement)
        })
      },
      () => settled('unavailable'),
    )
  }

  #keepReply(
    found: Found,
    reply: StampedReply,
    uplinks: string | undefined,
    settled: Settle<Answered>,
    shared?: SharedDedupe,
  ): void {
    const { clock, mailbox } = this.#host
    const atMs = clock.nowMs()
    const { channel, offset } = found.command
    const counted = reply.stamp === undefined && answered(found) ? 0 : 1
    const tally = this.#tally
    tally.uplinks += counted
    // Whoever is attached has no need to be told of it by the device any more.
    const attachment = this.#host.attached(channel)
    const isOut = attachment?.live.out(offset) !== undefined
    if (found.kind === 'open') attachment?.replying(offset, atMs)
    const settlement = { ...replySettlement(reply, found, atMs), uplinks }
    mailbox.settle(channel, settlement, (outcome) => {
      this.#letGo(shared, outcome)
      settled(outcome)
      if (outcome !== 'kept') return
      tally.uplinksKept(counted, clock.nowMs() - atMs)
      if (!isOut) tallyWritten(tally, found, atMs)
      // Another may be attached by now.
      const there = this.#host.attached(channel)
      if (there === undefined) this.#host.kept()
      else there.kept(settlement.changes, undefined)
    })
  }

  #forget(
    name: ChannelName,
    forget: (dedupe: Dedupe) => boolean,
    settled: Settle<'kept' | 'unavailable'>,
  ): void {
    if (this.#over) {
      settled('unavailable')
      return
    }
    const channel = this.#channel(name)
    if (channel === undefined) {
      settled('kept') // nothing was ever taken of it
      return
    }
    this.#holding(
      channel,
      (shared, dedupe) => {
        const uplinks = forget(dedupe) ? dedupe.encode() : undefined
        this.#host.mailbox.settle(channel, { changes: [], uplinks }, (settlement) => {
          this.#letGo(shared, settlement)
          settled(settlement)
        })
      },
      () => settled('unavailable'),
    )
  }
}

/** Something besides its arrival tells it from others. */
const isNamed = ({ stamp, once }: Uplink): boolean => stamp !== undefined || once !== undefined

/** The reply says that the device has a command that no link waits for any more. */
function tallyWritten(tally: Tally, found: Found, nowMs: number): void {
  if (found.kind === 'ended') return
  const { command } = found
  if (command.deliveredAtMs !== undefined || command.sentAtMs === undefined) return
  if (!sentBeforeRestart(command)) tally.downlinkAcknowledged(nowMs - command.sentAtMs)
}
