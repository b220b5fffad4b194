import { randomBytes } from 'node:crypto'
import type { KeyRecord } from '../contract/index.ts'
import { AppPath, Key, KeyList, KeyPath, KeyPut, NameQuery } from './app-schemas.ts'
import { keyHash } from './auth.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { namePage } from './name-page.ts'
import { Refused, refuse } from './problems.ts'
import type { Tenants } from './tenants.ts'
import { Turns } from './turns.ts'
import { time } from './views.ts'

/** The prefix tells a person, and a scanner for leaked keys, what it is. */
const makeKey = (): string => `pike_${randomBytes(24).toString('base64url')}`

/** /v1/apps/{app}/keys: who may call. The store has hashes; a key is shown once, as it is made. */
export function keyRoutes(app: App, context: ApiContext, tenants: Tenants): void {
  const { names, auth, clock, limits } = context
  const onRequest = auth.scope('admin')
  const turns = new Turns()
  const tags = ['apps']

  /**
   * One change of keys at a time, by somebody who still may: of two administrators who revoke each
   * other one stays, so that somebody can always get in.
   */
  const inTurn = <T>(caller: KeyRecord, run: () => Promise<T>): Promise<T> =>
    turns.take('keys', async () => {
      if (!auth.stillValid(caller, 'admin')) throw new Refused('unauthorized')
      return run()
    })
  const find = async (of: string, name: string): Promise<KeyRecord | undefined> =>
    (await names.keys(of)).find((key) => key.name === name)
  const isOwn = (caller: KeyRecord, of: string, name: string) =>
    caller.app === of && caller.name === name

  app.get(
    '/v1/key',
    {
      onRequest: auth.scope(),
      schema: {
        summary: 'The API key you call with: whose it is and what it may do',
        description: 'With any scope. The text of a key is never shown again.',
        tags,
        response: { 200: Key },
      },
      config: { problems: [] },
    },
    async (request) => keyView(request.key),
  )

  app.put(
    '/v1/apps/:app/keys/:name',
    {
      onRequest,
      schema: {
        summary: 'Make an API key, or change its scopes',
        description:
          'Its text is shown in the `201`, this once. The text of a key that exists is never changed: make another one, change over, revoke the old.',
        tags,
        params: KeyPath,
        body: KeyPut,
        response: { 200: Key, 201: Key },
      },
      config: {
        problems: [
          'invalid-request',
          'unknown-app',
          'key-exists',
          'own-key',
          'limit-reached',
          'store-unavailable',
          'store-full',
        ],
      },
    },
    async (request, reply) => {
      const { body, params, key: caller } = request
      reply.header('cache-control', 'no-store')
      const change = async () => {
        if ((await names.app(params.app)) === undefined)
          return refuse(reply, 'unknown-app') as never
        const before = await find(params.app, params.name)
        if (before !== undefined) {
          if (body.key !== undefined) return refuse(reply, 'key-exists') as never
          if (isOwn(caller, params.app, params.name) && !body.scopes.includes('admin'))
            return refuse(reply, 'own-key') as never
          const record = { ...before, scopes: body.scopes }
          await names.putKey(record)
          return keyView(record)
        }
        if ((await names.keys(params.app)).length >= limits.keysMax) {
          const said = { limit: 'keysMax', max: limits.keysMax }
          return refuse(reply, 'limit-reached', said) as never
        }
        const text = body.key ?? makeKey()
        const hash = keyHash(text)
        // A call is known by its key's hash alone, so two names cannot share one.
        if (names.keyByHash(hash) !== undefined) return refuse(reply, 'key-exists') as never
        const record: KeyRecord = {
          app: params.app,
          name: params.name,
          hash,
          scopes: body.scopes,
          createdAtMs: clock.nowMs(),
        }
        await names.putKey(record)
        reply.code(201).header('location', `/v1/apps/${params.app}/keys/${params.name}`)
        return keyView(record, text)
      }
      return inTurn(caller, () => tenants.write(params.app, caller, change))
    },
  )

  app.get(
    '/v1/apps/:app/keys/:name',
    {
      onRequest,
      schema: {
        summary: 'An API key, without its text',
        tags,
        params: KeyPath,
        response: { 200: Key },
      },
      config: { problems: ['invalid-request', 'unknown-app', 'unknown-key'] },
    },
    async (request, reply) => {
      const { app: of, name } = request.params
      if ((await names.app(of)) === undefined) return refuse(reply, 'unknown-app') as never
      const record = await find(of, name)
      return record === undefined ? (refuse(reply, 'unknown-key') as never) : keyView(record)
    },
  )

  app.get(
    '/v1/apps/:app/keys',
    {
      onRequest,
      schema: {
        summary: "An app's API keys in order of name",
        tags,
        params: AppPath,
        querystring: NameQuery,
        response: { 200: KeyList },
      },
      config: { problems: ['invalid-request', 'unknown-app'] },
    },
    async (request, reply) => {
      const { app: of } = request.params
      if ((await names.app(of)) === undefined) return refuse(reply, 'unknown-app') as never
      const { after, limit = apiBounds.pageItems } = request.query
      const page = namePage(await names.keys(of), ({ name }) => name, { after, limit })
      return { items: page.items.map((record) => keyView(record)), next: page.next }
    },
  )

  app.delete(
    '/v1/apps/:app/keys/:name',
    {
      onRequest,
      schema: {
        summary: 'Revoke an API key',
        description:
          'At once for new calls; its event streams end with their next heartbeat, its NDJSON calls with their next line.',
        tags,
        params: KeyPath,
      },
      config: {
        problems: [
          'invalid-request',
          'unknown-app',
          'unknown-key',
          'own-key',
          'store-unavailable',
          'store-full',
        ],
        responses: { 204: { type: 'null', description: 'Revoked' } },
      },
    },
    async (request, reply) => {
      const { app: of, name } = request.params
      const caller = request.key
      if (isOwn(caller, of, name)) return refuse(reply, 'own-key')
      return inTurn(caller, async () => {
        if ((await names.app(of)) === undefined) return refuse(reply, 'unknown-app')
        const removed = await names.removeKey(of, name)
        return removed ? reply.code(204).send() : refuse(reply, 'unknown-key')
      })
    },
  )
}

const keyView = (record: KeyRecord, key?: string): Key => ({
  app: record.app,
  name: record.name,
  scopes: [...record.scopes],
  createdAt: time(record.createdAtMs),
  ...(key !== undefined && { key }),
})
