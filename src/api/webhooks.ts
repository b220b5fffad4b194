import type { AppId, WebhookName, WebhookRecord, WebhookStatus } from '../contract/index.ts'
import { callbacksName } from '../contract/index.ts'
import { makeWebhookSecret } from '../secrets/webhook-signature.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { deadLetterRoutes } from './dead-letters.ts'
import { namePage } from './name-page.ts'
import { badField, refuse } from './problems.ts'
import type { Tenants } from './tenants.ts'
import { Turns } from './turns.ts'
import { time, timeIf } from './views.ts'
import {
  Webhook,
  WebhookList,
  WebhookPath,
  WebhookPut,
  WebhookQuery,
  WebhookSecret,
} from './webhook-schemas.ts'

/**
 * /v1/webhooks: where events are pushed to. `callbacks` is one of them, by which outcomes go to
 * the callbacks of commands: it has no URL of its own, and exists once it was given a secret.
 */
export function webhookRoutes(app: App, context: ApiContext, tenants: Tenants): void {
  const { names, webhooks, auth, clock, limits } = context
  const onRequest = auth.scope('events')
  const turns = new Turns()
  const tags = ['webhooks']
  const find = (tenant: AppId, name: WebhookName) =>
    names.webhooks(tenant).find((record) => record.name === name)
  const view = async (record: WebhookRecord, secret?: string) =>
    webhookView(record, await webhooks.status(record.app, record.name), secret)
  const keep = async (record: WebhookRecord): Promise<void> => {
    await names.putWebhook(record)
    webhooks.changed(record.app, record.name)
  }

  app.put(
    '/v1/webhooks/:webhook',
    {
      onRequest,
      schema: {
        summary: 'Make or change a webhook',
        description:
          'A new one gets all events from now on, and a secret, shown this once. The body is all of it: what is left out is not filtered by. A change holds at once; requests under way go to their end.',
        tags,
        params: WebhookPath,
        body: WebhookPut,
        response: { 200: Webhook, 201: Webhook },
      },
      config: {
        problems: [
          'invalid-request',
          'reserved-name',
          'limit-reached',
          'store-unavailable',
          'store-full',
        ],
      },
    },
    async (request, reply) => {
      const { body, key } = request
      const { webhook: name } = request.params
      if (name === callbacksName) return refuse(reply, 'reserved-name') as never
      const why = await webhooks.refuses(body.url)
      if (why !== undefined) return badField(reply, 'body', '/url', why) as never
      reply.header('cache-control', 'no-store')
      const change = async () => {
        const before = find(key.app, name)
        if (before === undefined && own(names.webhooks(key.app)).length >= limits.webhooksMax) {
          const said = { limit: 'webhooksMax', max: limits.webhooksMax }
          return refuse(reply, 'limit-reached', said) as never
        }
        const nowMs = clock.nowMs()
        const made = before === undefined ? makeWebhookSecret() : undefined
        const { url, types, device, tag, disabled = false } = body
        const record: WebhookRecord = {
          app: key.app,
          name,
          url,
          secrets: made === undefined ? before!.secrets : [made],
          ...(types !== undefined && { kinds: types }),
          ...(device !== undefined && { device }),
          ...(tag !== undefined && { tag }),
          disabled,
          createdAtMs: before?.createdAtMs ?? nowMs,
          changedAtMs: nowMs,
        }
        await keep(record)
        if (made !== undefined) reply.code(201).header('location', `/v1/webhooks/${name}`)
        return view(record, made?.secret)
      }
      return turns.take(key.app, () => tenants.write(key.app, key, change))
    },
  )

  app.get(
    '/v1/webhooks/:webhook',
    {
      onRequest,
      schema: {
        summary: 'A webhook, and how it is doing',
        tags,
        params: WebhookPath,
        response: { 200: Webhook },
      },
      config: { problems: ['invalid-request', 'unknown-webhook'] },
    },
    async (request, reply) => {
      const record = find(request.key.app, request.params.webhook)
      return record === undefined ? (refuse(reply, 'unknown-webhook') as never) : view(record)
    },
  )

  app.get(
    '/v1/webhooks',
    {
      onRequest,
      schema: {
        summary: 'Webhooks in order of name',
        tags,
        querystring: WebhookQuery,
        response: { 200: WebhookList },
      },
      config: { problems: ['invalid-request'] },
    },
    async (request) => {
      const { after, limit = apiBounds.pageItems } = request.query
      const all = names.webhooks(request.key.app)
      const page = namePage(all, ({ name }) => name, { after, limit })
      return { items: await Promise.all(page.items.map((record) => view(record))), next: page.next }
    },
  )

  app.delete(
    '/v1/webhooks/:webhook',
    {
      onRequest,
      schema: {
        summary: 'Remove a webhook',
        description: 'With its dead letters. What it had not sent is not sent.',
        tags,
        params: WebhookPath,
      },
      config: {
        problems: [
          'invalid-request',
          'unknown-webhook',
          'reserved-name',
          'store-unavailable',
          'store-full',
        ],
        responses: { 204: { type: 'null', description: 'Removed' } },
      },
    },
    async (request, reply) => {
      const { key } = request
      const { webhook: name } = request.params
      if (name === callbacksName) return refuse(reply, 'reserved-name')
      const removed = await turns.take(key.app, () => names.removeWebhook(key.app, name))
      if (!removed) return refuse(reply, 'unknown-webhook')
      webhooks.changed(key.app, name)
      return reply.code(204).send()
    },
  )

  app.post(
    '/v1/webhooks/:webhook/secrets',
    {
      onRequest,
      schema: {
        summary: 'A new secret; the one before signs too',
        description:
          'Both sign from now on, until the older is dropped. Of `callbacks` the first call makes it: then commands may name a `callback`.',
        tags,
        params: WebhookPath,
        response: { 201: WebhookSecret },
      },
      config: {
        problems: ['invalid-request', 'unknown-webhook', 'store-unavailable', 'store-full'],
      },
    },
    async (request, reply) => {
      const { key } = request
      const { webhook: name } = request.params
      reply.header('cache-control', 'no-store')
      const rotate = async () => {
        const nowMs = clock.nowMs()
        const before = find(key.app, name) ?? first(key.app, name, nowMs)
        if (before === undefined) return refuse(reply, 'unknown-webhook') as never
        const made = makeWebhookSecret()
        const secrets = [made, ...before.secrets.slice(0, 1)]
        await keep({ ...before, secrets, changedAtMs: nowMs })
        await webhooks.status(key.app, name)
        return reply.code(201).send(made)
      }
      return turns.take(key.app, () => tenants.write(key.app, key, rotate))
    },
  )

  app.delete(
    '/v1/webhooks/:webhook/secrets/older',
    {
      onRequest,
      schema: {
        summary: 'Only the newest secret signs from now on',
        tags,
        params: WebhookPath,
        response: { 200: Webhook },
      },
      config: {
        problems: ['invalid-request', 'unknown-webhook', 'store-unavailable', 'store-full'],
      },
    },
    async (request, reply) => {
      const { key } = request
      return turns.take(key.app, async () => {
        const before = find(key.app, request.params.webhook)
        if (before === undefined) return refuse(reply, 'unknown-webhook') as never
        const secrets = before.secrets.slice(0, 1)
        const record = { ...before, secrets, changedAtMs: clock.nowMs() }
        if (before.secrets.length > 1) await keep(record)
        return view(before.secrets.length > 1 ? record : before)
      })
    },
  )

  deadLetterRoutes(app, context, find)
}

/** Those a back end made; `callbacks` is there beside them. */
const own = (records: readonly WebhookRecord[]): readonly WebhookRecord[] =>
  records.filter(({ name }) => name !== callbacksName)

const first = (app: AppId, name: WebhookName, nowMs: number): WebhookRecord | undefined =>
  name === callbacksName
    ? { app, name, url: '', secrets: [], disabled: false, createdAtMs: nowMs, changedAtMs: nowMs }
    : undefined

const webhookView = (record: WebhookRecord, status: WebhookStatus, secret?: string): Webhook => ({
  name: record.name,
  ...(record.url !== '' && { url: record.url }),
  ...(record.kinds !== undefined && { types: [...record.kinds] }),
  ...(record.device !== undefined && { device: record.device }),
  ...(record.tag !== undefined && { tag: record.tag }),
  disabled: record.disabled,
  createdAt: time(record.createdAtMs),
  changedAt: time(record.changedAtMs),
  secretIds: record.secrets.map(({ id }) => id),
  status: {
    delivered: status.delivered,
    failedAttempts: status.failedAttempts,
    waiting: status.waiting,
    behind: status.behind,
    lanesFailing: status.lanesFailing,
    deadLetters: status.deadLetters,
    lastDeliveredAt: timeIf(status.lastDeliveredAtMs),
    lastError: status.lastError && {
      at: time(status.lastError.atMs),
      text: status.lastError.text,
    },
    nextAt: timeIf(status.nextAtMs),
  },
  ...(secret !== undefined && { secret }),
})
