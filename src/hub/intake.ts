import type { Dedupe, Judgement } from '../channel/index.ts'
import type {
  Answered,
  AppId,
  ChannelId,
  ChannelName,
  CommandId,
  DeviceId,
  DeviceKey,
  DeviceRecord,
  Limits,
  NewEvent,
  Intake as Port,
  Reason,
  Source,
  StampedReply,
  Taken,
  Uplink,
} from '../contract/index.ts'
import { channelId, deviceKey } from '../contract/index.ts'
import type { Deadlines } from './deadlines.ts'
import type { SharedDedupe } from './dedupes.ts'
import { count } from './host.ts'
import { InOrder } from './in-order.ts'
import { IntakeReplies, type RepliesHost } from './intake-replies.ts'
import { hasChannel } from './placement.ts'
import type { Standing } from './presences.ts'
import type { Quotas } from './quotas.ts'
import type { Tally } from './sla.ts'
import { Unanswered } from './unanswered.ts'

/** What an intake needs of the hub. */
export interface IntakeHost extends RepliesHost {
  readonly limits: Limits
  readonly deadlines: Deadlines
  readonly quotas: Quotas
  sheds(): boolean
  device(source: Source): Promise<DeviceRecord | undefined>
  /** A device gave a sign of life, by something that does not stay. */
  heard(device: DeviceKey, nowMs: number): void
  /** Exactly once, when the intake is over. */
  left(intake: Intake, why: string): void
}

/** Under overload. */
const isWanted = ({ expendable }: Uplink): boolean => expendable !== true

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
export class Intake implements Port, Standing {
  readonly device: DeviceKey
  readonly source: Source
  heardAtMs: number

  readonly #host: IntakeHost
  readonly #tally: Tally
  readonly #order = new InOrder()
  readonly #unanswered: Unanswered
  // Made when first needed: many a device only receives.
  #replies: IntakeReplies | undefined
  #channels: Map<ChannelName, ChannelId> | undefined
  #named: Named
  #over = false

  constructor(host: IntakeHost, source: Source, record: DeviceRecord, tally: Tally) {
    this.#host = host
    this.source = source
    this.device = deviceKey(source.app, source.device)
    this.#named = namedBy(record)
    this.#tally = tally
    this.heardAtMs = host.clock.nowMs()
    this.#unanswered = new Unanswered(host, source.app)
  }

  get via(): DeviceId | undefined {
    return this.source.via
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

  // What the device does.

  receive(channel: ChannelName, uplinks: readonly Uplink[], settled: Settle<Taken>): void {
    const settle = this.#unanswered.counted(uplinks.length, settled)
    this.#inOrder(() => this.#receive(channel, uplinks, settle))
  }

  reply(id: CommandId, reply: StampedReply, settled: Settle<Answered>): void {
    const settle = this.#unanswered.counted(1, settled)
    this.#inOrder(() => {
      this.#replies ??= new IntakeReplies(this.#host, this.source, this.#tally, this.#order)
      this.#replies.take(id, reply, settle)
    })
  }

  forget(channel: ChannelName, once: string, settled: Settle<'kept' | 'unavailable'>): void {
    const settle = this.#unanswered.counted(1, settled)
    this.#inOrder(() => this.#forget(channel, ({ names }) => names.forget(once), settle))
  }

  forgetAll(channel: ChannelName, prefix: string, settled: Settle<'kept' | 'unavailable'>): void {
    const settle = this.#unanswered.counted(1, settled)
    this.#inOrder(() => this.#forget(channel, ({ names }) => names.forgetAll(prefix), settle))
  }

  wants(more: () => void): boolean {
    return this.#unanswered.wants(more)
  }

  touch(): void {
    if (this.#over) return
    this.heardAtMs = this.#host.clock.nowMs()
    if (!this.source.stays) this.#host.heard(this.device, this.heardAtMs)
  }

  leave(graceful: boolean): void {
    this.#end(graceful ? 'normal' : (this.source.ended?.() ?? 'lost'))
  }

  // What the hub does.

  /** End it from our side. */
  close(reason: Reason, retryAfterMs?: number): void {
    if (this.#over) return
    this.#end(reason)
    this.source.close(reason, retryAfterMs)
  }

  #end(why: string): void {
    if (this.#over) return
    this.#over = true
    this.#unanswered.end()
    this.#host.left(this, why)
  }

  #inOrder(step: () => void): void {
    if (this.#order.isWaiting) this.#order.later(step)
    else step()
  }

  #channel(name: ChannelName): ChannelId | undefined {
    const known = this.#channels?.get(name)
    if (known !== undefined || !hasChannel(this.#named, name)) return known
    const channel = channelId(this.app, this.source.device, name)
    this.#channels ??= new Map()
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
      const { counts } = this.#host
      counts.uplinks += uplinks.length
      const wanted = this.#host.sheds() ? uplinks.filter(isWanted) : uplinks
      counts.shed += uplinks.length - wanted.length
      this.#keepEvents(channel, wanted, undefined, 'kept', settled)
      return
    }
    this.#host.dedupes.use(
      channel,
      this.#order,
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
        this.#named = namedBy(record)
        this.#receive(name, uplinks, settled)
      },
      () => settled('unavailable'),
    )
  }

  #judge(
    shared: SharedDedupe,
    dedupe: Dedupe,
    uplinks: readonly Uplink[],
    settled: Settle<Taken>,
  ): void {
    const { counts, dedupes } = this.#host
    if (this.#over || uplinks.some(hasLongName)) {
      dedupes.letGo(shared)
      settled('unavailable')
      return
    }
    const { onceMaxPending } = this.#host.limits
    const fresh: Uplink[] = []
    let outcome: Taken = 'kept'
    let changed = false
    for (const uplink of uplinks) {
      const { once, stamp } = uplink
      counts.uplinks++
      if (uplink.expendable === true && this.#host.sheds()) {
        counts.shed++
        continue
      }
      let judgement: Judgement = 'fresh'
      if (once !== undefined && dedupe.names.has(once)) judgement = 'duplicate'
      else if (stamp !== undefined) judgement = dedupe.judge(stamp, false)
      if (judgement === 'stale') outcome = 'stale'
      if (judgement !== 'fresh') count(counts, judgement)
      else fresh.push(uplink.maybeRepeat === true ? honest(uplink, dedupe) : uplink)
      changed ||= judgement === 'fresh'
      if (once === undefined || judgement === 'stale') continue
      counts.namesLost += dedupe.names.heard(once, onceMaxPending)
      changed = true
    }
    const kept = changed ? dedupe.encode() : undefined
    this.#keepEvents(shared.channel, fresh, kept, outcome, settled, shared)
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
      this.#host.dedupes.settled(shared, settlement)
      if (settlement !== 'kept') {
        settled('unavailable')
        return
      }
      if (counted > 0) tally.uplinksKept(counted, clock.nowMs() - atMs)
      if (holdMs === 0) settled(outcome)
      else this.#unanswered.hold(atMs + holdMs, clock.nowMs(), () => settled(outcome))
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
    this.#host.dedupes.use(
      channel,
      this.#order,
      (shared, dedupe) => {
        const uplinks = forget(dedupe) ? dedupe.encode() : undefined
        this.#host.mailbox.settle(channel, { changes: [], uplinks }, (settlement) => {
          this.#host.dedupes.settled(shared, settlement)
          settled(settlement)
        })
      },
      () => settled('unavailable'),
    )
  }
}

const hasLongName = ({ once = '' }: Uplink): boolean =>
  once.length > onceMaxBytes || Buffer.byteLength(once) > onceMaxBytes

/** Its name is not known: if none ever had to go it did not come before, whatever its device thinks. */
function honest(uplink: Uplink, { names }: Dedupe): Uplink {
  if (uplink.once === undefined || names.lost) return uplink
  const { maybeRepeat: _, ...sure } = uplink
  return sure
}

/** Something besides its arrival tells it from others. */
const isNamed = ({ stamp, once }: Uplink): boolean => stamp !== undefined || once !== undefined

type Named = Pick<DeviceRecord, 'channels'>

const none: Named = { channels: {} }

/** The channels a device has besides those all have. The rest of its record is nobody's to hold here. */
function namedBy({ channels }: DeviceRecord): Named {
  for (const _ in channels) return { channels }
  return none
}
