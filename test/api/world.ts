import type { Socket } from 'node:net'
import { type ApiDeps, type App, createApi, keyHash } from '../../src/api/index.ts'
import {
  type AppId,
  limits as defaultLimits,
  type Limits,
  type Scope,
} from '../../src/contract/index.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { OpenApiCheck } from '../support/openapi-check.ts'

import { FakeGateway } from './fake-gateway.ts'
import { FakeWebhooks } from './fake-webhooks.ts'

export { FakeGateway, FakeWebhooks }

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
