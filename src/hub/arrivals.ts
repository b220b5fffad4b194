import { Channel } from '../channel/index.ts'
import type {
  Attached,
  ChannelId,
  Claim,
  Clock,
  DeviceKey,
  DeviceRecord,
  Engine,
  Head,
  Hello,
  Limits,
  Link,
  Offset,
  Reason,
  Trail,
} from '../contract/index.ts'
import { channelId, channelParts, deviceOf } from '../contract/index.ts'
import type { Attachment } from './attachment.ts'
import type { Dedupes, SharedDedupe } from './dedupes.ts'
import { isGranted } from './grants.ts'
import type { Heartbeats } from './heartbeats.ts'
import { type Figures, type HubCounts, unavailableRetryMs } from './host.ts'
import type { Independence } from './independence.ts'
import { hasChannel } from './placement.ts'
import type { Quotas } from './quotas.ts'
import type { FlightRecorder } from './recorder/recorder.ts'
import type { Sla } from './sla.ts'
import { Takeovers } from './takeovers.ts'

/** What an arrival needs of the hub. */
export interface House {
  readonly engine: Engine
  readonly clock: Clock
  readonly limits: Limits
  readonly running: boolean
  /** When to come back, of a node that is leaving; undefined: it stays. */
  comeBackMs(): number | undefined
  /** The same, of one that has too much to do. */
  crowdedMs(): number | undefined
  readonly counts: HubCounts
  readonly quotas: Quotas
  readonly dedupes: Dedupes
  readonly heartbeats: Heartbeats
  readonly independence: Independence
  log(event: string, fields: Record<string, unknown>): void
  attached(channel: ChannelId): Attachment | undefined
  settleIn(claim: Claim, link: Link, channel: Channel, figures: Figures): Attachment
  readonly service: Sla
  readonly recorder: FlightRecorder
}

/**
 * A link's way to a session.
 *
 *     may it? ▶ fence the older ▶ claim ▶ what the older one had on its way settles ▶ open ▶ channel
 *
 * Each step may take a while, and a newer arrival may come meanwhile: the newest wins, whoever is
 * quicker (rules 18, 19).
 */
export class Arrivals {
  readonly #house: House
  readonly #takeovers: Takeovers
  /** The newest arrival under way for a channel. */
  readonly #newest = new Map<DeviceKey, Map<ChannelId, Asked>>()

  constructor(house: House) {
    this.#house = house
    this.#takeovers = new Takeovers(house.limits)
  }

  /** Is somebody on the way to this channel? */
  has(channel: ChannelId): boolean {
    return this.#newestOf(channel) !== undefined
  }

  /** Its device is not wanted any more: who is on the way to its channels is turned back. */
  forget(device: DeviceKey, why: Reason): void {
    for (const asked of this.#newest.get(device)?.values() ?? []) asked.unwanted = why
    this.#newest.delete(device)
  }

  /** Its record is another: who is on the way goes by that. */
  changed(device: DeviceKey, record: DeviceRecord): void {
    for (const asked of this.#newest.get(device)?.values() ?? []) {
      if (asked.device !== undefined) asked.device = record
    }
  }

  sweep(nowMs: number): void {
    this.#takeovers.sweep(nowMs)
  }

  async attach(link: Link, hello: Hello): Promise<Attached> {
    const channel = channelId(hello.app, hello.device, hello.channel)
    const atMs = this.#house.clock.nowMs()
    const trail = this.#trail(link, hello)
    const asked: Asked = { atMs, device: undefined, unwanted: undefined, trail }
    this.#comes(channel, asked)
    try {
      const attached =
        (await this.#refusal(channel, link, hello, asked)) ??
        this.#outrun(channel, asked) ??
        this.#fence(channel, link) ??
        (await this.#enter(channel, link, hello, asked))
      if (attached.kind === 'refused') this.#refused(link, trail, attached.reason)
      return attached
    } catch (error) {
      this.#house.log('attach.failed', { channel, connection: tokenOf(link), error: String(error) })
      this.#refused(link, trail, 'unavailable')
      return unavailable
    } finally {
      if (this.#newestOf(channel) === asked) this.#isThere(channel)
    }
  }

  #trail(link: Link, { app, device, channel }: Hello): Trail {
    if (link.trail !== undefined) return link.trail
    const { recorder } = this.#house
    return recorder.connect(link.id, link.protocol, link.peer).as(app, device, channel)
  }

  #refused(link: Link, trail: Trail, reason: Reason): void {
    trail.note('refused', { reason, about: link.peer })
    if (link.trail === undefined) trail.end(reason)
  }

  #newestOf(channel: ChannelId): Asked | undefined {
    return this.#newest.get(deviceOf(channel))?.get(channel)
  }

  #comes(channel: ChannelId, asked: Asked): void {
    const device = deviceOf(channel)
    const ofDevice = this.#newest.get(device)
    if (ofDevice === undefined) this.#newest.set(device, new Map([[channel, asked]]))
    else ofDevice.set(channel, asked)
  }

  #isThere(channel: ChannelId): void {
    const device = deviceOf(channel)
    const ofDevice = this.#newest.get(device)
    ofDevice?.delete(channel)
    if (ofDevice?.size === 0) this.#newest.delete(device)
  }

  async #enter(channel: ChannelId, link: Link, hello: Hello, asked: Asked): Promise<Attached> {
    const { dedupes } = this.#house
    // Held from before its mailbox is read: what others judge meanwhile is in it.
    const uplinks = hello.uplinkEpoch === undefined ? undefined : dedupes.hold(channel)
    let attached: Attached | undefined
    try {
      attached = await this.#settleIn(channel, link, hello, asked, uplinks)
      return attached
    } finally {
      if (uplinks !== undefined && attached?.kind !== 'session') dedupes.letGo(uplinks)
    }
  }

  async #settleIn(
    channel: ChannelId,
    link: Link,
    hello: Hello,
    asked: Asked,
    uplinks: SharedDedupe | undefined,
  ): Promise<Attached> {
    const { engine, clock, limits, service, heartbeats, independence, dedupes } = this.#house
    const { app, device, silence } = hello
    // What the older session still had on its way settles first: "last kept" must be true (rule 15).
    const learned = silence && heartbeats.load(app, device, silence)
    const { losses } = dedupes
    await Promise.all([engine.flushed(), uplinks?.loading, learned])
    const head = await this.#open(channel, hello)
    const claim = await engine.directory.claim(channel, link.id)
    const late =
      this.#outrun(channel, asked) ??
      this.#closed() ??
      this.#crowded(channel, hello) ??
      refusedIf(asked.device && !isGranted(asked.device, link.via) ? 'unauthorized' : undefined) ??
      refusedIf(asked.device && independence.misplaced(link, asked.device, hello.channel)) ??
      (uplinks?.isVoid === true || dedupes.losses !== losses ? unavailable : undefined)
    if (late !== undefined) {
      engine.directory.release(claim)
      return late
    }
    const deviceClass = asked.device?.attributes.class
    const pulse = silence && heartbeats.arrive(app, device, silence, deviceClass)
    const arrival = {
      keepaliveMs: pulse?.grant() ?? keepaliveMs(limits, hello),
      windowMaxCommands: windowMaxCommands(limits, hello.windowMaxCommands),
      resumeFrom: hello.resumeFrom,
      uplinkEpoch: hello.uplinkEpoch,
      acknowledges: link.acknowledges !== false,
    }
    const live = new Channel(channel, head, arrival, limits, clock.nowMs(), uplinks?.dedupe)
    const figures = {
      uplinks,
      tally: service.tally(app, link.protocol, deviceClass),
      askedAtMs: asked.atMs,
      resumedPast: resumedPast(head, live.position.offset),
      pulse,
      trail: asked.trail,
      ages: deviceClass !== 'battery',
    }
    const session = this.#house.settleIn(claim, link, live, figures)
    const isIndependent =
      asked.device !== undefined && independence.isIndependent(asked.device, hello.channel)
    return { kind: 'session', session, independent: isIndependent }
  }

  /** A device beyond the end of the current epoch: this store was put back, unnoticed (rule 13). */
  async #open(channel: ChannelId, { resumeFrom }: Hello): Promise<Head> {
    const { mailbox } = this.#house.engine
    const head = await mailbox.open(channel)
    const current = head.epochs.at(-1)
    const beyond = resumeFrom?.epoch === current?.epoch && (resumeFrom?.offset ?? 0) > head.top
    return beyond ? mailbox.open(channel, true) : head
  }

  /** Somebody newer is on the way, or the device was removed or disabled meanwhile. */
  #outrun(channel: ChannelId, asked: Asked): Attached | undefined {
    if (asked.unwanted !== undefined) return { kind: 'refused', reason: asked.unwanted }
    if (this.#newestOf(channel) === asked) return undefined
    const retryAfterMs = this.#house.limits.conflictHoldMs
    return { kind: 'refused', reason: 'taken-over', retryAfterMs }
  }

  #closed(): Attached | undefined {
    if (!this.#house.running) return { kind: 'refused', reason: 'going-away' }
    const retryAfterMs = this.#house.comeBackMs()
    if (retryAfterMs !== undefined) return { kind: 'refused', reason: 'going-away', retryAfterMs }
    return this.#house.engine.state === 'ready' ? undefined : unavailable
  }

  /** One who is here already may take over, and so come back to what it was. */
  #tooMuch(channel: ChannelId, hello: Hello): Attached | undefined {
    const retryAfterMs = this.#house.crowdedMs()
    if (retryAfterMs === undefined || this.#wasHere(channel, hello)) return undefined
    this.#house.counts.crowded++
    return { kind: 'refused', reason: 'overloaded', retryAfterMs }
  }

  /** Its app has as many links as it may; one that takes over takes no more (`AppQuota.sessions`). */
  #crowded(channel: ChannelId, hello: Hello): Attached | undefined {
    const instead = this.#wasHere(channel, hello)
    const admitted = this.#house.quotas.admits(hello.app, instead, this.#house.clock.nowMs())
    return admitted ? undefined : { kind: 'refused', reason: 'overloaded' }
  }

  #wasHere(channel: ChannelId, { goesOn }: Hello): boolean {
    return goesOn === true || this.#house.attached(channel) !== undefined
  }

  async #refusal(
    channel: ChannelId,
    link: Link,
    hello: Hello,
    asked: Asked,
  ): Promise<Attached | undefined> {
    const { engine, clock, independence } = this.#house
    const closed = this.#closed() ?? this.#tooMuch(channel, hello)
    if (closed !== undefined) return closed
    const device = await engine.names.device(hello.app, hello.device)
    asked.device = device
    if (device === undefined || device.disabled || !isGranted(device, link.via))
      return { kind: 'refused', reason: 'unauthorized' }
    if (!hasChannel(device, hello.channel)) return { kind: 'refused', reason: 'unknown-channel' }
    const heldMs = this.#takeovers.heldMs(channel, clock.nowMs())
    if (heldMs > 0) return { kind: 'refused', reason: 'conflict', retryAfterMs: heldMs }
    const misplaced = independence.misplaced(link, device, hello.channel)
    return refusedIf(misplaced) ?? this.#crowded(channel, hello)
  }

  /** One receiver a channel, the newest wins; unless they fight (rule 18). */
  #fence(channel: ChannelId, link: Link): Attached | undefined {
    const older = this.#house.attached(channel)
    if (older === undefined) return undefined
    const nowMs = this.#house.clock.nowMs()
    const holdMs = this.#house.limits.conflictHoldMs
    older.trail.note('taken-over', { reason: link.protocol, about: tokenOf(link) })
    if (this.#isItsOwn(older, link, nowMs) || !this.#takeovers.taken(channel, nowMs)) {
      older.close('taken-over', holdMs)
      return undefined
    }
    older.close('conflict', holdMs)
    const about = { ...channelParts(channel), atMs: nowMs, holdMs }
    this.#house.engine.events.append([{ kind: 'session.conflict', ...about }])
    this.#house.log('session.conflict', {
      channel,
      peers: [older.link.peer, link.peer],
      connections: [older.trail.token, tokenOf(link)],
    })
    return { kind: 'refused', reason: 'conflict', retryAfterMs: holdMs }
  }

  /**
   * In bad weather a device comes back before we know that it had gone: the same client, and silent on
   * its older link for as long as an answer may take. Two that fight are both alive.
   */
  #isItsOwn(older: Attachment, { client }: Link, nowMs: number): boolean {
    if (client === undefined || client !== older.link.client) return false
    return nowMs - older.heardAtMs >= this.#house.limits.ackOverdueMaxMs
  }
}

/** An arrival under way. */
interface Asked {
  /** Since when, for service figures. */
  readonly atMs: number
  /** Once it is known. */
  device: DeviceRecord | undefined
  /** Why its device is not wanted any more. */
  unwanted: Reason | undefined
  readonly trail: Trail
}

/** When commands were written whose device comes back standing past them; see `settleArrival`. */
function resumedPast(head: Head, start: Offset): Map<Offset, number> | undefined {
  let past: Map<Offset, number> | undefined
  for (const { offset, sentAtMs, deliveredAtMs } of head.open) {
    if (offset > start) break
    if (sentAtMs === undefined || deliveredAtMs !== undefined) continue
    past ??= new Map()
    past.set(offset, sentAtMs)
  }
  return past
}

function keepaliveMs(limits: Limits, { keepaliveMs: asked, adapterWatches }: Hello): number {
  if (adapterWatches === true) return Number.POSITIVE_INFINITY // rule 21
  const askedMs = asked ?? limits.keepaliveDefaultMs
  return Math.min(limits.keepaliveMaxMs, Math.max(limits.keepaliveMinMs, askedMs))
}

function windowMaxCommands(limits: Limits, asked = limits.windowMaxCommands): number {
  return Math.max(1, Math.min(limits.windowMaxCommands, asked))
}

const refusedIf = (reason: Reason | undefined): Attached | undefined =>
  reason && { kind: 'refused', reason }

/** Of the connection it goes over. */
const tokenOf = ({ id, trail }: Link): string => trail?.token ?? id

const unavailable: Attached = {
  kind: 'refused',
  reason: 'unavailable',
  retryAfterMs: unavailableRetryMs,
}
