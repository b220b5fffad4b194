import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { keyHash } from '../../src/api/index.ts'
import { World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open({ keysMax: 6 })
})
afterEach(() => world.close())

const url = (app: string, name: string) => `/v1/apps/${app}/keys/${name}`
const put = (name: string, body: object, { app = 'other', key = 'key-all' } = {}) =>
  world.call('PUT', url(app, name), { body, key })
const ask = (key: string, path = '/v1/events') => world.call('GET', path, { key })

test('a key is made, shown once, used, changed and revoked', async () => {
  const made = await put('reader', { scopes: ['events'] })
  assert.equal(made.status, 201)
  assert.equal(made.headers.location, url('other', 'reader'))
  assert.equal(made.headers['cache-control'], 'no-store')
  const { key, ...shown } = made.body
  assert.match(key, /^pike_[\w-]{32}$/)
  const createdAt = new Date(world.clock.nowMs()).toISOString()
  assert.deepEqual(shown, { app: 'other', name: 'reader', scopes: ['events'], createdAt })
  assert.deepEqual((await world.call('GET', url('other', 'reader'))).body, shown)
  assert.equal((await ask(key)).status, 200)
  assert.equal((await ask(key, '/v1/devices')).status, 403)
  const changed = await put('reader', { scopes: ['devices'] })
  assert.deepEqual([changed.status, changed.body.key], [200, undefined])
  assert.deepEqual([(await ask(key)).status, (await ask(key, '/v1/devices')).status], [403, 200])
  assert.equal((await world.call('DELETE', url('other', 'reader'))).status, 204)
  assert.equal((await ask(key)).status, 401)
  for (const method of ['GET', 'DELETE']) {
    const gone = await world.call(method, url('other', 'reader'))
    assert.deepEqual([gone.status, gone.body.type], [404, '/problems/unknown-key'])
  }
})

test('a key of one’s own: shown in the 201, kept as a hash, its text never changed', async () => {
  const own = 'a-key-of-our-own-making-77'
  const made = await put('own', { scopes: ['events'], key: own })
  assert.deepEqual([made.status, made.body.key], [201, own])
  assert.equal((await ask(own)).status, 200)
  assert.ok(!JSON.stringify(await world.engine.names.keys('other')).includes(own))
  const again = await put('own', { scopes: ['events'], key: `${own}8` })
  assert.deepEqual([again.status, again.body.type], [409, '/problems/key-exists'])
  // A call is known by the key alone, so no two names may share one, of whatever app.
  for (const app of ['other', 'default']) {
    const shared = await put('twin', { scopes: ['admin'], key: own }, { app })
    assert.deepEqual([shared.status, shared.body.type], [409, '/problems/key-exists'])
  }
  assert.equal(world.engine.names.keyByHash(keyHash(own))!.app, 'other')
})

test('keys come in pages, in order of name, without their text', async () => {
  const { body } = await world.call('GET', '/v1/apps/default/keys?limit=3')
  assert.deepEqual(
    [body.items.map(({ name }: { name: string }) => name), body.next],
    [['all', 'commands', 'devices'], 'devices'],
  )
  assert.ok(!('key' in body.items[0] || 'hash' in body.items[0]))
  const rest = await world.call('GET', `/v1/apps/default/keys?after=${body.next}`)
  assert.deepEqual([rest.body.items.length, rest.body.next], [1, null])
})

test('nobody can revoke or demote the key they call with', async () => {
  const own = await world.call('DELETE', url('default', 'all'))
  assert.deepEqual([own.status, own.body.type], [409, '/problems/own-key'])
  const demoted = await put('all', { scopes: ['events'] }, { app: 'default' })
  assert.deepEqual([demoted.status, demoted.body.type], [409, '/problems/own-key'])
  assert.equal((await put('all', { scopes: ['admin'] }, { app: 'default' })).status, 200)
  // A key of the same name in another app is another key.
  await world.key('other', 'boss', ['admin'])
  assert.equal((await put('boss', { scopes: ['events'] }, { app: 'default' })).status, 201)
  assert.equal((await world.call('DELETE', url('other', 'boss'))).status, 204)
})

test('of administrators who revoke each other one stays', async () => {
  await world.key('other', 'boss', ['admin'])
  const answers = await Promise.all([
    world.call('DELETE', url('other', 'boss')),
    world.call('DELETE', url('default', 'all'), { key: 'key-boss' }),
    put('all', { scopes: ['events'] }, { app: 'default', key: 'key-boss' }),
  ])
  assert.deepEqual(
    answers.map(({ status }) => status),
    [204, 401, 401],
  )
})

test('a key of an app that nobody has, or of a name that is none', async () => {
  for (const [method, path] of [
    ['GET', '/v1/apps/nobody/keys'],
    ['GET', url('nobody', 'a')],
    ['PUT', url('nobody', 'a')],
    ['DELETE', url('nobody', 'a')],
  ] as const) {
    const body = method === 'PUT' ? { scopes: ['events'] } : undefined
    const answer = await world.call(method, path, { body })
    assert.deepEqual([answer.status, answer.body.type], [404, '/problems/unknown-app'], path)
  }
  for (const name of ['__proto__', 'a%2fb', 'a%20b', 'x'.repeat(129)]) {
    const answer = await put(name, { scopes: ['events'] })
    assert.equal(answer.status, 400, name)
  }
  assert.equal((await world.call('GET', url('other', 'constructor'))).status, 404)
  assert.equal((await put('constructor', { scopes: ['events'] })).status, 201)
})

test('what no key is', async () => {
  for (const [body, path] of [
    [{}, '/scopes'],
    [{ scopes: [] }, '/scopes'],
    [{ scopes: ['root'] }, '/scopes/0'],
    [{ scopes: ['events', 'events'] }, '/scopes'],
    [{ scopes: ['events'], key: 'x'.repeat(21) }, '/key'],
    [{ scopes: ['events'], key: `${'x'.repeat(22)} ` }, '/key'],
    [{ scopes: ['events'], hash: 'x' }, '/hash'],
  ] as const) {
    const answer = await put('bad', body)
    assert.equal(answer.status, 400, JSON.stringify(body))
    assert.equal(answer.body.errors[0].path, path)
  }
})

test('keys of an app are bounded', async () => {
  for (let i = 0; i < 5; i++) assert.equal((await put(`k${i}`, { scopes: ['events'] })).status, 201)
  const { status, body } = await put('one-more', { scopes: ['events'] })
  assert.deepEqual([status, body.limit, body.max], [409, 'keysMax', 6])
  assert.equal((await put('k0', { scopes: ['commands'] })).status, 200)
})

test('only an administrator’s key may ask', async () => {
  for (const key of ['key-devices', 'key-commands', 'key-events', 'key-other']) {
    for (const [method, path] of [
      ['GET', '/v1/apps/other/keys'],
      ['GET', url('other', 'other')],
      ['PUT', url('other', 'other')],
      ['DELETE', url('other', 'other')],
    ] as const) {
      const body = method === 'PUT' ? { scopes: ['admin'] } : undefined
      assert.equal((await world.call(method, path, { key, body })).status, 403)
    }
  }
})
