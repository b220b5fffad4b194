import type { AliasBinding, AliasName, AliasRecord, AppId, DeviceId } from '../contract/index.ts'
import { Alias, AliasList, AliasListQuery, AliasPath, AliasPut } from './alias-schemas.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { badField, refuse } from './problems.ts'
import type { Tenants } from './tenants.ts'
import { Turns } from './turns.ts'
import { time, timeIf } from './views.ts'

/** /v1/aliases: other names of devices, each of exactly one at a time. */
export function aliasRoutes(app: App, context: ApiContext, tenants: Tenants): void {
  const { names, auth, clock, limits } = context
  const onRequest = auth.scope('devices')
  const turns = new Turns()
  const isOver = ({ expiresAtMs = Infinity }: AliasRecord) => expiresAtMs <= clock.nowMs()

  app.put(
    '/v1/aliases/:alias',
    {
      onRequest,
      schema: {
        summary: 'Bind an alias to a device, or bind it anew',
        description:
          'Commands that were accepted before stay with the device they were accepted for. Without `expiresAt` it never expires, also when it did before.',
        tags: ['names'],
        params: AliasPath,
        body: AliasPut,
        response: { 200: Alias, 201: Alias },
      },
      config: {
        problems: [
          'invalid-request',
          'unknown-device',
          'limit-reached',
          'store-unavailable',
          'store-full',
        ],
      },
    },
    async (request, reply) => {
      const { key, body } = request
      const { alias } = request.params
      const expiresAtMs = body.expiresAt === undefined ? undefined : Date.parse(body.expiresAt)
      if (expiresAtMs !== undefined && !(expiresAtMs > clock.nowMs()))
        return badField(reply, 'body', '/expiresAt', 'must be a time in the future') as never
      return tenants.write(key.app, key, () =>
        turns.take(`${key.app}/${alias}`, async () => {
          if ((await names.device(key.app, body.device)) === undefined)
            return refuse(reply, 'unknown-device') as never
          const before = await names.alias(key.app, alias)
          if (before === undefined && (await names.aliasCount(key.app)) >= limits.aliasesMax) {
            const said = { limit: 'aliasesMax', max: limits.aliasesMax }
            return refuse(reply, 'limit-reached', said) as never
          }
          const isNew = before === undefined || isOver(before)
          const record = bound(key.app, alias, before, {
            device: body.device,
            expiresAtMs,
            isNew,
            nowMs: clock.nowMs(),
            historyMax: limits.aliasHistoryMax,
          })
          await names.putAlias(record)
          if (isNew) reply.code(201).header('location', `/v1/aliases/${alias}`)
          return aliasView(record)
        }),
      )
    },
  )

  app.get(
    '/v1/aliases/:alias',
    {
      onRequest,
      schema: {
        summary: 'Which device an alias stands for, and stood for before',
        tags: ['names'],
        params: AliasPath,
        response: { 200: Alias },
      },
      config: { problems: ['invalid-request', 'unknown-alias'] },
    },
    async (request, reply) => {
      const record = await names.alias(request.key.app, request.params.alias)
      if (record === undefined || isOver(record)) return refuse(reply, 'unknown-alias') as never
      return aliasView(record)
    },
  )

  app.get(
    '/v1/aliases',
    {
      onRequest,
      schema: {
        summary: 'Aliases in order of name',
        description:
          'A page may be shorter than `limit` while `next` is not null: what expired is passed over.',
        tags: ['names'],
        querystring: AliasListQuery,
        response: { 200: AliasList },
      },
      config: { problems: ['invalid-request'] },
    },
    async (request) => {
      const { after, limit = apiBounds.pageItems } = request.query
      const page = await names.aliases(request.key.app, {
        limit,
        ...(after !== undefined && { after }),
      })
      return {
        items: page.items.filter((record) => !isOver(record)).map(aliasView),
        next: page.next ?? null,
      }
    },
  )

  app.delete(
    '/v1/aliases/:alias',
    {
      onRequest,
      schema: {
        summary: 'Take an alias away',
        description: 'Its history is forgotten too. Commands accepted by it stay where they are.',
        tags: ['names'],
        params: AliasPath,
      },
      config: {
        problems: ['invalid-request', 'unknown-alias', 'store-unavailable', 'store-full'],
        responses: { 204: { type: 'null', description: 'Removed' } },
      },
    },
    async (request, reply) => {
      const tenant = request.key.app
      const { alias } = request.params
      const removed = await turns.take(`${tenant}/${alias}`, async () => {
        const before = await names.alias(tenant, alias)
        return before !== undefined && (await names.removeAlias(tenant, alias)) && !isOver(before)
      })
      return removed ? reply.code(204).send() : refuse(reply, 'unknown-alias')
    },
  )
}

interface Binding {
  readonly device: DeviceId
  readonly expiresAtMs: number | undefined
  /** Nobody had it, or not any more. */
  readonly isNew: boolean
  readonly nowMs: number
  readonly historyMax: number
}

/** The record after a PUT. Rule 27: one record, so whoever asks finds the old device or the new. */
function bound(
  app: AppId,
  alias: AliasName,
  before: AliasRecord | undefined,
  { device, expiresAtMs, isNew, nowMs, historyMax }: Binding,
): AliasRecord {
  const history = before?.history ?? []
  const stays = before !== undefined && !isNew && before.device === device
  return {
    app,
    alias,
    device,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    createdAtMs: isNew ? nowMs : before!.createdAtMs,
    changedAtMs: nowMs,
    history:
      before === undefined || stays
        ? history
        : [bindingOf(before, nowMs), ...history].slice(0, historyMax),
  }
}

/**
 * A binding that is over. It began where the one before it ended, or, after a time in which nobody
 * had the alias, when the alias was made again.
 */
const bindingOf = (record: AliasRecord, nowMs: number): AliasBinding => ({
  device: record.device,
  fromMs: Math.max(record.createdAtMs, record.history[0]?.untilMs ?? 0),
  untilMs: Math.min(nowMs, record.expiresAtMs ?? nowMs),
})

const aliasView = (record: AliasRecord): Alias => ({
  alias: record.alias,
  device: record.device,
  expiresAt: timeIf(record.expiresAtMs),
  createdAt: time(record.createdAtMs),
  changedAt: time(record.changedAtMs),
  history: record.history.map(({ device, fromMs, untilMs }) => ({
    device,
    from: time(fromMs),
    until: time(untilMs),
  })),
})
