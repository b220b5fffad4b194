import { aliasRoutes } from './aliases.ts'
import { appRoutes } from './apps.ts'
import { Auth } from './auth.ts'
import { backupRoutes } from './backup.ts'
import { commandRoutes } from './commands.ts'
import type { ApiContext, ApiDeps, App } from './context.ts'
import { DeviceRecords } from './device-records.ts'
import { deviceRoutes } from './devices.ts'
import { docsRoutes } from './docs.ts'
import { eventRoutes } from './events.ts'
import { Feed } from './feed.ts'
import { healthRoutes } from './health.ts'
import { Holds } from './holds.ts'
import { keyRoutes } from './keys.ts'
import { describeApi } from './openapi.ts'
import { registerRoutes } from './register.ts'
import { createServer } from './server.ts'
import { tagRoutes } from './tags.ts'
import { Tenants } from './tenants.ts'
import { webhookRoutes } from './webhooks.ts'

export { keyHash } from './auth.ts'
export type { ApiDeps, App } from './context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Event streams open now. */
    eventStreams(): number
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
  const auth = new Auth(deps.names, holds)
  const context: ApiContext = { ...deps, auth, holds, feed }
  const app = createServer(deps, holds)
  await describeApi(app, deps.version)
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
  commandRoutes(app, context)
  eventRoutes(app, context)
  healthRoutes(app, context)
  await docsRoutes(app)
  app.decorate('figures', () => ({
    streams_open: app.eventStreams(),
    calls_held: holds.count,
  }))
  app.addHook('onClose', async () => feed.close())
  await app.ready()
  return app
}
