import { type AppRecord, defaultApp, type KeyRecord } from '../contract/index.ts'
import { AppList, AppPath, AppPut, AppView, NameQuery } from './app-schemas.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { namePage } from './name-page.ts'
import { Refused, refuse } from './problems.ts'
import type { Tenants } from './tenants.ts'
import { Turns } from './turns.ts'
import { time } from './views.ts'

/** /v1/apps: tenants. An administrator's key of any app may ask. */
export function appRoutes(app: App, context: ApiContext, tenants: Tenants): void {
  const { names, auth, clock, limits, mailbox, events, broadcasts, webhooks } = context
  const onRequest = auth.scope('admin')
  /** One at a time: they are few, and how many there are is bounded. */
  const turns = new Turns()
  const tags = ['apps']

  /** Of two administrators who remove each other's app one stays: the other's key is gone by then. */
  const mustBeValid = (caller: KeyRecord) => {
    if (!auth.stillValid(caller, 'admin')) throw new Refused('unauthorized')
  }
  const view = async (record: AppRecord): Promise<AppView> => {
    const [devices, counts] = await Promise.all([
      names.deviceCount(record.app),
      mailbox.counts(record.app),
    ])
    return {
      app: record.app,
      createdAt: time(record.createdAtMs),
      ...(record.quota !== undefined && { quota: { ...record.quota } }),
      devices,
      commands: { accepted: counts.accepted, open: counts.open, ended: { ...counts.ended } },
    }
  }

  app.put(
    '/v1/apps/:app',
    {
      onRequest,
      preValidation: (request, _reply, done) => {
        request.body ??= {}
        done()
      },
      schema: {
        summary: 'Make an app, or change what it may use',
        tags,
        params: AppPath,
        body: AppPut,
        response: { 200: AppView, 201: AppView },
      },
      config: { problems: ['invalid-request', 'limit-reached', 'store-unavailable', 'store-full'] },
    },
    async (request, reply) => {
      const { body, params } = request
      return turns.take('apps', async () => {
        mustBeValid(request.key)
        const before = await names.app(params.app)
        if (before === undefined && (await names.apps()).length >= limits.appsMax) {
          const said = { limit: 'appsMax', max: limits.appsMax }
          return refuse(reply, 'limit-reached', said) as never
        }
        const quota = body.quota === undefined ? before?.quota : (body.quota ?? undefined)
        const record: AppRecord = {
          app: params.app,
          createdAtMs: before?.createdAtMs ?? clock.nowMs(),
          ...(quota !== undefined && Object.keys(quota).length > 0 && { quota }),
        }
        await names.putApp(record)
        if (before === undefined) reply.code(201).header('location', `/v1/apps/${params.app}`)
        return view(record)
      })
    },
  )

  app.get(
    '/v1/apps/:app',
    {
      onRequest,
      schema: {
        summary: 'An app, with how many devices and commands it has',
        tags,
        params: AppPath,
        response: { 200: AppView },
      },
      config: { problems: ['invalid-request', 'unknown-app'] },
    },
    async (request, reply) => {
      const record = await names.app(request.params.app)
      return record === undefined ? (refuse(reply, 'unknown-app') as never) : view(record)
    },
  )

  app.get(
    '/v1/apps',
    {
      onRequest,
      schema: {
        summary: 'Apps in order of name',
        tags,
        querystring: NameQuery,
        response: { 200: AppList },
      },
      config: { problems: ['invalid-request'] },
    },
    async (request) => {
      const { after, limit = apiBounds.pageItems } = request.query
      const page = namePage(await names.apps(), (record) => record.app, { after, limit })
      return { items: await Promise.all(page.items.map(view)), next: page.next }
    },
  )

  app.delete(
    '/v1/apps/:app',
    {
      onRequest,
      schema: {
        summary: 'Remove an app that has no devices',
        description: 'With its keys, aliases, webhooks, events and the history of its commands.',
        tags,
        params: AppPath,
      },
      config: {
        problems: [
          'invalid-request',
          'unknown-app',
          'app-not-empty',
          'app-protected',
          'store-unavailable',
          'store-full',
        ],
        responses: { 204: { type: 'null', description: 'Removed' } },
      },
    },
    async (request, reply) => {
      const going = request.params.app
      if (going === defaultApp || going === request.key.app) return refuse(reply, 'app-protected')
      return turns.take('apps', () =>
        tenants.close(going, async () => {
          mustBeValid(request.key)
          if ((await names.app(going)) === undefined) return refuse(reply, 'unknown-app')
          const devices = await names.deviceCount(going)
          if (devices > 0) return refuse(reply, 'app-not-empty', { devices })
          const pushed = names.webhooks(going)
          // What it leaves behind first: of an app cut short here the rest can be removed again.
          await broadcasts.purge(Number.POSITIVE_INFINITY, going)
          await events.purge(Number.POSITIVE_INFINITY, { app: going })
          await names.removeApp(going)
          for (const { name } of pushed) webhooks.changed(going, name)
          return reply.code(204).send()
        }),
      )
    },
  )
}
