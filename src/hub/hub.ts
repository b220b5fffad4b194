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
  DeviceRecord,
  Engine,
  EngineState,
  Explanation,
  Gateway,
  Hello,
  Keepalive,
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
  Traces,
  Verifier,
} from '../contract/index.ts'
import { channelParts, limits } from '../contract/index.ts'
import { AdapterShelf } from './adapter-shelf.ts'
import { Attachment } from './attachment.ts'
import { Deadlines } from './deadlines.ts'
import { Dedupes } from './dedupes.ts'
import { explain } from './explain.ts'
import { isGranted } from './grants.ts'
import { Heartbeats } from './heartbeats.ts'
import { type Figures, type HubCounts, noCounts, unavailableRetryMs } from './host.ts'
import { Independence } from './independence.ts'
import { makeParts, type Parts, type Whole } from './parts.ts'
import { Quotas } from './quotas.ts'
import { noteKept } from './recorder/notes.ts'
import { FlightRecorder } from './recorder/recorder.ts'
import { Sla } from './sla.ts'

/** From which level on; the last is the node's: devices are sent away. */
const pressure = { refuse: 1, shed: 2, narrow: 3, limit: 4 } as const
const narrowWindowCommands = 2
const crowdedMinMs = 5_000
const limitedMs = 2_000

export interface HubOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly limits?: Partial<Limits>
  readonly log?: (event: string, fields: Record<string, unknown>) => void
  /** Nothing is ended by time before this moment (rule 34). */
  readonly holdExpiryUntilMs?: number
  /** Channels that have a connection to themselves unless their device's record says otherwise. */
  readonly independentChannels?: readonly ChannelName[]
}

/**
 * All channels of one node: where devices attach and back ends ask.
 *
 * To adapters it is the `Core`, to the northbound API the `Gateway`. It holds what is live; what
 * must last is in the engine, and is loaded afresh whenever the engine has lost something.
 */
export class Hub implements Core, Gateway, Whole {
  readonly engine: Engine
  readonly clock: Clock
  readonly limits: Limits
  readonly mailbox
  readonly deadlines: Deadlines
  readonly quotas: Quotas
  readonly dedupes: Dedupes
  readonly heartbeats: Heartbeats
  readonly independence: Independence
  readonly shelf: Shelf
  readonly service: Sla
  readonly recorder: FlightRecorder
  readonly counts: HubCounts = noCounts()

  readonly #log: (event: string, fields: Record<string, unknown>) => void
  readonly #live = new Map<ChannelId, Attachment>()
  readonly #parts: Parts
  readonly #holdUntilMs: number
  #unlisten: (() => void) | undefined
  #leaving: (() => number) | undefined
  /** How much too much there is, see `src/node/overload.ts`. */
  #pressure = 0
  #state: 'new' | 'running' | 'stopped' = 'new'

  constructor(options: HubOptions) {
    this.engine = options.engine
    this.clock = options.clock
    this.limits = { ...limits, ...options.limits }
    this.#log = options.log ?? (() => {})
    this.mailbox = this.engine.mailbox
    this.deadlines = new Deadlines(this.clock)
    this.service = new Sla(this.limits)
    this.recorder = new FlightRecorder(this.clock, this.limits)
    this.quotas = new Quotas(this.engine.names, this.clock)
    this.dedupes = new Dedupes(this.mailbox)
    this.shelf = new AdapterShelf(this.engine.shelf)
    this.heartbeats = new Heartbeats(this.engine.shelf, this.clock, this.limits)
    this.independence = new Independence(options.independentChannels ?? [])
    this.#holdUntilMs = options.holdExpiryUntilMs ?? 0
    this.#parts = makeParts(this, this.#holdUntilMs)
  }

  async start(): Promise<void> {
    this.#state = 'running'
    this.#unlisten = this.engine.events.listen((events) => {
      noteKept(this.recorder, events)
      this.#parts.waiters.heard(events)
    }, 'reports')
    this.engine.onState((state, detail) => this.#engineTurned(state, detail))
    await this.quotas.load(this.clock.nowMs())
    await this.#parts.presences.remember(this.clock.nowMs())
    this.#parts.patrol.start()
    this.#arm()
    this.#parts.broadcaster.resume()
  }

  /** End every session; adapters have been stopped before, so this finds what they left. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    this.#closeAll('going-away')
    this.#parts.patrol.stop()
    this.#parts.overdue.stop()
    this.#parts.schedules.stop()
    this.#parts.broadcaster.halt()
    this.quotas.stop()
    this.deadlines.stop()
    this.#unlisten?.()
    await this.heartbeats.stop()
    await this.engine.flushed()
  }

  /**
   * Let nobody in, and write no more commands: they wait in their mailboxes. undefined: go on.
   * @param comeBackMs when to try again, for one who is refused.
   */
  leave(comeBackMs: (() => number) | undefined): void {
    this.#leaving = comeBackMs
    for (const attachment of [...this.#live.values()]) attachment.hold(comeBackMs !== undefined)
  }

  /** How much too much there is at this moment: its steps are in `docs/operations.md`, Overload. */
  press(level: number): void {
    const wasNarrow = this.#pressure >= pressure.narrow
    this.#pressure = level
    const isNarrow = level >= pressure.narrow
    if (wasNarrow === isNarrow) return
    const max = isNarrow ? narrowWindowCommands : Number.POSITIVE_INFINITY
    for (const attachment of [...this.#live.values()]) attachment.narrow(max)
  }

  /** Is what nobody expects to be acknowledged dropped? */
  sheds(): boolean {
    return this.#pressure >= pressure.shed
  }

  /** When to come back, of a node that takes no more; undefined: it does. */
  crowdedMs(): number | undefined {
    return this.#pressure >= pressure.refuse ? crowdedMinMs * (1 + 2 * Math.random()) : undefined
  }

  /** Those who stay connected, with and without a channel: one device may be several. */
  get present(): number {
    return this.#live.size + this.#parts.sources.staying
  }

  /** Commands out on links, not acknowledged yet. */
  get inFlight(): number {
    let count = 0
    for (const { live } of this.#live.values()) count += live.inFlight
    return count
  }

  /** Whoever is left, at once. */
  hangUp(reason: Reason, retryAfterMs: number): void {
    this.#closeAll(reason, retryAfterMs)
  }

  // Core: what adapters may ask.

  verifier(app: AppId, device: DeviceId, kdf: Credential['kdf'], peer: string): Promise<Verifier> {
    return this.#parts.verifiers.verifier(app, device, kdf, peer)
  }

  wrongSecret(app: AppId, device: DeviceId, peer: string): void {
    this.#parts.verifiers.wrongSecret(app, device, peer)
    this.#log('device.wrong-secret', { app, device, peer })
  }

  async grants(app: AppId, gateway: DeviceId, device: DeviceId): Promise<boolean> {
    const looked = this.engine.names.device(app, device)
    const record = looked instanceof Promise ? await looked : looked
    return record !== undefined && !record.disabled && isGranted(record, gateway)
  }

  attach(link: Link, hello: Hello): Promise<Attached> {
    return this.#parts.arrivals.attach(link, hello)
  }

  admit(source: Source): Promise<Admitted> {
    return this.#parts.sources.admit(source)
  }

  pulse(app: AppId, device: DeviceId, silence: Silence): Promise<Pulse | undefined> {
    return this.heartbeats.ofClass(this.engine.names, app, device, silence)
  }

  waiting(app: AppId, device: DeviceId, channel?: ChannelName): Promise<number> {
    return this.#parts.desk.waiting(app, device, channel)
  }

  // House: what arrivals need.

  get running(): boolean {
    return this.#state === 'running'
  }

  comeBackMs(): number | undefined {
    return this.#leaving?.()
  }

  log(event: string, fields: Record<string, unknown>): void {
    this.#log(event, fields)
  }

  settleIn(claim: Claim, link: Link, channel: Channel, figures: Figures): Attachment {
    const attachment = new Attachment(this, claim, link, channel, figures)
    this.#live.set(channel.id, attachment)
    this.#parts.patrol.add(attachment)
    this.quotas.attached(channelParts(channel.id).app)
    const isFirst = this.#parts.presences.came(attachment, this.clock.nowMs())
    if (isFirst) this.#parts.verifiers.arrived(attachment.device)
    this.#parts.verifiers.proved(attachment.device, link.peer)
    return attachment
  }

  // Host: what attachments tell.

  detached(attachment: Attachment, why: Reason | 'lost', backAtMs?: number): void {
    const { channel } = attachment
    this.#parts.patrol.remove(attachment)
    if (attachment.sharedUplinks !== undefined) this.dedupes.letGo(attachment.sharedUplinks)
    this.engine.directory.release(attachment.claim)
    this.quotas.detached(channelParts(channel).app)
    if (this.#live.get(channel) === attachment) {
      this.#live.delete(channel)
      if (!this.#parts.arrivals.has(channel)) this.mailbox.release(channel)
    }
    this.#parts.presences.left(attachment, why, this.clock.nowMs(), backAtMs)
    this.#parts.overdue.arm() // what was sent and not acknowledged is due a little later than before
  }

  closeVia(app: AppId, gateway: DeviceId, reason: Reason): void {
    for (const attachment of [...this.#live.values()]) {
      if (attachment.via !== gateway || channelParts(attachment.channel).app !== app) continue
      attachment.close(reason)
    }
  }

  suspicion(attachment: Attachment): void {
    this.#parts.presences.suspicion(attachment, this.clock.nowMs())
  }

  // Asked: what whoever places commands needs.

  attached(channel: ChannelId): Attachment | undefined {
    return this.#live.get(channel)
  }

  kept(): void {
    this.#parts.overdue.arm()
  }

  scheduled(): void {
    this.#parts.schedules.arm()
  }

  patrolled(nowMs: number): void {
    this.#parts.arrivals.sweep(nowMs)
    this.#arm()
  }

  // Gateway: what back ends may ask.

  get traces(): Traces {
    return this.recorder
  }

  async submit(request: SubmitRequest): Promise<Submitted> {
    if (this.#pressure >= pressure.limit) return this.#limited()
    return this.#parts.router.submit(request)
  }

  status(app: AppId, id: CommandId): Promise<CommandStatus | undefined> {
    return this.#parts.desk.status(app, id)
  }

  wait(app: AppId, id: CommandId, timeoutMs: number): Promise<CommandStatus | undefined> {
    return this.#parts.desk.wait(app, id, timeoutMs)
  }

  cancel(app: AppId, id: CommandId): Promise<Canceled> {
    return this.#parts.desk.cancel(app, id)
  }

  async broadcast(request: BroadcastRequest): Promise<Broadcasted> {
    if (this.#pressure >= pressure.limit) return this.#limited()
    return this.#parts.broadcaster.begin(request)
  }

  stopBroadcast(app: AppId, id: BroadcastId): Promise<Broadcast | undefined> {
    return this.#parts.broadcaster.stop(app, id)
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
    return this.#parts.presences.of(app, device)
  }

  keepalive(app: AppId, device: DeviceId): Keepalive {
    const grantedMs = this.#parts.presences.keepaliveMs(app, device)
    return { grantedMs, provenMs: this.heartbeats.provenMs(app, device) }
  }

  depth(app: AppId, device: DeviceId): Promise<Depth> {
    return this.#parts.desk.depth(app, device)
  }

  removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#parts.removal.remove(app, device)
  }

  refuseDevice(app: AppId, device: DeviceId): void {
    this.#parts.removal.close(app, device, 'device-disabled')
  }

  deviceChanged(before: DeviceRecord, after: DeviceRecord): void {
    this.#parts.changes.made(before, after)
  }

  ready(): { readonly ok: boolean; readonly why?: string } {
    if (this.#state !== 'running') return { ok: false, why: `the gateway is ${this.#state}` }
    if (this.#leaving !== undefined) return { ok: false, why: 'draining' }
    const { state } = this.engine
    return state === 'ready' ? { ok: true } : { ok: false, why: `the store is ${state}` }
  }

  figures(): Readonly<Record<string, number>> {
    return {
      sessions: this.#live.size,
      sources: this.#parts.sources.size,
      devices_online: this.#parts.presences.online,
      commands_written_total: this.counts.delivered,
      commands_rewritten_total: this.counts.repeated,
      uplinks_arrived_total: this.counts.uplinks,
      uplinks_duplicate_total: this.counts.duplicates,
      uplinks_stale_total: this.counts.stale,
      uplink_names_lost_total: this.counts.namesLost,
      uplinks_shed_total: this.counts.shed,
      connections_aged_total: this.counts.aged,
      overload_limited_total: this.counts.limited,
      overload_refused_total: this.counts.crowded,
      probes_total: this.counts.probes,
      commands_scheduled_placed_total: this.#parts.schedules.placed,
      broadcasts_running: this.#parts.broadcaster.running,
      broadcast_commands_placed_total: this.#parts.broadcaster.placed,
      quota_limited_total: this.quotas.limited,
      waiters: this.#parts.waiters.size,
      deadlines: this.deadlines.size,
      ...this.recorder.figures(),
      heartbeat_devices: this.heartbeats.devices,
      heartbeat_networks: this.heartbeats.networks,
      heartbeat_proofs_total: this.heartbeats.proofs,
      heartbeat_failures_total: this.heartbeats.failures,
    }
  }

  sla(): readonly SlaSeries[] {
    return this.service.all()
  }

  #limited() {
    this.counts.limited++
    return { kind: 'limited', retryAfterMs: limitedMs } as const
  }

  #closeAll(reason: Reason, retryAfterMs?: number): void {
    for (const attachment of [...this.#live.values()]) attachment.close(reason, retryAfterMs)
    this.#parts.sources.closeAll(reason, retryAfterMs)
  }

  #arm(): void {
    this.#parts.overdue.arm()
    this.#parts.schedules.arm()
  }

  #engineTurned(state: EngineState, detail: string): void {
    this.#log('engine.state', { state, detail })
    if (state === 'ready') {
      this.#arm()
      if (this.running) this.#parts.broadcaster.resume()
      return
    }
    // What sessions hold may be ahead of what is kept: they start over from the store.
    this.dedupes.voidAll()
    this.#closeAll('unavailable', unavailableRetryMs)
  }
}
