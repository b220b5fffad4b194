import type { Draining } from '../contract/index.ts'
import type { ApiContext, App } from './context.ts'
import { refuse } from './problems.ts'
import { DrainView } from './schemas.ts'

/** `/v1/drain`: send every device away politely, say how far that is, or let them come again. */
export function drainRoutes(app: App, { auth, drain }: ApiContext): void {
  const config = { problems: ['not-supported'] as const }
  const schema = (summary: string, description: string) => ({
    ...{ summary, description, tags: ['operation'], response: { 200: DrainView } },
  })

  app.get(
    '/v1/drain',
    {
      onRequest: auth.scope('admin'),
      schema: schema('How far the drain is', '`open`: there is none.'),
      config,
    },
    async (_request, reply) =>
      drain === undefined ? (refuse(reply, 'not-supported') as never) : view(drain.now()),
  )

  app.post(
    '/v1/drain',
    {
      onRequest: auth.scope('admin'),
      schema: schema(
        'Send every device away politely',
        'No new sessions; those there are told, in slices, when to come back. Back ends are served on, and `/readyz` says `draining`. Repeating it does nothing.',
      ),
      config,
    },
    async (_request, reply) =>
      drain === undefined ? (refuse(reply, 'not-supported') as never) : view(drain.begin()),
  )

  app.delete(
    '/v1/drain',
    {
      onRequest: auth.scope('admin'),
      schema: schema(
        'Let devices in again',
        'Those sent away come back when they were told to. Repeating it does nothing.',
      ),
      config,
    },
    async (_request, reply) =>
      drain === undefined ? (refuse(reply, 'not-supported') as never) : view(drain.cancel()),
  )
}

const view = (one: Draining) => ({
  state: one.state,
  ...(one.sinceMs !== undefined && { since: new Date(one.sinceMs).toISOString() }),
  ...(one.untilMs !== undefined && { until: new Date(one.untilMs).toISOString() }),
  sessions: one.sessions,
  left: one.left,
  ...(one.comeBackWithinMs !== undefined && { comeBackWithin: one.comeBackWithinMs / 1000 }),
})
