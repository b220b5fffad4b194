import { type Channel, canceled, removed } from '../channel/index.ts'
import type {
  AppId,
  Attached,
  Canceled,
  ChannelId,
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
  Found,
  Gateway,
  Hello,
  Limits,
  Link,
  Presence,
  Reason,
  SlaSeries,
  SubmitRequest,
  Submitted,
  Verifier,
} from '../contract/index.ts'
import { deviceKey, deviceOf, limits, locateCommand } from '../contract/index.ts'
import { Arrivals, type House } from './arrivals.ts'
import {
  Attachment,
  type Figures,
  type Host,
  type HubCounts,
  unavailableRetryMs,
} from './attachment.ts'
import { Deadlines } from './deadlines.ts'
import { explain } from './explain.ts'
import { Overdue } from './overdue.ts'
import { Patrol } from './patrol.ts'
import { Presences } from './presences.ts'
import { openStatus, type Roads, Router } from './router.ts'
import { Sla } from './sla.ts'
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
export class Hub implements Core, Gateway, Host, House, Roads {
  readonly engine: Engine
  readonly clock: Clock
  readonly limits: Limits
  readonly mailbox
  readonly deadlines: Deadlines
  readonly service: Sla
  readonly counts: HubCounts = { delivered: 0, repeated: 0, uplinks: 0, duplicates: 0, probes: 0 }

  readonly #log: (event: string, fields: Record<string, unknown>) => void
  readonly #live = new Map<ChannelId, Attachment>()
  readonly #router: Router
  readonly #waiters: Waiters
  readonly #overdue: Overdue
  readonly #patrol: Patrol
  readonly #presences: Presences
  readonly #arrivals: Arrivals
  readonly #verifiers: Verifiers
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
    const { names, events } = this.engine
    this.#router = new Router(names, this.mailbox, this.clock, this.limits, this)
    this.#waiters = new Waiters(this.clock, this.limits.waitersMax)
    this.#overdue = new Overdue(this.mailbox, this.clock, this.limits, (channel, offset) =>
      this.#live.get(channel)?.withdraw(offset),
    )
    this.#overdue.holdUntil(options.holdExpiryUntilMs ?? 0)
    this.#arrivals = new Arrivals(this)
    this.#presences = new Presences(events)
    this.#verifiers = new Verifiers(names, this.clock, this.limits)
    this.#patrol = new Patrol(this.clock, this.limits.patrolMs, this.#live, (nowMs) => {
      this.#arrivals.sweep(nowMs)
      this.#overdue.arm()
    })
  }

  async start(): Promise<void> {
    this.#state = 'running'
    this.#unlisten = this.engine.events.listen((events) => this.#waiters.heard(events))
    this.engine.onState((state, detail) => this.#engineTurned(state, detail))
    this.#patrol.start()
    this.#overdue.arm()
  }

  /** End every session; adapters have been stopped before, so this finds what they left. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    for (const attachment of [...this.#live.values()]) attachment.close('going-away')
    this.#patrol.stop()
    this.#overdue.stop()
    this.deadlines.stop()
    this.#unlisten?.()
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
    this.#presences.attached(attachment, this.clock.nowMs())
    return attachment
  }

  // Host: what attachments tell.

  detached(attachment: Attachment, why: Reason | 'lost'): void {
    const { channel } = attachment
    this.engine.directory.release(attachment.claim)
    if (this.#live.get(channel) === attachment) {
      this.#live.delete(channel)
      if (!this.#arrivals.has(channel)) this.mailbox.release(channel)
    }
    this.#presences.detached(attachment, why, this.clock.nowMs())
    this.#overdue.arm() // what was sent and not acknowledged is due a little later than before
  }

  suspicion(attachment: Attachment): void {
    this.#presences.suspicion(attachment, this.clock.nowMs())
  }

  // Roads: what the router needs.

  attached(channel: ChannelId): Attachment | undefined {
    return this.#live.get(channel)
  }

  kept(): void {
    this.#overdue.arm()
  }

  // Gateway: what back ends may ask.

  submit(request: SubmitRequest): Promise<Submitted> {
    return this.#router.submit(request)
  }

  async status(app: AppId, id: CommandId): Promise<CommandStatus | undefined> {
    const found = await this.#find(app, id)
    if (found === undefined) return undefined
    if (found.kind === 'ended') return { kind: 'ended', command: found.command }
    return openStatus(found.command)
  }

  async wait(app: AppId, id: CommandId, timeoutMs: number): Promise<CommandStatus | undefined> {
    const waiter = this.#waiters.until(app, id, Math.min(timeoutMs, this.limits.waitMaxMs))
    try {
      const status = await this.status(app, id)
      if (status?.kind !== 'open') return status
      await waiter.ended
      return await this.status(app, id)
    } finally {
      waiter.forget()
    }
  }

  async cancel(app: AppId, id: CommandId): Promise<Canceled> {
    const found = await this.#find(app, id)
    if (found === undefined) return { kind: 'unknown' }
    if (found.kind === 'ended') return { kind: 'too-late', status: found }
    const { channel } = found.command
    const change = canceled(found.command, this.clock.nowMs())
    if (change === undefined) return { kind: 'too-late', status: openStatus(found.command) }
    const settled = await new Promise((resolve) =>
      this.mailbox.settle(channel, { changes: [change] }, resolve),
    )
    if (settled !== 'kept') return { kind: 'unavailable' }
    const status = await this.status(app, id)
    if (status?.kind !== 'ended') return { kind: 'unavailable' }
    // Something else may have ended it between the look and the change; then that is its outcome.
    return status.command.status === 'canceled'
      ? { kind: 'canceled', command: status.command }
      : { kind: 'too-late', status }
  }

  async explain(app: AppId, id: CommandId): Promise<Explanation | undefined> {
    const status = await this.status(app, id)
    if (status === undefined) return undefined
    const attachment = this.#live.get(status.command.channel)
    return explain(status, attachment, this.mailbox, this.clock, this.limits.inDoubtGraceMs)
  }

  presence(app: AppId, device: DeviceId): Presence {
    return this.#presences.of(app, device)
  }

  async depth(app: AppId, device: DeviceId): Promise<Depth> {
    let commands = 0
    let bytes = 0
    let oldestAtMs: number | undefined
    for (const channel of await this.mailbox.channels(deviceKey(app, device))) {
      const depth = await this.mailbox.depth(channel)
      commands += depth.commands
      bytes += depth.bytes
      if (depth.oldestAtMs !== undefined) {
        oldestAtMs = Math.min(oldestAtMs ?? depth.oldestAtMs, depth.oldestAtMs)
      }
    }
    return { commands, bytes, oldestAtMs }
  }

  async removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    this.#closeDevice(app, device, 'device-removed')
    await this.#endAll(app, device)
    const removed = await this.engine.names.removeDevice(app, device)
    // Whoever was in between: a session or a command that still saw the device.
    this.#closeDevice(app, device, 'device-removed')
    await this.#endAll(app, device)
    this.#presences.forget(app, device)
    return removed
  }

  refuseDevice(app: AppId, device: DeviceId): void {
    this.#closeDevice(app, device, 'device-removed')
  }

  ready(): { readonly ok: boolean; readonly why?: string } {
    if (this.#state !== 'running') return { ok: false, why: `the gateway is ${this.#state}` }
    const { state } = this.engine
    return state === 'ready' ? { ok: true } : { ok: false, why: `the store is ${state}` }
  }

  figures(): Readonly<Record<string, number>> {
    return {
      sessions: this.#live.size,
      devices_online: this.#presences.online,
      commands_written_total: this.counts.delivered,
      commands_rewritten_total: this.counts.repeated,
      uplinks_arrived_total: this.counts.uplinks,
      uplinks_duplicate_total: this.counts.duplicates,
      probes_total: this.counts.probes,
      waiters: this.#waiters.size,
      deadlines: this.deadlines.size,
    }
  }

  sla(): readonly SlaSeries[] {
    return this.service.all()
  }

  async #find(app: AppId, id: CommandId): Promise<Found | undefined> {
    const place = locateCommand(app, id)
    if (place === undefined) return undefined
    return this.mailbox.find(place.channel, place.epoch, place.offset)
  }

  #closeDevice(app: AppId, device: DeviceId, reason: Reason): void {
    const key = deviceKey(app, device)
    this.#arrivals.forget(key)
    for (const attachment of [...this.#live.values()]) {
      if (deviceOf(attachment.channel) === key) attachment.close(reason)
    }
  }

  async #endAll(app: AppId, device: DeviceId): Promise<void> {
    for (const channel of await this.mailbox.channels(deviceKey(app, device))) {
      const { open } = await this.mailbox.open(channel)
      const nowMs = this.clock.nowMs()
      const changes = open.map((command) => removed(command, nowMs))
      await new Promise((done) => this.mailbox.settle(channel, { changes }, done))
      if (!this.#live.has(channel)) this.mailbox.release(channel)
    }
  }

  #engineTurned(state: EngineState, detail: string): void {
    this.#log('engine.state', { state, detail })
    if (state === 'ready') {
      this.#overdue.arm()
      return
    }
    // What sessions hold may be ahead of what is kept: they start over from the store.
    for (const attachment of [...this.#live.values()]) {
      attachment.close('unavailable', unavailableRetryMs)
    }
  }
}
