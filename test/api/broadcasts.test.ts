import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open()
  for (const device of ['SZ-1', 'SZ-2', 'SZ-3']) await world.device(device, { tags: ['berlin'] })
})
after(() => world.close())
beforeEach(() => {
  world.gateway.saysOfBroadcast = undefined
  world.gateway.fails = undefined
  world.gateway.broadcasts.length = 0
})

const post = (body: object, headers: Record<string, string> = {}, key = 'key-all') =>
  world.call('POST', '/v1/tags/berlin/commands', { body, headers, key })
const get = (path: string, key = 'key-all') => world.call('GET', path, { key })

test('rule 27: a tag call is a kept broadcast with the devices of that moment, and one report', async () => {
  const sent = await post({
    name: 'restart',
    payload: { now: true },
    expect: 'reply',
    ttl: 60,
    channel: 'urgent',
    rate: 50,
    stopAfterFailures: 3,
  })
  assert.equal(sent.status, 202)
  const { broadcast, devices } = sent.body
  assert.equal(devices, 3)
  assert.equal(sent.headers.location, `/v1/broadcasts/${broadcast}`)
  await world.device('SZ-9', { tags: ['berlin'] })
  const report = await get(sent.headers.location as string)
  const at = new Date(world.clock.nowMs()).toISOString()
  assert.deepEqual(report.body, {
    ...{ id: broadcast, tag: 'berlin', state: 'running', name: 'restart', channel: 'urgent' },
    ...{ askedBy: 'all', createdAt: at, rate: 50, stopAfterFailures: 3 },
    ...{ devices: 3, waiting: 3, notPlaced: 0, open: 0, ended: {} },
  })
  await world.call('DELETE', '/v1/devices/SZ-9')
  const { command, ...asked } = world.gateway.broadcasts[0]!
  assert.deepEqual(asked, {
    ...{ app: 'default', tag: 'berlin', askedBy: 'all' },
    ...{ ratePerSecond: 50, stopAfterFailures: 3 },
  })
  assert.deepEqual(
    [Buffer.from(command.payload).toString(), command.ttlMs, command.expect],
    ['{"now": true}'.replaceAll(' ', ''), 60_000, 'reply'],
  )
})

test('the report counts what became of each, and its devices say so one by one', async () => {
  const { broadcast } = (await post({ name: 'restart' })).body
  await world.gateway.place('default', broadcast, 2)
  const path = `/v1/broadcasts/${broadcast}`
  const page = (await get(`${path}/devices`)).body
  assert.deepEqual(
    page.items.map(({ device, status }: { device: string; status: string }) => [device, status]),
    [
      ['SZ-1', 'queued'],
      ['SZ-2', 'queued'],
      ['SZ-3', 'waiting'],
    ],
  )
  assert.equal(page.next, null)
  await world.gateway.end('default', page.items[0].command, 'delivered')
  const report = (await get(path)).body
  assert.deepEqual(
    [report.state, report.waiting, report.open, report.ended],
    ['running', 1, 1, { delivered: 1 }],
  )
  const command = await get(`/v1/commands/${page.items[0].command}`)
  assert.equal(command.body.broadcast, broadcast)
  const devicesOf = async (query: string) => {
    const { items, next } = (await get(`${path}/devices?${query}`)).body
    return [items.map(({ device }: { device: string }) => device), next]
  }
  assert.deepEqual(await devicesOf('status=delivered'), [['SZ-1'], null])
  assert.deepEqual(await devicesOf('status=waiting'), [['SZ-3'], null])
  assert.deepEqual(await devicesOf('limit=2'), [['SZ-1', 'SZ-2'], 'SZ-2'])
  assert.deepEqual(await devicesOf('limit=2&status=waiting'), [[], 'SZ-2'])
  assert.deepEqual(await devicesOf('limit=2&after=SZ-2'), [['SZ-3'], null])
  assert.equal((await get(`${path}/devices?status=lost`)).status, 400)
})

test('broadcasts are listed newest first, in pages', async () => {
  const ids: string[] = []
  for (const name of ['a', 'b', 'c']) {
    world.clock.advance(1_000)
    ids.unshift((await post({ name })).body.broadcast)
  }
  const first = (await get('/v1/broadcasts?limit=2')).body
  const idsOf = (page: { items: { id: string }[] }) => page.items.map(({ id }) => id)
  assert.deepEqual(idsOf(first), ids.slice(0, 2))
  const second = (await get(`/v1/broadcasts?limit=2&after=${first.next}`)).body
  assert.equal(idsOf(second)[0], ids[2])
})

test('a stopped broadcast places no more, and says why', async () => {
  const { broadcast } = (await post({ name: 'restart' })).body
  const stopped = await world.call('DELETE', `/v1/broadcasts/${broadcast}`)
  const { state, waiting, notPlaced, devices } = stopped.body
  assert.deepEqual([stopped.status, state, waiting, notPlaced, devices], [200, 'stopped', 0, 3, 3])
  assert.ok(stopped.body.why.length > 0)
  const again = await world.call('DELETE', `/v1/broadcasts/${broadcast}`)
  assert.deepEqual([again.status, again.body.state], [200, 'stopped'])
})

test('members of a stopped broadcast that never had a command are not placed, they do not wait', async () => {
  const { broadcast } = (await post({ name: 'restart' })).body
  await world.gateway.place('default', broadcast, 1)
  const path = `/v1/broadcasts/${broadcast}`
  await world.call('DELETE', path)
  const statuses = async (query = '') =>
    (await get(`${path}/devices${query}`)).body.items.map(
      ({ device, status }: { device: string; status: string }) => `${device} ${status}`,
    )
  assert.deepEqual(await statuses(), ['SZ-1 queued', 'SZ-2 not-placed', 'SZ-3 not-placed'])
  assert.deepEqual(await statuses('?status=not-placed'), ['SZ-2 not-placed', 'SZ-3 not-placed'])
  assert.deepEqual(await statuses('?status=waiting'), [])
  const report = (await get(path)).body
  assert.deepEqual([report.waiting, report.notPlaced, report.open], [0, 2, 1])
  const listed = (await get('/v1/broadcasts')).body.items
  assert.deepEqual(
    listed.find(({ id }: { id: string }) => id === broadcast),
    report,
  )
})

test('rule 28: one key, one broadcast', async () => {
  const headers = { 'idempotency-key': 'campaign-1' }
  const first = await post({ name: 'restart' }, headers)
  const again = await post({ name: 'restart' }, headers)
  assert.deepEqual([again.status, again.body], [202, first.body])
  const other = await post({ name: 'stop' }, headers)
  assert.deepEqual(
    [other.status, other.body.type, other.body.broadcast],
    [409, '/problems/idempotency-conflict', first.body.broadcast],
  )
  const bad = await post({ name: 'a' }, { 'idempotency-key': 'a b' })
  assert.deepEqual([bad.status, bad.body.errors[0].path], [400, '/idempotency-key'])
})

for (const [body, path] of [
  [{}, '/name'],
  [{ name: 'a', notBefore: '2126-01-01T00:00:00Z' }, '/notBefore'],
  [{ name: 'a', rate: 0 }, '/rate'],
  [{ name: 'a', rate: 10_001 }, '/rate'],
  [{ name: 'a', stopAfterFailures: 0 }, '/stopAfterFailures'],
  [{ name: 'a', stopAfterFailures: 1.5 }, '/stopAfterFailures'],
  [{ name: 'a', callback: 'ftp://x' }, '/callback'],
  [{ name: 'a', callback: 'http://10.0.0.1/' }, '/callback'],
] as const) {
  test(`400 names ${path}: ${JSON.stringify(body)}`, async () => {
    const answer = await post(body)
    assert.deepEqual([answer.status, answer.body.errors?.[0].path], [400, path])
  })
}

test('what a broadcast is refused for is told as a problem', async () => {
  for (const [says, status, type, retryAfter] of [
    [{ kind: 'unknown-tag' }, 404, 'unknown-tag', undefined],
    [{ kind: 'too-many', max: 7 }, 409, 'too-many-devices', undefined],
    [{ kind: 'busy', max: 7, retryAfterMs: 4_200 }, 429, 'too-many-broadcasts', '5'],
    [{ kind: 'forgotten', id: 'b1' }, 404, 'unknown-broadcast', undefined],
    [{ kind: 'limited', retryAfterMs: 200 }, 429, 'over-quota', '1'],
    [{ kind: 'unavailable', full: true }, 507, 'store-full', '5'],
    [{ kind: 'unavailable', full: false }, 503, 'store-unavailable', '5'],
  ] as const) {
    world.gateway.saysOfBroadcast = says
    const answer = await post({ name: 'restart' })
    assert.deepEqual([answer.status, answer.body.type], [status, `/problems/${type}`])
    assert.equal(answer.headers['retry-after'], retryAfter)
  }
  world.gateway.saysOfBroadcast = undefined
  const none = await world.call('POST', '/v1/tags/nowhere/commands', { body: { name: 'a' } })
  assert.deepEqual([none.status, none.body.type], [404, '/problems/unknown-tag'])
})

test("rule 30: another app's broadcast is 404, on every call", async () => {
  const { broadcast } = (await post({ name: 'restart' })).body
  for (const [method, path] of [
    ['GET', `/v1/broadcasts/${broadcast}`],
    ['GET', `/v1/broadcasts/${broadcast}/devices`],
    ['DELETE', `/v1/broadcasts/${broadcast}`],
    ['GET', '/v1/broadcasts/constructor'],
    ['GET', '/v1/broadcasts/..%2f..%2fx'],
  ] as const) {
    const answer = await world.call(method, path, { key: 'key-other' })
    assert.deepEqual([answer.status, answer.body.type], [404, '/problems/unknown-broadcast'])
  }
  assert.deepEqual((await get('/v1/broadcasts', 'key-other')).body.items, [])
  const tagged = await post({ name: 'a' }, {}, 'key-other')
  assert.equal(tagged.status, 404)
})
