import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { problems } from '../../src/api/problems.ts'
import { endReasons, endStatuses, eventKinds } from '../../src/contract/index.ts'
import { World } from './world.ts'

type Json = Record<string, unknown>

interface Operation {
  operationId: string
  readonly summary?: string
  readonly security?: readonly object[]
  readonly responses: Record<string, { description: string; content?: Record<string, object> }>
}

let world: World
// biome-ignore lint/suspicious/noExplicitAny: the whole document is looked into
let document: any
before(async () => {
  world = await World.open()
  document = (await world.call('GET', '/openapi.json', { key: '' })).body
})
after(() => world.close())

const operations = (): [string, string, Operation][] =>
  Object.entries(document.paths as Record<string, Record<string, Operation>>).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, string, Operation] => [
        method.toUpperCase(),
        path,
        operation,
      ]),
  )

test('every call has a name of its own, for generators of clients', () => {
  const names = operations().map(([, , operation]) => operation.operationId)
  for (const name of names) assert.match(String(name), /^[a-z]+[A-Za-z]+$/)
  assert.equal(new Set(names).size, names.length)
  assert.ok(names.includes('postDeviceCommands') && names.includes('getAppKey'), String(names))
})

test('every call there is is described', () => {
  assert.equal(document.openapi, '3.1.0')
  const described = operations().map(([method, path]) => `${method} ${path}`)
  assert.deepEqual(described.sort(), [
    'DELETE /v1/aliases/{alias}',
    'DELETE /v1/apps/{app}',
    'DELETE /v1/apps/{app}/keys/{name}',
    'DELETE /v1/broadcasts/{broadcast}',
    'DELETE /v1/commands/{command}',
    'DELETE /v1/devices/{device}',
    'DELETE /v1/devices/{device}/secrets/older',
    'DELETE /v1/drain',
    'DELETE /v1/tags/{tag}/devices/{device}',
    'DELETE /v1/webhooks/{webhook}',
    'DELETE /v1/webhooks/{webhook}/dead-letters',
    'DELETE /v1/webhooks/{webhook}/secrets/older',
    'GET /healthz',
    'GET /metrics',
    'GET /openapi.json',
    'GET /problems/{problem}',
    'GET /readyz',
    'GET /v1/aliases',
    'GET /v1/aliases/{alias}',
    'GET /v1/apps',
    'GET /v1/apps/{app}',
    'GET /v1/apps/{app}/keys',
    'GET /v1/apps/{app}/keys/{name}',
    'GET /v1/backup',
    'GET /v1/broadcasts',
    'GET /v1/broadcasts/{broadcast}',
    'GET /v1/broadcasts/{broadcast}/devices',
    'GET /v1/commands/{command}',
    'GET /v1/commands/{command}/explain',
    'GET /v1/connections/{connection}',
    'GET /v1/devices',
    'GET /v1/devices/{device}',
    'GET /v1/devices/{device}/commands',
    'GET /v1/devices/{device}/trace',
    'GET /v1/drain',
    'GET /v1/events',
    'GET /v1/key',
    'GET /v1/tags/{tag}',
    'GET /v1/webhooks',
    'GET /v1/webhooks/{webhook}',
    'GET /v1/webhooks/{webhook}/dead-letters',
    'POST /v1/aliases/{alias}/commands',
    'POST /v1/commands',
    'POST /v1/devices',
    'POST /v1/devices/{device}/commands',
    'POST /v1/devices/{device}/secrets',
    'POST /v1/drain',
    'POST /v1/tags/{tag}/commands',
    'POST /v1/webhooks/{webhook}/dead-letters',
    'POST /v1/webhooks/{webhook}/secrets',
    'PUT /v1/aliases/{alias}',
    'PUT /v1/apps/{app}',
    'PUT /v1/apps/{app}/keys/{name}',
    'PUT /v1/devices/{device}',
    'PUT /v1/tags/{tag}/devices/{device}',
    'PUT /v1/webhooks/{webhook}',
  ])
})

test('each has a summary, a key where it needs one, and its problems as problem+json', () => {
  for (const [method, path, { summary, security, responses }] of operations()) {
    const where = `${method} ${path}`
    assert.ok(summary, where)
    const guarded = path.startsWith('/v1/')
    assert.equal(security === undefined, guarded, where)
    for (const [status, { description, content }] of Object.entries(responses)) {
      assert.ok(description, `${where} ${status}`)
      if (Number(status) < 400) continue
      assert.deepEqual(content, {
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      })
    }
    for (const status of guarded ? [401, 403, 503] : []) assert.ok(responses[status], where)
  }
  assert.deepEqual(document.components.securitySchemes.key.scheme, 'bearer')
  assert.deepEqual(document.security, [{ key: [] }])
})

test('every reference leads somewhere, and every example fits its schema', () => {
  const text = JSON.stringify(document)
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g))
    assert.ok(document.components.schemas[name!], name)
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'doc', components: document.components })
  for (const [method, path] of operations()) {
    const { requestBody } = document.paths[path][method.toLowerCase()]
    const bodies = Object.values(requestBody?.content ?? {}) as { schema: Json; example?: Json }[]
    for (const { schema, example } of bodies) {
      if (example === undefined) continue
      const local = JSON.stringify(schema).replaceAll('"#/components', '"doc#/components')
      const validate = ajv.compile(JSON.parse(local))
      assert.ok(validate(example), `${method} ${path}: ${ajv.errorsText(validate.errors)}`)
    }
  }
  for (const [path, method, type] of [
    ['/v1/devices/{device}', 'put', 'application/json'],
    ['/v1/devices/{device}/commands', 'post', 'application/json'],
    ['/v1/tags/{tag}/commands', 'post', 'application/json'],
    ['/v1/commands', 'post', 'application/x-ndjson'],
  ] as const)
    assert.ok(document.paths[path][method].requestBody.content[type].example, path)
})

test('the headers that are read are described', () => {
  const headers = (path: string, method: string) =>
    document.paths[path][method].parameters
      .filter((parameter: { in: string }) => parameter.in === 'header')
      .map(({ name }: { name: string }) => name)
  assert.deepEqual(headers('/v1/devices/{device}/commands', 'post'), ['Idempotency-Key', 'Prefer'])
  assert.deepEqual(headers('/v1/aliases/{alias}/commands', 'post'), ['Idempotency-Key', 'Prefer'])
  assert.deepEqual(headers('/v1/tags/{tag}/commands', 'post'), ['Idempotency-Key'])
  assert.deepEqual(headers('/v1/events', 'get'), ['Last-Event-ID'])
})

test('docs/back-end.md explains every outcome, reason, event and problem', async () => {
  const page = await readFile(new URL('../../docs/back-end.md', import.meta.url), 'utf8')
  const words = [
    ...endStatuses,
    ...Object.keys(endReasons),
    ...eventKinds,
    ...Object.keys(problems),
  ]
  for (const word of words) assert.ok(page.includes(`\`${word}\``), word)
})
