import assert from 'node:assert/strict'
import type {
  Admitted,
  AppQuota,
  Attached,
  Broadcast,
  BroadcastCommand,
  Broadcasted,
  BroadcastRequest,
  CommandStatus,
  Counts,
  DeviceRecord,
  DeviceReply,
  Downlink,
  EndedCommand,
  Hello,
  Intake,
  KeptEvent,
  Limits,
  Link,
  Reason,
  Session,
  Source,
  SubmitRequest,
  Uplink,
} from '../../src/contract/index.ts'
import {
  type MemoryDisk,
  type MemoryEngine,
  openMemoryEngine,
} from '../../src/engine/memory/index.ts'
import { Hub } from '../../src/hub/hub.ts'
import { ManualClock } from './manual-clock.ts'
import { turn } from './turns.ts'

/** A link with no bytes: what was delivered lies in `got`, why it ended in `closed`. */
/** What a link is, as far as the core asks before anything is sent. */
export type LinkTraits = Partial<Pick<MemoryLink, 'acknowledges' | 'client'>>

export class MemoryLink implements Link {
  readonly protocol = 'memory'
  readonly peer = 'memory'
  readonly id: string
  acknowledges = true
  client: string | undefined
  readonly got: Downlink[] = []
  closed: { reason: Reason; retryAfterMs: number | undefined } | undefined
  probes = 0
  answersProbes = true
  reading = true
  takes: 'open' | 'full' = 'open'
  carriesMaxBytes = Number.POSITIVE_INFINITY
  session: Session | undefined

  constructor(id: string) {
    this.id = id
  }

  carries({ payload }: { readonly payload: Uint8Array }): boolean {
    return payload.length <= this.carriesMaxBytes
  }

  deliver(downlink: Downlink) {
    this.got.push(downlink)
    return this.takes
  }

  probe(): boolean {
    this.probes++
    return this.answersProbes
  }

  reads(): boolean {
    return this.reading
  }

  close(reason: Reason, retryAfterMs?: number): void {
    this.closed ??= { reason, retryAfterMs }
  }

  get isClosed(): boolean {
    return this.closed !== undefined
  }

  get names(): string[] {
    return this.got.map(({ command }) => command.name)
  }
}

/** A source with no bytes: why it was closed lies in `closed`. */
export class MemorySource implements Source {
  readonly app: string
  readonly device: string
  readonly protocol: string
  readonly peer = 'memory'
  readonly stays: boolean
  closed: { reason: Reason; retryAfterMs: number | undefined } | undefined

  constructor({ app = 'default', device = 'locker', protocol = 'posts', stays = false } = {}) {
    this.app = app
    this.device = device
    this.protocol = protocol
    this.stays = stays
  }

  close(reason: Reason, retryAfterMs?: number): void {
    this.closed ??= { reason, retryAfterMs }
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

let links = 0

/** A hub on the memory engine in virtual time, with a few words for telling stories. */
export class World {
  readonly clock: ManualClock
  readonly engine: MemoryEngine
  readonly hub: Hub

  constructor(clock: ManualClock, engine: MemoryEngine, hub: Hub) {
    this.clock = clock
    this.engine = engine
    this.hub = hub
  }

  static async open(
    options: {
      disk?: MemoryDisk
      clock?: ManualClock
      limits?: Partial<Limits>
      holdExpiryUntilMs?: number
      independentChannels?: readonly string[]
    } = {},
  ): Promise<World> {
    const clock = options.clock ?? new ManualClock()
    const { disk, limits, ...more } = options
    const engine = openMemoryEngine({ clock, disk, limits })
    const hub = new Hub({ ...more, engine, clock, limits })
    await hub.start()
    const world = new World(clock, engine, hub)
    await world.quiet()
    return world
  }

  /**
   * The process dies: what was kept stays, nothing else; another one starts on it. The dead one can
   * do nothing any more: its store has stopped.
   */
  async crash(limits?: Partial<Limits>, holdExpiryUntilMs?: number): Promise<World> {
    const disk = this.engine.crash()
    return World.open({ disk, clock: this.clock, limits, holdExpiryUntilMs })
  }

  async restart(): Promise<World> {
    await this.hub.stop()
    await this.engine.close()
    return World.open({ disk: this.engine.disk, clock: this.clock })
  }

  async register(
    device = 'locker',
    app = 'default',
    channels = {},
    more: Partial<DeviceRecord> = {},
  ): Promise<void> {
    const nowMs = this.clock.nowMs()
    await this.engine.names.putDevice({
      app,
      device,
      disabled: false,
      tags: [],
      attributes: {},
      channels,
      credentials: [],
      createdAtMs: nowMs,
      changedAtMs: nowMs,
      ...more,
    })
  }

  /** Devices `prefix00`, `prefix01` … with one tag, in order of name. */
  async registerTagged(tag: string, count: number, prefix = 'box'): Promise<string[]> {
    const devices = Array.from({ length: count }, (_, i) => `${prefix}${`${i}`.padStart(2, '0')}`)
    for (const device of devices) await this.register(device, 'default', {}, { tags: [tag] })
    return devices
  }

  async alias(alias: string, device: string, expiresAtMs?: number): Promise<void> {
    const nowMs = this.clock.nowMs()
    const times = { createdAtMs: nowMs, changedAtMs: nowMs }
    const record = { app: 'default', alias, device, expiresAtMs, history: [], ...times }
    await this.engine.names.putAlias(record)
  }

  /** An app may use so much from now on, and the hub has read it. */
  async quota(quota: AppQuota, app = 'default'): Promise<void> {
    await this.engine.names.putApp({ app, createdAtMs: 0, quota })
    await this.hub.quotas.load(this.clock.nowMs())
  }

  /** Attach and start; fails the test when refused. */
  async attach(
    hello: Partial<Hello> = {},
    how: LinkTraits = {},
  ): Promise<{ link: MemoryLink; session: Session }> {
    const { link, attached } = await this.tryAttach(hello, how)
    assert.equal(attached.kind, 'session', attached.kind === 'refused' ? attached.reason : '')
    if (attached.kind !== 'session') throw new Error('unreachable')
    attached.session.start()
    await this.quiet()
    return { link, session: attached.session }
  }

  async tryAttach(
    hello: Partial<Hello> = {},
    how: LinkTraits = {},
  ): Promise<{ link: MemoryLink; attached: Attached }> {
    const link = new MemoryLink(`link-${++links}`)
    Object.assign(link, how)
    const attached = await this.hub.attach(link, {
      app: 'default',
      device: 'locker',
      channel: 'main',
      ...hello,
    })
    if (attached.kind === 'session') link.session = attached.session
    return { link, attached }
  }

  /** Let a device speak; fails the test when refused. */
  async admit(
    about: ConstructorParameters<typeof MemorySource>[0] = {},
  ): Promise<{ source: MemorySource; intake: Intake }> {
    const { source, admitted } = await this.tryAdmit(about)
    assert.equal(admitted.kind, 'intake', admitted.kind === 'refused' ? admitted.reason : '')
    if (admitted.kind !== 'intake') throw new Error('unreachable')
    await this.quiet()
    return { source, intake: admitted.intake }
  }

  async tryAdmit(
    about: ConstructorParameters<typeof MemorySource>[0] = {},
  ): Promise<{ source: MemorySource; admitted: Admitted }> {
    const source = new MemorySource(about)
    return { source, admitted: await this.hub.admit(source) }
  }

  /** Submit one command and let it settle; its id. */
  async command(request: Partial<SubmitRequest> = {}): Promise<string> {
    const status = await this.accepted(request)
    return status.command.id
  }

  async accepted(request: Partial<SubmitRequest> = {}): Promise<CommandStatus> {
    const submitted = await this.submit(request)
    assert.equal(submitted.kind, 'accepted', JSON.stringify(submitted))
    if (submitted.kind !== 'accepted') throw new Error('unreachable')
    await this.quiet()
    return submitted.status
  }

  submit(request: Partial<SubmitRequest> = {}) {
    return this.hub.submit({
      app: 'default',
      to: { device: 'locker' },
      channel: 'main',
      name: 'open',
      payload: bytes('{}'),
      contentType: 'application/json',
      delivery: 'queue',
      expect: 'ack',
      askedBy: 'first',
      ...request,
    })
  }

  broadcast(
    { tag = 'berlin', ...rest }: Partial<BroadcastRequest> = {},
    command: Partial<BroadcastCommand> = {},
  ): Promise<Broadcasted> {
    return this.hub.broadcast({
      app: 'default',
      tag,
      command: {
        channel: 'main',
        name: 'update',
        payload: bytes('{}'),
        contentType: 'application/json',
        delivery: 'queue',
        expect: 'ack',
        ...command,
      },
      askedBy: 'first',
      ...rest,
    })
  }

  /** Broadcast, and let it settle as far as it goes at this moment; its id. */
  async broadcastId(
    request: Partial<BroadcastRequest> = {},
    command: Partial<BroadcastCommand> = {},
  ): Promise<string> {
    const made = await this.broadcast(request, command)
    assert.equal(made.kind, 'accepted', JSON.stringify(made))
    if (made.kind !== 'accepted') throw new Error('unreachable')
    await this.quiet()
    return made.broadcast.id
  }

  report(id: string): Broadcast {
    const report = this.engine.broadcasts.find('default', id)
    assert.ok(report !== undefined, `no broadcast ${id}`)
    return report
  }

  /** The commands of a broadcast, by device. */
  async members(id: string): Promise<ReadonlyMap<string, string | undefined>> {
    const { items } = await this.engine.broadcasts.members('default', id, { limit: 10_000 })
    return new Map(items.map(({ device, command }) => [device, command]))
  }

  /** Accepted = ended + open (rule 11); fails the test when it is not so. */
  async counts(app = 'default'): Promise<Counts> {
    const counts = await this.engine.mailbox.counts(app)
    const ended = Object.values(counts.ended).reduce((sum, count) => sum + (count ?? 0), 0)
    assert.equal(counts.accepted, ended + counts.open, JSON.stringify(counts))
    return counts
  }

  async status(id: string): Promise<string | undefined> {
    const status = await this.hub.status('default', id)
    return status?.kind === 'ended' ? status.command.status : status?.status
  }

  async ended(id: string): Promise<EndedCommand> {
    const status = await this.hub.status('default', id)
    assert.equal(status?.kind, 'ended', `${id} has not ended: ${status?.kind}`)
    if (status?.kind !== 'ended') throw new Error('unreachable')
    return status.command
  }

  async events(kind?: string): Promise<KeptEvent[]> {
    const page = await this.engine.events.read('default', { limit: 10_000 })
    assert.equal(page.kind, 'page')
    const items = page.kind === 'page' ? page.items : []
    return items.filter((event) => kind === undefined || event.kind === kind)
  }

  /** Time passes, and what it sets off settles. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms)
    await this.quiet()
    this.clock.advance(0)
    await this.quiet()
  }

  /** Until nothing moves any more at this moment. */
  async quiet(): Promise<void> {
    for (let i = 0; i < 10; i++) {
      await turn()
      await this.engine.flushed()
    }
  }
}

export const replyTo = (
  { command }: Downlink,
  status: DeviceReply['status'] = 'done',
  more: Partial<DeviceReply> = {},
): DeviceReply => ({
  epoch: command.epoch,
  offset: command.offset,
  status,
  payload: bytes('{}'),
  contentType: 'application/json',
  ...more,
})

export const uplink = (name: string, epoch?: number, sequence = 1): Uplink => ({
  name,
  payload: bytes('{}'),
  contentType: 'application/json',
  stamp: epoch === undefined ? undefined : { epoch, sequence },
})

/** A settled callback and what it was called with. */
export function settling(): { (outcome: string): void; outcomes: string[] } {
  const settled = (outcome: string) => settled.outcomes.push(outcome)
  settled.outcomes = [] as string[]
  return settled as unknown as { (outcome: string): void; outcomes: string[] }
}
