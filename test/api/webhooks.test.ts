import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open({ webhooksMax: 3 })
})
after(() => world.close())

const url = 'https://receiver.example/events'
const put = (name: string, body: object = { url }) =>
  world.call('PUT', `/v1/webhooks/${name}`, { body, key: 'key-events' })

test('a webhook is made with a secret that is shown once', async () => {
  const made = await put('orders', { url, types: ['command.ended'], tag: 'north' })
  assert.equal(made.status, 201)
  assert.match(made.body.secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  assert.equal(made.body.secretIds.length, 1)
  assert.deepEqual(world.webhooks.looked, ['default/orders'])
  const seen = await world.call('GET', '/v1/webhooks/orders', { key: 'key-events' })
  assert.equal(seen.body.secret, undefined)
  assert.deepEqual(seen.body.types, ['command.ended'])
  assert.equal(seen.body.tag, 'north')
})

test('changing one is the whole of it, and keeps its secret', async () => {
  const changed = await put('orders', { url: `${url}/2`, disabled: true })
  assert.equal(changed.status, 200)
  assert.equal(changed.body.secret, undefined)
  assert.equal(changed.body.types, undefined)
  assert.equal(changed.body.disabled, true)
  assert.equal(changed.body.secretIds.length, 1)
})

test('a URL that points inward is refused where it stands', async () => {
  const refused = await put('inward', { url: 'http://10.0.0.1/' })
  assert.equal(refused.status, 400)
  assert.equal(refused.body.errors[0].path, '/url')
  assert.equal(refused.body.errors[0].in, 'body')
})

test('a type nobody has is refused', async () => {
  assert.equal((await put('odd', { url, types: ['commands'] })).status, 400)
  assert.equal((await put('odd', { url, types: [] })).status, 400)
  assert.equal((await put('odd', { url, other: 1 })).status, 400)
})

test('secrets are changed with overlap', async () => {
  const call = { key: 'key-events' }
  const one = await world.call('POST', '/v1/webhooks/orders/secrets', call)
  assert.equal(one.status, 201)
  const two = await world.call('POST', '/v1/webhooks/orders/secrets', call)
  const seen = await world.call('GET', '/v1/webhooks/orders', call)
  assert.deepEqual(seen.body.secretIds, [two.body.id, one.body.id])
  const dropped = await world.call('DELETE', '/v1/webhooks/orders/secrets/older', call)
  assert.deepEqual(dropped.body.secretIds, [two.body.id])
  const again = await world.call('DELETE', '/v1/webhooks/orders/secrets/older', call)
  assert.deepEqual(again.body.secretIds, [two.body.id])
  assert.equal((await world.call('POST', '/v1/webhooks/nobody/secrets', call)).status, 404)
})

test('callbacks is reserved, and exists once it has a secret', async () => {
  const call = { key: 'key-events' }
  assert.equal((await put('callbacks')).body.type, '/problems/reserved-name')
  assert.equal((await world.call('GET', '/v1/webhooks/callbacks', call)).status, 404)
  const made = await world.call('POST', '/v1/webhooks/callbacks/secrets', call)
  assert.equal(made.status, 201)
  const seen = await world.call('GET', '/v1/webhooks/callbacks', call)
  assert.equal(seen.status, 200)
  assert.deepEqual(seen.body.secretIds, [made.body.id])
  assert.equal(seen.body.url, undefined)
  const removed = await world.call('DELETE', '/v1/webhooks/callbacks', call)
  assert.equal(removed.body.type, '/problems/reserved-name')
})

test('an app has so many and no more, besides callbacks', async () => {
  assert.equal((await put('second')).status, 201)
  assert.equal((await put('third')).status, 201)
  const refused = await put('fourth')
  assert.equal(refused.status, 409)
  assert.equal(refused.body.limit, 'webhooksMax')
  assert.equal((await put('third', { url: `${url}/3` })).status, 200)
  const list = await world.call('GET', '/v1/webhooks?limit=3', { key: 'key-events' })
  assert.deepEqual(
    list.body.items.map(({ name }: { name: string }) => name),
    ['callbacks', 'orders', 'second'],
  )
  assert.equal(list.body.next, 'second')
})

test('another app sees none of it', async () => {
  const call = { key: 'key-other' }
  assert.equal((await world.call('GET', '/v1/webhooks/orders', call)).status, 404)
  assert.deepEqual((await world.call('GET', '/v1/webhooks', call)).body.items, [])
  assert.equal((await world.call('DELETE', '/v1/webhooks/orders', call)).status, 404)
})

test('a key without the scope events may not', async () => {
  assert.equal((await world.call('GET', '/v1/webhooks', { key: 'key-devices' })).status, 403)
})

test('dead letters are looked at, sent again and forgotten', async () => {
  const call = { key: 'key-events' }
  const path = '/v1/webhooks/orders/dead-letters'
  const letter = (event: string) => ({
    event,
    device: 'SZ-0042',
    kind: 'reply' as const,
    setAsideAtMs: world.clock.nowMs(),
    attempts: 7,
    lastError: 'answered 500',
  })
  world.webhooks.letters.push(letter('1a-0000000001'), letter('1a-0000000002'))
  const page = await world.call('GET', `${path}?limit=1`, call)
  assert.deepEqual(page.body.items[0], {
    event: '1a-0000000001',
    device: 'SZ-0042',
    type: 'reply',
    setAsideAt: '2026-01-01T00:00:00.000Z',
    attempts: 7,
    lastError: 'answered 500',
  })
  assert.equal(page.body.next, '1a-0000000001')
  const sent = await world.call('POST', path, { ...call, body: { event: '1a-0000000002' } })
  assert.equal(sent.status, 202)
  assert.deepEqual(sent.body, { sending: 1 })
  assert.deepEqual((await world.call('POST', path, call)).body, { sending: 2 })
  const one = await world.call('DELETE', `${path}?event=1a-0000000001`, call)
  assert.deepEqual(one.body, { discarded: 1 })
  assert.deepEqual((await world.call('DELETE', path, call)).body, { discarded: 1 })
  assert.equal((await world.call('DELETE', `${path}?event=x`, call)).status, 400)
  assert.equal((await world.call('GET', '/v1/webhooks/nobody/dead-letters', call)).status, 404)
})

test('a removed webhook is gone', async () => {
  const call = { key: 'key-events' }
  assert.equal((await world.call('DELETE', '/v1/webhooks/orders', call)).status, 204)
  assert.equal((await world.call('DELETE', '/v1/webhooks/orders', call)).status, 404)
  assert.equal(world.webhooks.looked.at(-1), 'default/orders')
})
