import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { type Call, World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open({ aliasHistoryMax: 3, aliasesMax: 20 })
  for (const device of ['SZ-1', 'SZ-2', 'SZ-3']) await world.device(device)
})
afterEach(() => world.close())

const put = (alias: string, body: object, call: Call = {}) =>
  world.call('PUT', `/v1/aliases/${alias}`, { body, ...call })
const get = (alias: string, call: Call = {}) => world.call('GET', `/v1/aliases/${alias}`, call)
const inMs = (ms: number) => new Date(world.clock.nowMs() + ms).toISOString()
const now = () => new Date(world.clock.nowMs()).toISOString()

test('an alias is made, found, listed and taken away', async () => {
  const made = await put('order-77', { device: 'SZ-1' })
  assert.deepEqual([made.status, made.headers.location], [201, '/v1/aliases/order-77'])
  const alias = {
    alias: 'order-77',
    device: 'SZ-1',
    createdAt: now(),
    changedAt: now(),
    history: [],
  }
  assert.deepEqual(made.body, alias)
  assert.deepEqual((await get('order-77')).body, alias)
  assert.deepEqual((await world.call('GET', '/v1/aliases')).body, { items: [alias], next: null })
  assert.equal((await world.call('DELETE', '/v1/aliases/order-77')).status, 204)
  for (const method of ['GET', 'DELETE']) {
    const answer = await world.call(method, '/v1/aliases/order-77')
    assert.deepEqual([answer.status, answer.body.type], [404, '/problems/unknown-alias'])
  }
})

test('rule 27: an alias bound anew tells whom it stood for, and since when until when', async () => {
  const times = [now()]
  await put('slot', { device: 'SZ-1' })
  for (const device of ['SZ-2', 'SZ-3', 'SZ-1', 'SZ-2']) {
    world.clock.advance(1_000)
    times.push(now())
    const changed = await put('slot', { device })
    assert.equal(changed.status, 200)
  }
  const { body } = await get('slot')
  assert.deepEqual([body.device, body.createdAt, body.changedAt], ['SZ-2', times[0], times[4]])
  // The newest first, three at most here.
  assert.deepEqual(body.history, [
    { device: 'SZ-1', from: times[3], until: times[4] },
    { device: 'SZ-3', from: times[2], until: times[3] },
    { device: 'SZ-2', from: times[1], until: times[2] },
  ])
})

test('binding to the same device again moves only its expiry', async () => {
  await put('slot', { device: 'SZ-1', expiresAt: inMs(60_000) })
  const began = now()
  world.clock.advance(1_000)
  const kept = await put('slot', { device: 'SZ-1' })
  assert.deepEqual([kept.status, kept.body.history, kept.body.expiresAt], [200, [], undefined])
  world.clock.advance(1_000)
  const { body } = await put('slot', { device: 'SZ-2' })
  assert.deepEqual(body.history, [{ device: 'SZ-1', from: began, until: now() }])
})

test('an alias that expired is nobody’s; made again it is new, and its history remains', async () => {
  const first = now()
  const expiry = inMs(1_000)
  await put('slot', { device: 'SZ-1', expiresAt: expiry })
  world.clock.advance(1_000)
  assert.equal((await get('slot')).status, 404)
  assert.deepEqual((await world.call('GET', '/v1/aliases')).body.items, [])
  world.clock.advance(5_000)
  const again = await put('slot', { device: 'SZ-2' })
  assert.deepEqual([again.status, again.body.createdAt], [201, now()])
  assert.deepEqual(again.body.history, [{ device: 'SZ-1', from: first, until: expiry }])
  const second = now()
  world.clock.advance(5_000)
  const { body } = await put('slot', { device: 'SZ-3' })
  assert.deepEqual(body.history[0], { device: 'SZ-2', from: second, until: now() })
})

test('taking away an alias that expired is 404, and it is gone all the same', async () => {
  await put('slot', { device: 'SZ-1', expiresAt: inMs(1_000) })
  world.clock.advance(1_000)
  assert.equal((await world.call('DELETE', '/v1/aliases/slot')).status, 404)
  assert.deepEqual((await put('slot', { device: 'SZ-2' })).body.history, [])
})

test('rule 27: rebinding is atomic: whoever asks finds the old device or the new, and none is lost', async () => {
  await world.close()
  world = await World.open({ aliasHistoryMax: 100 })
  const devices = Array.from({ length: 20 }, (_, i) => `D-${i}`)
  for (const device of devices) await world.device(device)
  await put('slot', { device: devices[0]! })
  const seen: string[] = []
  await Promise.all(
    devices.slice(1).flatMap((device) => [
      put('slot', { device }).then(({ status }) => assert.equal(status, 200)),
      get('slot').then(({ status, body }) => {
        assert.equal(status, 200)
        seen.push(body.device)
      }),
    ]),
  )
  assert.equal(seen.length, 19)
  const { body } = await get('slot')
  const bound = [body.device, ...body.history.map(({ device }: { device: string }) => device)]
  assert.deepEqual(bound.sort(), [...devices].sort())
})

test('what an alias cannot be bound to', async () => {
  const unknown = await put('slot', { device: 'nobody' })
  assert.deepEqual([unknown.status, unknown.body.type], [404, '/problems/unknown-device'])
  for (const [body, path] of [
    [{}, '/device'],
    [{ device: 'a b' }, '/device'],
    [{ device: 'SZ-1', expiresAt: now() }, '/expiresAt'],
    [{ device: 'SZ-1', expiresAt: inMs(-1_000) }, '/expiresAt'],
    [{ device: 'SZ-1', expiresAt: 'tomorrow' }, '/expiresAt'],
    [{ device: 'SZ-1', expiresAt: 1_900_000_000 }, '/expiresAt'],
    [{ device: 'SZ-1', ttl: 5 }, '/ttl'],
  ] as const) {
    const answer = await put('slot', body)
    assert.equal(answer.status, 400, JSON.stringify(body))
    assert.equal(answer.body.errors[0].path, path)
  }
  assert.equal((await put('slot', [])).status, 400)
  assert.equal((await get('slot')).status, 404)
})

test('aliases are bounded; what is bound already can still be bound anew', async () => {
  for (let i = 0; i < 20; i++) assert.equal((await put(`a${i}`, { device: 'SZ-1' })).status, 201)
  const { status, body } = await put('one-more', { device: 'SZ-1' })
  assert.deepEqual(
    [status, body.type, body.limit, body.max],
    [409, '/problems/limit-reached', 'aliasesMax', 20],
  )
  assert.equal((await put('a7', { device: 'SZ-2' })).status, 200)
})

test('aliases come in pages, in order of name, without those that expired', async () => {
  for (const name of ['c', 'a', 'd']) await put(name, { device: 'SZ-1' })
  await put('b', { device: 'SZ-1', expiresAt: inMs(1_000) })
  world.clock.advance(1_000)
  const seen: string[] = []
  for (let next: string | null = ''; next !== null; ) {
    const query: string = next === '' ? '' : `&after=${next}`
    const { body } = await world.call('GET', `/v1/aliases?limit=2${query}`)
    assert.ok(body.items.length <= 2)
    seen.push(...body.items.map(({ alias }: { alias: string }) => alias))
    next = body.next
  }
  assert.deepEqual(seen, ['a', 'c', 'd'])
})

test('rule 30: another app’s alias is 404, and of one name both have their own', async () => {
  const other = { key: 'key-other' }
  await put('slot', { device: 'SZ-1' })
  assert.equal((await get('slot', other)).status, 404)
  assert.equal((await world.call('DELETE', '/v1/aliases/slot', other)).status, 404)
  assert.equal((await put('slot', { device: 'SZ-1' }, other)).status, 404)
  await world.call('PUT', '/v1/devices/theirs', other)
  assert.equal((await put('slot', { device: 'theirs' }, other)).status, 201)
  assert.equal((await get('slot')).body.device, 'SZ-1')
  assert.equal((await world.call('GET', '/v1/aliases', other)).body.items.length, 1)
})

test('rule 30: what no alias may be called, on every call', async () => {
  for (const name of [
    '__proto__',
    '.',
    '..',
    '%2e',
    '%2e%2e',
    'a%2fb',
    'a%20b',
    '-a',
    '%00',
    'é',
    'x'.repeat(129),
  ]) {
    const path = `/v1/aliases/${name === '.' || name === '..' ? encodeURIComponent(name).replaceAll('.', '%2e') : name}`
    for (const [method, body] of [['GET'], ['PUT', { device: 'SZ-1' }], ['DELETE']] as const) {
      const answer = await world.call(method, path, { body })
      assert.ok([400, 404].includes(answer.status), `${method} ${path} ${answer.status}`)
    }
  }
  for (const name of ['constructor', 'toString', 'hasOwnProperty', 'x'.repeat(128)]) {
    assert.equal((await get(name)).status, 404)
    assert.equal((await put(name, { device: 'SZ-1' })).status, 201)
    assert.equal((await get(name)).body.device, 'SZ-1')
  }
  assert.equal(await world.engine.names.aliasCount('default'), 4)
})

test('an alias stays while its device is removed, and when the device is back it is right again', async () => {
  await put('slot', { device: 'SZ-1' })
  await world.call('DELETE', '/v1/devices/SZ-1')
  assert.equal((await get('slot')).body.device, 'SZ-1')
})
