import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { NewEvent } from '../../src/contract/index.ts'
import { World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open({ appsMax: 4 })
})
afterEach(() => world.close())

const put = (app: string, body?: object, key = 'key-all') =>
  world.call('PUT', `/v1/apps/${app}`, { body, key })
const get = (app: string) => world.call('GET', `/v1/apps/${app}`)
const remove = (app: string, key = 'key-all') => world.call('DELETE', `/v1/apps/${app}`, { key })
/** An app with a key of all scopes, whose text is `key-<app>`. */
const withKey = async (app: string) => {
  await put(app)
  await world.key(app, app, ['devices', 'commands', 'events'])
}

test('an app is made, changed, listed and removed', async () => {
  const made = await put('acme')
  const createdAt = new Date(world.clock.nowMs()).toISOString()
  assert.deepEqual([made.status, made.headers.location], [201, '/v1/apps/acme'])
  const commands = { accepted: 0, open: 0, ended: {} }
  assert.deepEqual(made.body, { app: 'acme', createdAt, devices: 0, commands })
  world.clock.advance(1_000)
  const changed = await put('acme', { quota: { commandsPerSecond: 500, sessions: 10 } })
  assert.deepEqual([changed.status, changed.body.createdAt], [200, createdAt])
  assert.deepEqual(changed.body.quota, { commandsPerSecond: 500, sessions: 10 })
  // Left out: as before. Given: instead of it. null: none.
  assert.deepEqual((await put('acme', {})).body.quota, changed.body.quota)
  assert.deepEqual((await put('acme', { quota: { eventsPerSecond: 7 } })).body.quota, {
    eventsPerSecond: 7,
  })
  assert.equal((await put('acme', { quota: null })).body.quota, undefined)
  assert.equal((await world.engine.names.app('acme'))!.quota, undefined)
  const { body } = await world.call('GET', '/v1/apps')
  assert.deepEqual(
    body.items.map(({ app }: { app: string }) => app),
    ['acme', 'default', 'other'],
  )
  const page = (await world.call('GET', '/v1/apps?limit=1&after=acme')).body
  assert.deepEqual([page.items[0].app, page.next], ['default', 'default'])
  assert.equal((await remove('acme')).status, 204)
  assert.equal((await get('acme')).body.type, '/problems/unknown-app')
  assert.equal((await remove('acme')).status, 404)
})

test('an app tells how many devices and commands it has', async () => {
  await world.device()
  const { body } = await world.send({ name: 'open' })
  await world.send({ name: 'open', delivery: 'now' })
  await world.send({ name: 'close' })
  await world.gateway.end('default', body.id, 'done')
  const { devices, commands } = (await get('default')).body
  assert.equal(devices, 1)
  assert.deepEqual(commands, { accepted: 3, open: 1, ended: { done: 1, undeliverable: 1 } })
  assert.equal((await get('other')).body.devices, 0)
})

test('an administrator’s key of any app may ask; nobody else may', async () => {
  await world.key('other', 'boss', ['admin'])
  assert.equal((await put('acme', {}, 'key-boss')).status, 201)
  for (const key of ['key-devices', 'key-commands', 'key-events', 'key-other']) {
    for (const [method, path] of [
      ['GET', '/v1/apps'],
      ['GET', '/v1/apps/acme'],
      ['PUT', '/v1/apps/acme'],
      ['DELETE', '/v1/apps/acme'],
    ] as const) {
      const answer = await world.call(method, path, { key })
      assert.deepEqual([answer.status, answer.body.scope], [403, 'admin'], `${key} ${method}`)
    }
  }
  // But in devices it sees only those of its own app.
  await world.device('mine')
  assert.equal((await world.call('GET', '/v1/devices/mine', { key: 'key-boss' })).status, 404)
})

test('an app with devices stays; the first app and the app of the key too', async () => {
  await world.call('PUT', '/v1/devices/SZ-1', { key: 'key-other' })
  const full = await remove('other')
  assert.deepEqual(
    [full.status, full.body.type, full.body.devices],
    [409, '/problems/app-not-empty', 1],
  )
  assert.equal((await remove('default')).body.type, '/problems/app-protected')
  await world.call('DELETE', '/v1/devices/SZ-1', { key: 'key-other' })
  await world.key('other', 'boss', ['admin'])
  assert.equal((await remove('other', 'key-boss')).body.type, '/problems/app-protected')
  assert.equal((await remove('default', 'key-boss')).body.type, '/problems/app-protected')
  assert.equal((await remove('other')).status, 204)
})

test('with an app everything of it goes: its keys at once, aliases, events', async () => {
  await withKey('acme')
  const key = 'key-acme'
  await world.call('PUT', '/v1/devices/SZ-1', { key })
  await world.call('PUT', '/v1/aliases/slot', { key, body: { device: 'SZ-1' } })
  await world.call('DELETE', '/v1/devices/SZ-1', { key })
  const event = { kind: 'presence', app: 'acme', device: 'SZ-1', state: 'online', atMs: 1 } as const
  await new Promise((kept) => world.engine.events.append([event as NewEvent], kept))
  assert.equal((await world.call('GET', '/v1/events', { key })).body.items.length, 1)
  assert.equal((await remove('acme')).status, 204)
  assert.equal((await world.call('GET', '/v1/events', { key })).status, 401)
  assert.equal(await world.engine.names.aliasCount('acme'), 0)
  await withKey('acme')
  assert.deepEqual((await world.call('GET', '/v1/events', { key })).body.items, [])
  assert.equal((await world.call('GET', '/v1/aliases/slot', { key })).status, 404)
})

test('a device registered while its app is removed is either refused, or keeps the app', async () => {
  for (let i = 0; i < 20; i++) {
    await withKey('acme')
    const calls = [
      world.call('PUT', '/v1/devices/SZ-1', { key: 'key-acme' }),
      remove('acme'),
      world.call('POST', '/v1/devices', {
        key: 'key-acme',
        raw: '{"device":"SZ-2"}',
        headers: { 'content-type': 'application/x-ndjson' },
      }),
    ]
    const [registered, removed] = await Promise.all(i % 2 === 0 ? calls : calls.reverse())
    const devices = await world.engine.names.deviceCount('acme')
    const app = await world.engine.names.app('acme')
    assert.equal(devices > 0, app !== undefined, `${registered!.status} ${removed!.status}`)
    for (const device of ['SZ-1', 'SZ-2'])
      await world.call('DELETE', `/v1/devices/${device}`, { key: 'key-acme' })
    if (app !== undefined) assert.equal((await remove('acme')).status, 204)
  }
})

test('of two administrators who remove each other’s app one stays', async () => {
  for (const app of ['x', 'y']) {
    await put(app)
    await world.key(app, app, ['admin'])
  }
  const both = await Promise.all([remove('y', 'key-x'), remove('x', 'key-y')])
  assert.deepEqual(both.map(({ status }) => status).sort(), [204, 401])
  const left = both[0]!.status === 204 ? 'x' : 'y'
  const late = [remove('default', 'nobody'), remove(left), put('late', {}, `key-${left}`)]
  assert.deepEqual(
    (await Promise.all(late)).map(({ status }) => status),
    [401, 204, 401],
  )
  assert.equal(await world.engine.names.app('late'), undefined)
})

test('apps are bounded', async () => {
  assert.deepEqual(
    (await Promise.all([put('a'), put('b'), put('c')])).map(({ status }) => status).sort(),
    [201, 201, 409],
  )
  const { body } = await put('d')
  assert.deepEqual([body.type, body.limit, body.max], ['/problems/limit-reached', 'appsMax', 4])
  assert.equal((await put('default', { quota: { sessions: 3 } })).status, 200)
})

test('rule 30: what no app may be called, and what no quota is', async () => {
  for (const name of ['__proto__', 'a%2fb', 'a%20b', 'x'.repeat(129)]) {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const answer = await world.call(method, `/v1/apps/${name}`)
      assert.equal(answer.status, 400, `${method} ${name}`)
    }
  }
  for (const [quota, path] of [
    [{ commandsPerSecond: 0 }, '/quota/commandsPerSecond'],
    [{ sessions: 1.5 }, '/quota/sessions'],
    [{ devices: 4 }, '/quota/devices'],
  ] as const) {
    const { status, body } = await put('acme', { quota })
    assert.deepEqual([status, body.errors[0].path], [400, path])
  }
  assert.equal((await get('constructor')).status, 404)
  assert.equal((await put('constructor')).status, 201)
  assert.equal((await remove('constructor')).status, 204)
})
