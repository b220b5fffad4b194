import type { Socket } from 'node:net'
import { type ApiDeps, type App, createApi, keyHash } from '../../src/api/index.ts'
import {
  type Appended,
  type AppId,
  type Broadcast,
  type Broadcasted,
  type BroadcastId,
  type BroadcastRequest,
  type Canceled,
  type Command,
  type CommandId,
  type CommandStatus,
  channelId,
  type DeadLetter,
  type Depth,
  type DeviceId,
  limits as defaultLimits,
  type EndStatus,
  type EventId,
  type Explanation,
  type Gateway,
  type Limits,
  locateCommand,
  type Presence,
  type Reply,
  type Scope,
  type SlaSeries,
  type SubmitRequest,
  type Submitted,
  type WebhookName,
  type WebhookStatus,
  type Webhooks,
} from '../../src/contract/index.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { OpenApiCheck } from '../support/openapi-check.ts'

/**
 * A hub without sessions: real mailboxes, no links, so a `now` is undeliverable, and what becomes
 * of the others is decided by the test.
 */
export class FakeGateway implements Gateway {
  readonly submitted: SubmitRequest[] = []
  readonly broadcasts: BroadcastRequest[] = []
  readonly refused: string[] = []
  readonly #engine: MemoryEngine
  readonly #clock: ManualClock
  readonly #waiting = new Map<CommandId, Set<() => void>>()
  /** What submit says instead. */
  says: Submitted | undefined
  saysOfBroadcast: Broadcasted | undefined
  fails: Error | undefined
  isReady: { ok: boolean; why?: string } = { ok: true }

  constructor(engine: MemoryEngine, clock: ManualClock) {
    this.#engine = engine
    this.#clock = clock
  }

  async submit(request: SubmitRequest): Promise<Submitted> {
    this.submitted.push(request)
    if (this.fails !== undefined) throw this.fails
    if (this.says !== undefined) return this.says
    const { app, to, channel, idempotency } = request
    const now = this.#clock.nowMs()
    let { device } = to
    if (device === undefined) {
      const alias = await this.#engine.names.alias(app, to.alias!)
      if (alias === undefined || (alias.expiresAtMs ?? Infinity) <= now)
        return { kind: 'unknown-alias' }
      device = alias.device
    }
    const record = await this.#engine.names.device(app, device)
    if (record === undefined) return { kind: 'unknown-device' }
    if (record.disabled) return { kind: 'device-disabled' }
    if (!['main', 'urgent', ...Object.keys(record.channels)].includes(channel))
      return { kind: 'unknown-channel' }
    const place = channelId(app, device, channel)
    const repeatable = { ...(idempotency !== undefined && { idempotency }) }
    if (request.notBeforeMs !== undefined) {
      const options = { maxCommands: 100, maxTotal: 1_000, ...repeatable }
      const scheduled = await this.#engine.mailbox.schedule(place, this.#command(request), options)
      if (scheduled.kind === 'full')
        return { kind: 'schedule-full', max: scheduled.max, retryAfterMs: 4_200 }
      if (scheduled.kind === 'conflict' || scheduled.kind === 'unavailable') return scheduled
      return this.#accepted(app, scheduled.kind === 'kept' ? scheduled.command.id : scheduled.id)
    }
    const appended: Appended = await this.#engine.mailbox.append(place, this.#command(request), {
      maxCommands: record.channels[channel]?.maxCommands ?? 1_000,
      maxBytes: 1_048_576,
      overflow: 'reject',
      intendUpTo: 0,
      ...repeatable,
      ...(request.delivery === 'now' && {
        ended: { status: 'undeliverable' as const, reason: 'no-link' },
      }),
    })
    if (appended.kind === 'full')
      return { kind: 'full', depth: appended.depth, retryAfterMs: 4_200 }
    if (appended.kind === 'conflict' || appended.kind === 'unavailable') return appended
    return this.#accepted(app, appended.kind === 'kept' ? appended.command.id : appended.id)
  }

  async #accepted(app: AppId, id: CommandId): Promise<Submitted> {
    return { kind: 'accepted', status: (await this.status(app, id))! }
  }

  #command(request: SubmitRequest): Command {
    const now = this.#clock.nowMs()
    const { name, payload, contentType, delivery, expect, askedBy, ttlMs } = request
    const { replyTimeoutMs = 60_000, collapse, notBeforeMs, callback } = request
    const from = notBeforeMs ?? now
    return {
      ...{ name, payload, contentType, delivery, expect, askedBy, replyTimeoutMs },
      acceptedAtMs: now,
      expiresAtMs: from + (ttlMs ?? (delivery === 'now' ? 30_000 : 604_800_000)),
      ...(collapse !== undefined && { collapse }),
      ...(notBeforeMs !== undefined && { notBeforeMs }),
      ...(callback !== undefined && { callback }),
    }
  }

  async broadcast(request: BroadcastRequest): Promise<Broadcasted> {
    this.broadcasts.push(request)
    if (this.fails !== undefined) throw this.fails
    if (this.saysOfBroadcast !== undefined) return this.saysOfBroadcast
    const { idempotency, ...asked } = request
    const { names, broadcasts } = this.#engine
    const tagged = await names.tagged(request.app, request.tag, { limit: 1 })
    if (tagged.items.length === 0) return { kind: 'unknown-tag' }
    const made = await broadcasts.create(
      { ...asked, id: `b${this.broadcasts.length}`, createdAtMs: this.#clock.nowMs() },
      names.snapshot(request.app, request.tag),
      { maxDevices: 1_000, maxKept: 1_000, ...(idempotency !== undefined && { idempotency }) },
    )
    if (made.kind === 'kept') return { kind: 'accepted', broadcast: made.broadcast }
    if (made.kind === 'busy') return { ...made, retryAfterMs: 4_200 }
    if (made.kind !== 'repeat') return made
    return { kind: 'accepted', broadcast: broadcasts.find(request.app, made.id)! }
  }

  /** Give the next of a broadcast's waiting devices their commands, as the hub would. */
  async place(app: AppId, id: BroadcastId, max: number): Promise<void> {
    const { broadcasts, mailbox } = this.#engine
    const { command, askedBy } = broadcasts.find(app, id)!
    for (const device of await broadcasts.waiting(app, id, max)) {
      const request: SubmitRequest = { app, to: { device }, askedBy, ...command }
      await mailbox.append(
        channelId(app, device, command.channel),
        { ...this.#command(request), broadcast: id },
        { maxCommands: 1_000, maxBytes: 1_048_576, overflow: 'reject', intendUpTo: 0 },
      )
    }
  }

  async stopBroadcast(app: AppId, id: BroadcastId): Promise<Broadcast | undefined> {
    if (this.fails !== undefined) throw this.fails
    return this.#engine.broadcasts.stop(app, id, 'stopped by a back end')
  }

  async status(app: AppId, id: CommandId): Promise<CommandStatus | undefined> {
    const place = locateCommand(app, id)
    if (place === undefined) return undefined
    const found = await this.#engine.mailbox.find(place.channel, place.epoch, place.offset)
    if (found === undefined) return undefined
    if (found.kind === 'ended') return found
    const { command } = found
    const status = command.deliveredAtMs !== undefined ? 'delivered' : 'queued'
    const timeline = [{ status: 'queued' as const, atMs: command.acceptedAtMs }]
    return { kind: 'open', status, command, timeline }
  }

  wait(app: AppId, id: CommandId, timeoutMs: number): Promise<CommandStatus | undefined> {
    return new Promise((resolve) => {
      const done = () => resolve(this.status(app, id))
      const all = this.#waiting.get(id) ?? new Set()
      this.#waiting.set(id, all.add(done))
      this.#clock.at(this.#clock.nowMs() + timeoutMs, 'wait', done)
    })
  }

  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, { size }) => sum + size, 0)
  }

  /** What the device, or time, made of it. */
  async end(app: AppId, id: CommandId, status: EndStatus, reply?: Reply): Promise<void> {
    const place = locateCommand(app, id)!
    await new Promise((settled) =>
      this.#engine.mailbox.settle(
        place.channel,
        {
          changes: [
            {
              kind: 'ended',
              offset: place.offset,
              status,
              atMs: this.#clock.nowMs(),
              ...(reply !== undefined && { reply }),
            },
          ],
        },
        settled,
      ),
    )
    for (const done of this.#waiting.get(id) ?? []) done()
    this.#waiting.delete(id)
  }

  async cancel(app: AppId, id: CommandId): Promise<Canceled> {
    const status = await this.status(app, id)
    if (status === undefined) return { kind: 'unknown' }
    if (status.kind === 'ended') return { kind: 'too-late', status }
    await this.end(app, id, 'canceled')
    const ended = await this.status(app, id)
    return ended?.kind === 'ended'
      ? { kind: 'canceled', command: ended.command }
      : { kind: 'unavailable' }
  }

  async explain(app: AppId, id: CommandId): Promise<Explanation | undefined> {
    const status = await this.status(app, id)
    if (status === undefined) return undefined
    return {
      code: 'no-link',
      sentence: 'the device is offline',
      status,
      head: id,
      nextAtMs: status.command.expiresAtMs,
    }
  }

  presence(): Presence {
    return { state: 'offline', sinceMs: undefined, heardAtMs: undefined, protocol: undefined }
  }

  async depth(app: AppId, device: DeviceId): Promise<Depth> {
    return this.#engine.mailbox.depth(channelId(app, device, 'main'))
  }

  removeDevice(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#engine.names.removeDevice(app, device)
  }

  refuseDevice(app: AppId, device: DeviceId): void {
    this.refused.push(`${app}/${device}`)
  }

  ready() {
    return this.isReady
  }

  figures() {
    return {}
  }

  sla(): readonly SlaSeries[] {
    return []
  }
}

/** Nobody is called; what is refused, failing and set aside is the test's. */
export class FakeWebhooks implements Webhooks {
  /** `app/name` of each record that was said to have changed. */
  readonly looked: string[] = []
  /** `app/name`, and the event where one was named, of each call. */
  readonly sent: string[] = []
  readonly discarded: string[] = []
  readonly letters: DeadLetter[] = []
  state: WebhookStatus = {
    delivered: 0,
    failedAttempts: 0,
    waiting: 0,
    behind: false,
    lanesFailing: 0,
    deadLetters: 0,
  }

  async refuses(url: string): Promise<string | undefined> {
    return url.includes('//10.') ? 'points inward: 10.0.0.0/8 is private' : undefined
  }

  changed(app: AppId, name: WebhookName): void {
    this.looked.push(`${app}/${name}`)
  }

  async status(): Promise<WebhookStatus> {
    return { ...this.state, deadLetters: this.letters.length }
  }

  async deadLetters(
    _app: AppId,
    _name: WebhookName,
    { after = '', limit }: { readonly after?: EventId; readonly limit: number },
  ) {
    const all = this.letters.filter(({ event }) => event > after)
    const items = all.slice(0, limit)
    return { items, next: all.length > limit ? items.at(-1)!.event : undefined }
  }

  async sendAgain(app: AppId, name: WebhookName, event?: EventId): Promise<number> {
    this.sent.push([app, name, event].filter((part) => part !== undefined).join('/'))
    return this.#meant(event).length
  }

  async discard(app: AppId, name: WebhookName, event?: EventId): Promise<number> {
    this.discarded.push([app, name, event].filter((part) => part !== undefined).join('/'))
    const gone = this.#meant(event)
    for (const letter of gone) this.letters.splice(this.letters.indexOf(letter), 1)
    return gone.length
  }

  #meant(event: EventId | undefined): DeadLetter[] {
    return this.letters.filter((letter) => event === undefined || letter.event === event)
  }
}

export interface Call {
  readonly body?: unknown
  /** The body as it is, instead. */
  readonly raw?: string | Buffer
  /** An API key; '' for none. */
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly body: any
}

export class World {
  readonly clock: ManualClock
  readonly engine: MemoryEngine
  readonly gateway: FakeGateway
  readonly webhooks: FakeWebhooks
  readonly app: App
  readonly check: OpenApiCheck
  /** What the server logged. */
  readonly logged: readonly object[]
  /** The server's ends of all connections so far. */
  readonly connections: Socket[] = []

  private constructor(
    engine: MemoryEngine,
    clock: ManualClock,
    gateway: FakeGateway,
    webhooks: FakeWebhooks,
    app: App,
    logged: readonly object[],
  ) {
    this.logged = logged
    this.engine = engine
    this.clock = clock
    this.gateway = gateway
    this.webhooks = webhooks
    this.app = app
    this.check = new OpenApiCheck(app.swagger())
    app.server.on('connection', (socket: Socket) => this.connections.push(socket))
  }

  /** App `default` with keys `all`, `devices`, `commands`, `events`; app `other` with `other`. */
  static async open(limits: Partial<Limits> = {}, deps: Partial<ApiDeps> = {}): Promise<World> {
    const clock = new ManualClock()
    const engine = openMemoryEngine({ clock })
    const gateway = new FakeGateway(engine, clock)
    const webhooks = new FakeWebhooks()
    const logged: object[] = []
    const app = await createApi({
      gateway,
      names: engine.names,
      events: engine.events,
      mailbox: engine.mailbox,
      broadcasts: engine.broadcasts,
      webhooks,
      clock,
      limits: { ...defaultLimits, ...limits },
      version: '0.0.0',
      metrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'pike_up 1\n' }),
      log: { error: (about) => logged.push(about), warn: (about) => logged.push(about) },
      ...deps,
    })
    const world = new World(engine, clock, gateway, webhooks, app, logged)
    await world.key('default', 'all', ['admin'])
    for (const scope of ['devices', 'commands', 'events'] as const)
      await world.key('default', scope, [scope])
    await world.key('other', 'other', ['devices', 'commands', 'events'])
    return world
  }

  /** The key of name `n` is `key-n`. */
  async key(app: AppId, name: string, scopes: readonly Scope[]): Promise<void> {
    const createdAtMs = this.clock.nowMs()
    await this.engine.names.putApp({ app, createdAtMs })
    await this.engine.names.putKey({
      app,
      name,
      hash: keyHash(`key-${name}`),
      scopes,
      createdAtMs,
    })
  }

  /** Every answer is held against /openapi.json. */
  async call(method: string, url: string, call: Call = {}): Promise<Answer> {
    const payload = call.raw ?? (call.body === undefined ? undefined : JSON.stringify(call.body))
    const key = call.key ?? 'key-all'
    const answer = await this.app.inject({
      method: method as 'GET',
      url,
      headers: {
        ...(key !== '' && { authorization: `Bearer ${key}` }),
        ...(payload !== undefined && { 'content-type': 'application/json' }),
        ...call.headers,
      },
      ...(payload !== undefined && { payload }),
    })
    this.check.check(method, url, answer)
    const text = answer.payload
    const type = String(answer.headers['content-type'])
    // Lines are looked at by whoever asked for them.
    const isJson = type.includes('json') && !type.includes('ndjson')
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text,
      body: isJson && text !== '' ? JSON.parse(text) : undefined,
    }
  }

  device(device = 'SZ-0042', body: object = {}): Promise<Answer> {
    return this.call('PUT', `/v1/devices/${device}`, { body })
  }

  send(body: object, call: Call & { device?: string } = {}): Promise<Answer> {
    const { device = 'SZ-0042', ...rest } = call
    return this.call('POST', `/v1/devices/${device}/commands`, { body, ...rest })
  }

  async close(): Promise<void> {
    await this.app.close()
    await this.engine.close()
  }
}
