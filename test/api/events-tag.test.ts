import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { apiBounds } from '../../src/api/bounds.ts'
import type { NewEvent } from '../../src/contract/index.ts'
import { until } from '../support/turns.ts'
import { StreamReader } from './stream-reader.ts'
import { World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open()
  await world.device('a', { tags: ['berlin'] })
  await world.device('b')
  await world.device('c', { tags: ['paris', 'berlin'] })
})
afterEach(() => world.close())

const uplink = (device: string, name: string, app = 'default'): NewEvent => ({
  kind: 'event',
  app,
  device,
  channel: 'main',
  atMs: world.clock.nowMs(),
  name,
  payload: Buffer.from('1'),
  contentType: 'application/json',
})
const keep = (...events: NewEvent[]): Promise<unknown> =>
  new Promise((settled) => world.engine.events.append(events, settled))
const read = async (query: string, key = 'key-all') =>
  (await world.call('GET', `/v1/events${query}`, { key })).body
const names = (page: { items: { name: string }[] }) => page.items.map(({ name }) => name)
const held = async () => {
  await until(() => world.app.figures().calls_held !== 0)
}

test('a page of a tag: only of devices that have it now, and nothing is passed over', async () => {
  await keep(uplink('a', '1'), uplink('b', '2'), uplink('c', '3'), uplink('gone', '4'))
  await keep(uplink('a', '5'), uplink('b', '6'))
  const whole = await read('?tag=berlin')
  assert.deepEqual([names(whole), whole.caughtUp], [['1', '3', '5'], true])
  assert.equal(whole.next, (await read('')).next)
  assert.deepEqual(names(await read('?tag=paris')), ['3'])
  assert.deepEqual(names(await read('?tag=berlin&device=a')), ['1', '5'])
  assert.deepEqual(names(await read('?tag=berlin&type=presence')), [])
  const seen: string[] = []
  let after = ''
  for (let caughtUp = false; !caughtUp; ) {
    const page = await read(`?tag=berlin&limit=1${after}`)
    assert.ok(page.items.length <= 1)
    seen.push(...names(page))
    after = `&after=${page.next}`
    caughtUp = page.caughtUp
  }
  assert.deepEqual(seen, ['1', '3', '5'])
})

test('tags are those of now, not those of then', async () => {
  await keep(uplink('a', '1'), uplink('b', '2'))
  await world.call('DELETE', '/v1/tags/berlin/devices/a')
  await world.call('PUT', '/v1/tags/berlin/devices/b')
  assert.deepEqual(names(await read('?tag=berlin')), ['2'])
  await world.call('DELETE', '/v1/devices/b')
  assert.deepEqual(names(await read('?tag=berlin')), [])
})

test('a page that looked at many and found few ends, and its next goes on', async () => {
  const many = Array.from({ length: apiBounds.tagScanMaxEvents + 50 }, (_, i) =>
    uplink('b', `${i}`),
  )
  await keep(uplink('a', 'first'), ...many, uplink('a', 'last'))
  const first = await read('?tag=berlin')
  assert.deepEqual([names(first), first.caughtUp], [['first'], false])
  const second = await read(`?tag=berlin&after=${first.next}`)
  assert.deepEqual([names(second), second.caughtUp], [['last'], true])
})

test('a long poll waits for a device that has the tag', async () => {
  const { next } = await read('')
  const asked = read(`?tag=berlin&wait=30&after=${next}`)
  await held()
  await keep(uplink('b', '1'))
  await held()
  await keep(uplink('c', '2'))
  assert.deepEqual(names(await asked), ['2'])
  assert.deepEqual(world.clock.waiting(), [])
})

test('a stream of a tag tells its devices only, and its cursor moves past the others', async () => {
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  const reader = await StreamReader.open(world.app, '/v1/events?tag=berlin')
  await keep(uplink('b', '1'), uplink('a', '2'), uplink('b', '3'))
  await reader.until(() => reader.events.length === 1)
  await world.call('PUT', '/v1/tags/berlin/devices/b')
  await keep(uplink('b', '4'))
  await reader.until(() => reader.events.length === 2)
  const told = reader.events.map(({ data }) => (JSON.parse(data!) as { name: string }).name)
  assert.deepEqual(told, ['2', '4'])
  await keep(uplink('nobody', '5'))
  const { next } = await read('')
  world.clock.advance(apiBounds.streamHeartbeatMs)
  await reader.until(() => reader.lastId === next)
  reader.close()
})

test('rule 30: a tag of another app is another tag', async () => {
  await world.call('PUT', '/v1/devices/a', { key: 'key-other' })
  await keep(uplink('a', 'mine'), uplink('a', 'theirs', 'other'))
  assert.deepEqual(names(await read('?tag=berlin', 'key-other')), [])
  assert.deepEqual(names(await read('?tag=berlin')), ['mine'])
})

test('what no tag may be called', async () => {
  for (const tag of ['__proto__', '', '..', 'a b', 'x'.repeat(129)]) {
    const answer = await world.call('GET', `/v1/events?tag=${encodeURIComponent(tag)}`)
    assert.equal(answer.status, 400, tag)
    assert.equal(answer.body.errors[0].path, '/tag')
  }
  await world.call('PUT', '/v1/tags/constructor/devices/a')
  await keep(uplink('a', '1'))
  assert.deepEqual(names(await read('?tag=constructor')), ['1'])
})

test('a key that is revoked, or loses its scope, loses its streams at the next heartbeat', async () => {
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  for (const [name, end] of [
    ['leaving', () => world.call('DELETE', '/v1/apps/default/keys/leaving')],
    [
      'demoted',
      () => world.call('PUT', '/v1/apps/default/keys/demoted', { body: { scopes: ['commands'] } }),
    ],
  ] as const) {
    await world.key('default', name, ['events'])
    const authorization = `Bearer key-${name}`
    const reader = await StreamReader.open(world.app, '/v1/events', { authorization })
    world.clock.advance(apiBounds.streamHeartbeatMs)
    await reader.until(() => reader.blocks.length > 1)
    await end()
    world.clock.advance(apiBounds.streamHeartbeatMs)
    await reader.untilEnd()
  }
})
