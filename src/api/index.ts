import { Addresses } from '../listen/addresses.ts'
import { Arrivals } from '../listen/arrivals.ts'
import { Capacity } from '../listen/capacity.ts'
import { Connections } from '../listen/connections.ts'
import { Turns } from '../listen/turns.ts'
import { aliasRoutes } from './aliases.ts'
import { appRoutes } from './apps.ts'
import { Auth } from './auth.ts'
import { backupRoutes } from './backup.ts'
import { apiBounds } from './bounds.ts'
import { broadcastRoutes } from './broadcasts.ts'
import { Callbacks } from './callbacks.ts'
import { commandRoutes } from './commands.ts'
import type { ApiContext, ApiDeps, ApiTimes, App } from './context.ts'
import { DeviceRecords } from './device-records.ts'
import { deviceRoutes } from './devices.ts'
import { docsRoutes } from './docs.ts'
import { drainRoutes } from './drain.ts'
import { eventRoutes } from './events.ts'
import { Feed } from './feed.ts'
import { healthRoutes } from './health.ts'
import { Holds } from './holds.ts'
import { keyRoutes } from './keys.ts'
import { manyRoutes } from './many.ts'
import { describeApi } from './openapi.ts'
import { problemJson } from './problems.ts'
import { registerRoutes } from './register.ts'
import { sendRoutes } from './send.ts'
import { createServer } from './server.ts'
import { tagRoutes } from './tags.ts'
import { Tenants } from './tenants.ts'
import { traceRoutes } from './traces.ts'
import { webhookRoutes } from './webhooks.ts'

export { keyHash } from './auth.ts'
export type { ApiDeps, App } from './context.ts'
export { eventJson } from './event-view.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Event streams open now. */
    eventStreams(): number
    /** NDJSON calls open now. */
    lineCalls(): number
    /** For /metrics. */
    figures(): Readonly<Record<string, number>>
  }
}

/**
 * Northbound HTTP: everything a back end may ask, on top of the ports.
 *
 * @returns ready to `listen`; `close` ends streams and held calls at once and lets the others finish.
 */
export async function createApi(deps: ApiDeps): Promise<App> {
  const holds = new Holds(deps.limits.waitersMax)
  const feed = new Feed(deps.events, deps.clock)
  const auth = new Auth(deps.names, holds, deps.clock)
  const times: ApiTimes = { ...apiBounds, ...deps.times }
  const socketTimeoutMs = deps.limits.waitMaxMs + apiBounds.silentTimeoutMs
  const connections = new Connections(problemJson)
  const capacity = new Capacity(deps.connectionsMax ?? apiBounds.connectionsMax)
  const addresses = new Addresses(deps.limits.apiConnectionsPerAddress, capacity)
  const turns = new Turns(apiBounds)
  const { bodiesMaxBytes } = apiBounds
  const bounds = { ...times, socketTimeoutMs, bodiesMaxBytes }
  const arrivals = new Arrivals(deps.clock, bounds, (socket) => connections.tooSlow(socket))
  const context: ApiContext = { ...deps, auth, holds, feed, arrivals }
  const callbacks = new Callbacks(deps.names, deps.webhooks, deps.clock)
  const app = createServer(deps, { holds, arrivals, connections, addresses, turns, times })
  await describeApi(app, deps.version, deps.limits.bodyMaxBytes)
  const tenants = new Tenants(auth)
  const records = new DeviceRecords(context, tenants)
  deviceRoutes(app, context, records)
  registerRoutes(app, context, records)
  aliasRoutes(app, context, tenants)
  tagRoutes(app, context, records)
  appRoutes(app, context, tenants)
  keyRoutes(app, context, tenants)
  webhookRoutes(app, context, tenants)
  backupRoutes(app, context)
  drainRoutes(app, context)
  commandRoutes(app, context)
  traceRoutes(app, context)
  sendRoutes(app, context, callbacks)
  broadcastRoutes(app, context, callbacks)
  manyRoutes(app, context, callbacks)
  eventRoutes(app, context)
  healthRoutes(app, context)
  await docsRoutes(app)
  app.decorate('figures', () => ({
    streams_open: app.eventStreams(),
    calls_held: holds.count,
    line_calls_open: app.lineCalls(),
    bodies_under_way: arrivals.count,
    connections: addresses.connections,
    connections_refused_total: addresses.refusedTotal,
    calls_in_pipeline: turns.waiting,
    pipelines_cut_total: turns.cutTotal,
  }))
  app.addHook('onClose', async () => feed.close())
  await app.ready()
  return app
}
