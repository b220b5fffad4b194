import assert from 'node:assert/strict'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { World } from './world.ts'

let world: World
let command = ''
before(async () => {
  world = await World.open()
  await world.device('SZ-0042')
  command = (await world.send({ name: 'open' })).body.id
})
after(() => world.close())

const calls = (id: string) =>
  [
    ['devices', 'PUT', '/v1/devices/SZ-0042', {}],
    ['devices', 'GET', '/v1/devices/SZ-0042'],
    ['devices', 'GET', '/v1/devices'],
    ['devices', 'DELETE', '/v1/devices/nobody'],
    ['devices', 'POST', '/v1/devices', {}],
    ['devices', 'POST', '/v1/devices/SZ-0042/secrets', {}],
    ['devices', 'DELETE', '/v1/devices/SZ-0042/secrets/older'],
    ['commands', 'POST', '/v1/aliases/slot/commands', { name: 'open' }],
    ['commands', 'POST', '/v1/tags/nobody/commands', { name: 'open' }],
    ['commands', 'POST', '/v1/commands', {}],
    ['commands', 'GET', '/v1/broadcasts'],
    ['commands', 'GET', '/v1/broadcasts/nothing'],
    ['commands', 'GET', '/v1/broadcasts/nothing/devices'],
    ['commands', 'DELETE', '/v1/broadcasts/nothing'],
    ['devices', 'GET', '/v1/devices/SZ-0042/trace'],
    ['devices', 'GET', '/v1/connections/nothing'],
    ['devices', 'GET', '/v1/aliases'],
    ['devices', 'PUT', '/v1/aliases/slot', { device: 'SZ-0042' }],
    ['devices', 'GET', '/v1/aliases/slot'],
    ['devices', 'DELETE', '/v1/aliases/nobody'],
    ['devices', 'GET', '/v1/tags/berlin'],
    ['devices', 'PUT', '/v1/tags/berlin/devices/SZ-0042'],
    ['devices', 'DELETE', '/v1/tags/berlin/devices/nobody'],
    ['admin', 'GET', '/v1/apps'],
    ['admin', 'GET', '/v1/apps/other'],
    ['admin', 'PUT', '/v1/apps/other', {}],
    ['admin', 'DELETE', '/v1/apps/nobody'],
    ['admin', 'GET', '/v1/apps/other/keys'],
    ['admin', 'GET', '/v1/apps/other/keys/other'],
    ['admin', 'PUT', '/v1/apps/other/keys/extra', { scopes: ['events'] }],
    ['admin', 'DELETE', '/v1/apps/other/keys/nobody'],
    ['admin', 'GET', '/v1/backup'],
    ['commands', 'POST', '/v1/devices/SZ-0042/commands', { name: 'open' }],
    ['commands', 'GET', '/v1/devices/SZ-0042/commands'],
    ['commands', 'GET', `/v1/commands/${id}`],
    ['commands', 'GET', `/v1/commands/${id}/explain`],
    ['commands', 'DELETE', '/v1/commands/nothing'],
    ['events', 'GET', '/v1/events'],
  ] as const

test('no key, or one nobody has: 401 on every call, and how to ask', async () => {
  for (const [, method, path, body] of calls(command)) {
    // So many in a row would be too many in a minute.
    world.clock.advance(60_000)
    for (const authorization of ['', 'Bearer ', 'Bearer wrong', 'Basic key-all', 'key-all']) {
      const answer = await world.call(method, path, { key: '', body, headers: { authorization } })
      assert.equal(answer.status, 401, `${method} ${path}`)
      assert.match(String(answer.headers['www-authenticate']), /^Bearer/)
      assert.equal(answer.body.type, '/problems/unauthorized')
    }
  }
})

test('without the scope: 403 that names it; with it, or admin: let through', async () => {
  for (const [scope, method, path, body] of calls(command)) {
    for (const key of ['devices', 'commands', 'events', 'all']) {
      const answer = await world.call(method, path, { key: `key-${key}`, body })
      if (key === scope || key === 'all') assert.notEqual(answer.status, 403)
      else {
        assert.equal(answer.status, 403, `${key}: ${method} ${path}`)
        assert.equal(answer.body.scope, scope)
        assert.match(String(answer.headers['www-authenticate']), /insufficient_scope/)
      }
    }
  }
})

test("rule 30: another app's device and command are 404, on every call", async () => {
  const key = 'key-other'
  for (const [method, path, body] of [
    ['GET', '/v1/devices/SZ-0042'],
    ['DELETE', '/v1/devices/SZ-0042'],
    ['POST', '/v1/devices/SZ-0042/secrets'],
    ['DELETE', '/v1/devices/SZ-0042/secrets/older'],
    ['PUT', '/v1/aliases/slot', { device: 'SZ-0042' }],
    ['PUT', '/v1/tags/berlin/devices/SZ-0042'],
    ['DELETE', '/v1/tags/berlin/devices/SZ-0042'],
    ['GET', '/v1/devices/SZ-0042/commands'],
    ['POST', '/v1/devices/SZ-0042/commands', { name: 'open' }],
    ['GET', `/v1/commands/${command}`],
    ['DELETE', `/v1/commands/${command}`],
    ['GET', `/v1/commands/${command}/explain`],
  ] as const) {
    const answer = await world.call(method, path, { key, body })
    assert.equal(answer.status, 404, `${method} ${path}`)
  }
  assert.deepEqual((await world.call('GET', '/v1/devices', { key })).body.items, [])
  assert.equal((await world.call('GET', `/v1/commands/${command}`)).body.status, 'queued')
})

test('rule 30: a device of the same name in two apps is two devices', async () => {
  const mine = await world.send({ name: 'mine' }, { headers: { 'idempotency-key': 'same' } })
  await world.call('PUT', '/v1/devices/SZ-0042', { key: 'key-other', body: { tags: ['other'] } })
  const theirs = await world.send(
    { name: 'theirs' },
    { key: 'key-other', headers: { 'idempotency-key': 'same' } },
  )
  assert.deepEqual([mine.status, theirs.status], [202, 202])
  const got = await world.call('GET', `/v1/commands/${theirs.body.id}`, { key: 'key-other' })
  assert.deepEqual([got.body.name, got.body.askedBy], ['theirs', 'other'])
  assert.deepEqual((await world.call('GET', '/v1/devices/SZ-0042')).body.tags, ['berlin'])
})

test('a revoked key is nobody at once', async () => {
  await world.key('default', 'leaving', ['events'])
  const ask = () => world.call('GET', '/v1/events', { key: 'key-leaving' })
  assert.equal((await ask()).status, 200)
  await world.engine.names.removeKey('default', 'leaving')
  world.clock.advance(60_000)
  assert.equal((await ask()).status, 401)
})

test('the scheme may be written in any case', async () => {
  const headers = { authorization: 'bearer key-all' }
  assert.equal((await world.call('GET', '/v1/events', { key: '', headers })).status, 200)
})

test('rule 9: what a key that was made here asks is asked by its name', async () => {
  const put = await world.call('PUT', '/v1/apps/default/keys/night-shift', {
    body: { scopes: ['commands'] },
  })
  const sent = await world.send({ name: 'open' }, { key: put.body.key })
  const got = await world.call('GET', `/v1/commands/${sent.body.id}`)
  assert.equal(got.body.askedBy, 'night-shift')
})

test('rule 30: no part of a path leads anywhere else, however it is written', async () => {
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = world.app.server.address() as AddressInfo
  /** The path as it stands: nothing on the way may tidy it. */
  const status = (method: string, path: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: 'Bearer key-all' }
      const ask = request({ port, host: '127.0.0.1', method, path, headers, agent: false })
      ask.on('response', (response) => resolve(response.resume().statusCode)).on('error', reject)
      ask.end()
    })
  for (const name of [
    '%2e',
    '%2e%2e',
    '%2E%2E',
    '..',
    '.',
    '%00',
    'a%2f..%2fb',
    '__proto__',
    '%',
  ]) {
    for (const path of [
      `/v1/devices/${name}`,
      `/v1/devices/${name}/secrets/older`,
      `/v1/aliases/${name}`,
      `/v1/tags/${name}/devices/SZ-0042`,
      `/v1/tags/berlin/devices/${name}`,
      `/v1/apps/${name}`,
      `/v1/apps/${name}/keys/all`,
      `/v1/apps/default/keys/${name}`,
    ])
      assert.equal(await status('DELETE', path), 400, path)
  }
  const { items } = (await world.call('GET', '/v1/apps/default/keys')).body
  assert.ok(items.some(({ name }: { name: string }) => name === 'all'))
})
