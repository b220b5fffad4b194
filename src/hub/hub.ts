import type { Channel } from '../channel/index.ts'
import type {
  Admitted,
  AppId,
  Attached,
  Broadcast,
  Broadcasted,
  BroadcastId,
  BroadcastRequest,
  Canceled,
  ChannelId,
  ChannelName,
  Claim,
  Clock,
  CommandId,
  CommandStatus,
  Core,
  Credential,
  Depth,
  DeviceId,
  Engine,
  EngineState,
  Explanation,
  Gateway,
  Hello,
  Limits,
  Link,
  Presence,
  Pulse,
  Reason,
  Shelf,
  Silence,
  SlaSeries,
  Source,
  SubmitRequest,
  Submitted,
  Verifier,
} from '../contract/index.ts'
import { channelParts, limits } from '../contract/index.ts'
import { AdapterShelf } from './adapter-shelf.ts'
import { Arrivals, type House } from './arrivals.ts'
import { Attachment } from './attachment.ts'
import { Broadcaster } from './broadcaster.ts'
import { Deadlines } from './deadlines.ts'
import { Dedupes } from './dedupes.ts'
import { Desk } from './desk.ts'
import { explain } from './explain.ts'
import { Heartbeats } from './heartbeats.ts'
import { type Figures, type Host, type HubCounts, noCounts, unavailableRetryMs } from './host.ts'
import { Overdue } from './overdue.ts'
import { Patrol } from './patrol.ts'
import { Placement } from './placement.ts'
import { Presences } from './presences.ts'
import { Quotas } from './quotas.ts'
import { Removal } from './removal.ts'
import { type Asked, Router } from './router.ts'
import { Schedules } from './schedules.ts'
import { Sla } from './sla.ts'
import { Sources, type SourcesHost } from './sources.ts'
import { Verifiers } from './verifiers.ts'
import { Waiters } from './waiters.ts'

export interface HubOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly limits?: Partial<Limits>
  readonly log?: (event: string, fields: Record<string, unknown>) => void
  /** Nothing is ended by time before this moment (rule 34). */
  readonly holdExpiryUntilMs?: number
}

/**
 * All channels of one node: where devices attach and back ends ask.
 *
 * To adapters it is the `Core`, to the northbound API the `Gateway`. It holds what is live; what
 * must last is in the engine, and is loaded afresh whenever the engine has lost something.
 */
export class Hub implements Core, Gateway, Host, House, SourcesHost, Asked {
  readonly engine: Engine
  readonly clock: Clock
  readonly limits: Limits
  readonly mailbox
  readonly deadlines: Deadlines
  readonly quotas: Quotas
  readonly dedupes: Dedupes
  readonly heartbeats: Heartbeats
  readonly shelf: Shelf
  readonly service: Sla
  readonly counts: HubCounts = noCounts()

  readonly #log: (event: string, fields: Record<string, unknown>) => void
  readonly #live = new Map<ChannelId, Attachment>()
  readonly #router: Router
  readonly #desk: Desk
  readonly #schedules: Schedules
  readonly #broadcaster: Broadcaster
  readonly #waiters: Waiters
  readonly #overdue: Overdue
  readonly #patrol: Patrol
  readonly #presences: Presences
  readonly #sources: Sources
  readonly #arrivals: Arrivals
  readonly #removal: Removal
  readonly #verifiers: Verifiers
  readonly #holdUntilMs: number
  #unlisten: (() => void) | undefined
  #state: 'new' | 'running' | 'stopped' = 'new'

  constructor(options: HubOptions) {
    this.engine = options.engine
    this.clock = options.clock
    this.limits = { ...limits, ...options.limits }
    this.#log = options.log ?? (() => {})
    this.mailbox = this.engine.mailbox
    this.deadlines = new Deadlines(this.clock)
    this.service = new Sla(this.limits)
    this.quotas = new Quotas(this.engine.names, this.clock)
    this.dedupes = new Dedupes(this.mailbox)
    this.shelf = new AdapterShelf(this.engine.shelf)
    this.heartbeats = new Heartbeats(this.engine.shelf, this.clock, this.limits)
    this.#holdUntilMs = options.holdExpiryUntilMs ?? 0
    const { names, events, broadcasts } = this.engine
    const { mailbox, clock, quotas } = this
    this.#router = new Router(names, mailbox, clock, this.limits, quotas, this)
    this.#waiters = new Waiters(clock, this.limits.waitersMax)
    this.#desk = new Desk(names, mailbox, clock, this.limits, this.#waiters)
    const placement = new Placement(names, mailbox, clock, this.limits, this)
    this.#schedules = new Schedules(mailbox, placement, clock, this.#log)
    this.#schedules.holdUntil(this.#holdUntilMs)
    this.#broadcaster = new Broadcaster(
      broadcasts,
      names,
      placement,
      clock,
      this.limits,
      quotas,
      this,
    )
    this.#overdue = new Overdue(this.mailbox, this.clock, this.limits, (channel, offset) =>
      this.#live.get(channel)?.withdraw(offset),
    )
    this.#overdue.holdUntil(this.#holdUntilMs)
    this.#arrivals = new Arrivals(this)
    this.#presences = new Presences(events, this.limits, this.deadlines)
    this.#verifiers = new Verifiers(names, this.clock, this.limits)
    this.#sources = new Sources(this, this.#presences, (device) => this.#verifiers.arrived(device))
    this.#removal = new Removal({
      clock,
      names,
      desk: this.#desk,
      arrivals: this.#arrivals,
      sources: this.#sources,
      presences: this.#presences,
      heartbeats: this.heartbeats,
      isAttached: (channel) => this.#live.has(channel),
    })
    this.#patrol = new Patrol(this.clock, this.limits.patrolMs, (nowMs) => {
      this.#arrivals.sweep(nowMs)
      this.#arm()
    })
  }

  async start(): Promise<void> {
    this.#state = 'running'
    this.#unlisten = this.engine.events.listen((events) => this.#waiters.heard(events))
    this.engine.onState((state, detail) => this.#engineTurned(state, detail))
    await this.quotas.load(this.clock.nowMs())
    this.#patrol.start()
    this.#arm()
    this.#broadcaster.resume()
  }

  /** End every session; adapters have been stopped before, so this finds what they left. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#closeAll('going-away')
    this.#patrol.stop()
    this.#overdue.stop()
    this.#schedules.stop()
    this.#broadcaster.halt()
    this.quotas.stop()
    this.deadlines.stop()
    this.#unlisten?.()
    await this.heartbeats.stop()
    await this.engine.flushed()
  }

  // Core: what adapters may ask.

  verifier(app: AppId, device: DeviceId, kdf: Credential['kdf'], peer: string): Promise<Verifier> {
    return this.#verifiers.verifier(app, device, kdf, peer)
  }

  wrongSecret(app: AppId, device: DeviceId, peer: string): void {
    this.#verifiers.wrongSecret(app, device, peer)
    this.#log('device.wrong-secret', { app, device, peer })
  }

  attach(link: Link, hello: Hello): Promise<Attached> {
    return this.#arrivals.attach(link, hello)
  }

  admit(source: Source): Promise<Admitted> {
    return this.#sources.admit(source)
  }

  pulse(app: AppId, device: DeviceId, silence: Silence): Promise<Pulse | undefined> {
    return this.heartbeats.ofClass(this.engine.names, app, device, silence)
  }

  waiting(app: AppId, device: DeviceId, channel?: ChannelName): Promise<number> {
    return this.#desk.waiting(app, device, channel)
  }

  // House: what arrivals need.

  get running(): boolean {
    return this.#state === 'running'
  }

  log(event: string, fields: Record<string, unknown>): void {
    this.#log(event, fields)
  }

  settleIn(claim: Claim, link: Link, channel: Channel, figures: Figures): Attachment {
    const attachment = new Attachment(this, claim, link, channel, figures)
    this.#live.set(channel.id, attachment)
    this.#patrol.add(attachment)
    this.quotas.attached(channelParts(channel.id).app)
    const isFirst = this.#presences.came(attachment, this.clock.nowMs())
    if (isFirst) this.#verifiers.arrived(attachment.device)
    return attachment
  }

  // Host: what attachments tell.

  detached(attachment: Attachment, why: Reason | 'lost', backAtMs?: number): void {
    const { channel } = attachment
    this.#patrol.remove(attachment)
    this.dedupes.letGo(attachment.sharedUplinks)
    this.engine.directory.release(attachment.claim)
    this.quotas.detached(channelParts(channel).app)
    if (this.#live.get(channel) === attachment) {
      this.#live.delete(channel)
      if (!this.#arrivals.has(channel)) this.mailbox.release(channel)
    }
    this.#presences.left(attachment, why, this.clock.nowMs(), backAtMs)
    this.#overdue.arm() // what was sent and not acknowledged is due a little later than before
  }

  suspicion(attachment: Attachment): void {
    this.#presences.suspicion(attachment, this.clock.nowMs())
  }

  // Asked: what whoever places commands needs.

  attached(channel: ChannelId): Attachment | undefined {
    return this.#live.get(channel)
  }

  kept(): void {
    this.#overdue.arm()
  }

  scheduled(): void {
    this.#schedules.arm()
  }

  // Gateway: what back ends may ask.

  submit(request: SubmitRequest): Promise<Submitted> {
    return this.#router.submit(request)
  }

  status(app: AppId, id: CommandId): Promise<CommandStatus | undefined> {
    return this.#desk.status(app, id)
  }

  wait(app: AppId, id: CommandId, timeoutMs: number): Promise<CommandStatus | undefined> {
    return this.#desk.wait(app, id, timeoutMs)
  }

  cancel(app: AppId, id: CommandId): Promise<Canceled> {
    return this.#desk.cancel(app, id)
  }

  broadcast(request: BroadcastRequest): Promise<Broadcasted> {
    return this.#broadcaster.begin(request)
  }

  stopBroadcast(app: AppId, id: BroadcastId): Promise<Broadcast | undefined> {
    return this.#broadcaster.stop(app, id)
  }

  async explain(app: AppId, id: CommandId): Promise<Explanation | undefined> {
    const status = await this.status(app, id)
    if (status === undefined) return undefined
    const { device } = channelParts(status.command.channel)
    return explain(status, this.mailbox, this.limits, {
      attachment: this.#live.get(status.command.channel),
      presence: this.presence(app, device),
      store: this.engine.state,
      nowMs: this.clock.nowMs(),
      holdUntilMs: this.#holdUntilMs,
    })
  }

  presence(app: AppId, device: DeviceId): Presence {
    return this.#presences.of(app, device)
  }

  depth(app: AppId, device: DeviceId): Promise<Depth> {
    return this.#desk.depth(app, device)
  }

  removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#removal.remove(app, device)
  }

  refuseDevice(app: AppId, device: DeviceId): void {
    this.#removal.close(app, device, 'device-disabled')
  }

  ready(): { readonly ok: boolean; readonly why?: string } {
    if (this.#state !== 'running') return { ok: false, why: `the gateway is ${this.#state}` }
    const { state } = this.engine
    return state === 'ready' ? { ok: true } : { ok: false, why: `the store is ${state}` }
  }

  figures(): Readonly<Record<string, number>> {
    return {
      sessions: this.#live.size,
      sources: this.#sources.size,
      devices_online: this.#presences.online,
      commands_written_total: this.counts.delivered,
      commands_rewritten_total: this.counts.repeated,
      uplinks_arrived_total: this.counts.uplinks,
      uplinks_duplicate_total: this.counts.duplicates,
      uplinks_stale_total: this.counts.stale,
      uplink_names_lost_total: this.counts.namesLost,
      probes_total: this.counts.probes,
      commands_scheduled_placed_total: this.#schedules.placed,
      broadcasts_running: this.#broadcaster.running,
      broadcast_commands_placed_total: this.#broadcaster.placed,
      quota_limited_total: this.quotas.limited,
      waiters: this.#waiters.size,
      deadlines: this.deadlines.size,
      heartbeat_devices: this.heartbeats.devices,
      heartbeat_networks: this.heartbeats.networks,
      heartbeat_proofs_total: this.heartbeats.proofs,
      heartbeat_failures_total: this.heartbeats.failures,
    }
  }

  sla(): readonly SlaSeries[] {
    return this.service.all()
  }

  #closeAll(reason: Reason, retryAfterMs?: number): void {
    for (const attachment of [...this.#live.values()]) attachment.close(reason, retryAfterMs)
    this.#sources.closeAll(reason, retryAfterMs)
  }

  #arm(): void {
    this.#overdue.arm()
    this.#schedules.arm()
  }

  #engineTurned(state: EngineState, detail: string): void {
    this.#log('engine.state', { state, detail })
    if (state === 'ready') {
      this.#arm()
      if (this.running) this.#broadcaster.resume()
      return
    }
    // What sessions hold may be ahead of what is kept: they start over from the store.
    this.dedupes.voidAll()
    this.#closeAll('unavailable', unavailableRetryMs)
  }
}
