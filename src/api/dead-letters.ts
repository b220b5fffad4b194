import type { AppId, WebhookName, WebhookRecord } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { refuse } from './problems.ts'
import { time } from './views.ts'
import {
  DeadLetterList,
  DeadLetterPick,
  DeadLetterQuery,
  Discarded,
  Sending,
  WebhookPath,
} from './webhook-schemas.ts'

/** /v1/webhooks/{webhook}/dead-letters: events that were not taken within a day. */
export function deadLetterRoutes(
  app: App,
  { webhooks, auth }: ApiContext,
  find: (app: AppId, name: WebhookName) => WebhookRecord | undefined,
): void {
  const onRequest = auth.scope('events')
  const tags = ['webhooks']
  const path = '/v1/webhooks/:webhook/dead-letters'
  const problems = [
    'invalid-request',
    'unknown-webhook',
    'store-unavailable',
    'store-full',
  ] as const

  app.get(
    path,
    {
      onRequest,
      schema: {
        summary: 'Events that were given up, oldest first',
        tags,
        params: WebhookPath,
        querystring: DeadLetterQuery,
        response: { 200: DeadLetterList },
      },
      config: { problems },
    },
    async (request, reply) => {
      const { key, query } = request
      const { webhook } = request.params
      if (find(key.app, webhook) === undefined) return refuse(reply, 'unknown-webhook') as never
      const { after, limit = apiBounds.pageItems } = query
      const page = await webhooks.deadLetters(key.app, webhook, {
        limit,
        ...(after !== undefined && { after }),
      })
      const items = page.items.map(
        ({ event, device, kind, setAsideAtMs, attempts, lastError }) => ({
          event,
          device,
          type: kind,
          setAsideAt: time(setAsideAtMs),
          attempts,
          lastError,
        }),
      )
      return { items, next: page.next ?? null }
    },
  )

  app.post(
    path,
    {
      onRequest,
      // No body at all is the shortest way to say: all of them.
      preValidation: (request, _reply, done) => {
        request.body ??= {}
        done()
      },
      schema: {
        summary: 'Send one again, or all',
        description:
          'Each goes out as a request of its own, marked `redelivered`; those taken leave the list.',
        tags,
        params: WebhookPath,
        body: DeadLetterPick,
        response: { 202: Sending },
      },
      config: { problems },
    },
    async (request, reply) => {
      const { key, body } = request
      const { webhook } = request.params
      if (find(key.app, webhook) === undefined) return refuse(reply, 'unknown-webhook') as never
      const sending = await webhooks.sendAgain(key.app, webhook, body.event)
      return reply.code(202).send({ sending })
    },
  )

  app.delete(
    path,
    {
      onRequest,
      schema: {
        summary: 'Forget one, or all',
        tags,
        params: WebhookPath,
        querystring: DeadLetterPick,
        response: { 200: Discarded },
      },
      config: { problems },
    },
    async (request, reply) => {
      const { key, query } = request
      const { webhook } = request.params
      if (find(key.app, webhook) === undefined) return refuse(reply, 'unknown-webhook') as never
      return { discarded: await webhooks.discard(key.app, webhook, query.event) }
    },
  )
}
