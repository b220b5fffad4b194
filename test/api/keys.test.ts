import assert from 'node:assert/strict'
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
    ['commands', 'POST', '/v1/devices/SZ-0042/commands', { name: 'open' }],
    ['commands', 'GET', '/v1/devices/SZ-0042/commands'],
    ['commands', 'GET', `/v1/commands/${id}`],
    ['commands', 'GET', `/v1/commands/${id}/explain`],
    ['commands', 'DELETE', '/v1/commands/nothing'],
    ['events', 'GET', '/v1/events'],
  ] as const

test('no key, or one nobody has: 401 on every call, and how to ask', async () => {
  for (const [, method, path, body] of calls(command)) {
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
  assert.deepEqual((await world.call('GET', '/v1/devices/SZ-0042')).body.tags, [])
})

test('a revoked key is nobody at once', async () => {
  await world.key('default', 'leaving', ['events'])
  const ask = () => world.call('GET', '/v1/events', { key: 'key-leaving' })
  assert.equal((await ask()).status, 200)
  await world.engine.names.removeKey('default', 'leaving')
  assert.equal((await ask()).status, 401)
})

test('the scheme may be written in any case', async () => {
  const headers = { authorization: 'bearer key-all' }
  assert.equal((await world.call('GET', '/v1/events', { key: '', headers })).status, 200)
})
