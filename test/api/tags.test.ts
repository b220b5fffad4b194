import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open()
  for (const device of ['c', 'a', 'b']) await world.device(device)
})
afterEach(() => world.close())

const tag = (method: string, name: string, device: string, key = 'key-all') =>
  world.call(method, `/v1/tags/${name}/devices/${device}`, { key })
const tagged = async (name: string, query = '', key = 'key-all') =>
  (await world.call('GET', `/v1/tags/${name}${query}`, { key })).body
const tagsOf = (device: string) => world.engine.names.device('default', device)!.tags

test('a tag is given and taken, as often as one likes', async () => {
  for (let i = 0; i < 2; i++) assert.equal((await tag('PUT', 'berlin', 'a')).status, 204)
  assert.deepEqual(tagsOf('a'), ['berlin'])
  assert.deepEqual(await tagged('berlin'), { items: [{ device: 'a' }], next: null })
  for (let i = 0; i < 2; i++) assert.equal((await tag('DELETE', 'berlin', 'a')).status, 204)
  assert.deepEqual(tagsOf('a'), [])
  assert.deepEqual(await tagged('berlin'), { items: [], next: null })
})

test('what changes nothing is not written: the device has not changed', async () => {
  await tag('PUT', 'berlin', 'a')
  const { changedAtMs } = world.engine.names.device('default', 'a')!
  world.clock.advance(1_000)
  await tag('PUT', 'berlin', 'a')
  await tag('DELETE', 'paris', 'a')
  assert.equal(world.engine.names.device('default', 'a')!.changedAtMs, changedAtMs)
})

test('devices of a tag come in pages, in order of name, as names and as devices', async () => {
  for (const device of ['a', 'b', 'c']) await tag('PUT', 'berlin', device)
  const first = await tagged('berlin', '?limit=2')
  assert.deepEqual(first, { items: [{ device: 'a' }, { device: 'b' }], next: 'b' })
  assert.deepEqual(await tagged('berlin', '?limit=2&after=b'), {
    items: [{ device: 'c' }],
    next: null,
  })
  await tag('DELETE', 'berlin', 'b')
  const { body } = await world.call('GET', '/v1/devices?tag=berlin&limit=1')
  assert.deepEqual([body.items[0].device, body.items[0].tags, body.next], ['a', ['berlin'], 'a'])
  const rest = await world.call('GET', `/v1/devices?tag=berlin&after=${body.next}`)
  assert.deepEqual(
    [rest.body.items.length, rest.body.items[0].device, rest.body.next],
    [1, 'c', null],
  )
  assert.deepEqual((await world.call('GET', '/v1/devices?tag=none')).body.items, [])
})

test('tags of a PUT and of the tag routes are the same tags', async () => {
  await world.device('a', { tags: ['x', 'y'] })
  assert.deepEqual((await tagged('x')).items, [{ device: 'a' }])
  await world.device('a', { tags: ['y'] })
  assert.deepEqual((await tagged('x')).items, [])
  await world.call('DELETE', '/v1/devices/a')
  assert.deepEqual((await tagged('y')).items, [])
})

test('no such device, and as many tags as may be', async () => {
  for (const method of ['PUT', 'DELETE']) {
    const answer = await tag(method, 'berlin', 'nobody')
    assert.deepEqual([answer.status, answer.body.type], [404, '/problems/unknown-device'])
  }
  const tags = Array.from({ length: 64 }, (_, i) => `t${i}`)
  await world.device('a', { tags })
  assert.equal((await tag('PUT', 't63', 'a')).status, 204)
  const { status, body } = await tag('PUT', 't64', 'a')
  assert.deepEqual(
    [status, body.type, body.limit, body.max],
    [409, '/problems/limit-reached', 'tagsMax', 64],
  )
  assert.equal(tagsOf('a').length, 64)
})

test('tags given side by side are all kept', async () => {
  const names = Array.from({ length: 30 }, (_, i) => `t${i}`)
  await Promise.all([
    ...names.map((name) => tag('PUT', name, 'a')),
    world.device('a', { attributes: { doors: 4 } }),
    world.call('POST', '/v1/devices/a/secrets'),
  ])
  assert.deepEqual([...tagsOf('a')].sort(), [...names].sort())
  const { attributes, credentials } = world.engine.names.device('default', 'a')!
  assert.deepEqual([attributes, credentials.length], [{ doors: 4 }, 2])
})

test('rule 30: another app’s devices and tags are not there', async () => {
  await tag('PUT', 'berlin', 'a')
  assert.deepEqual((await tagged('berlin', '', 'key-other')).items, [])
  for (const method of ['PUT', 'DELETE'])
    assert.equal((await tag(method, 'berlin', 'a', 'key-other')).status, 404)
  const listed = await world.call('GET', '/v1/devices?tag=berlin', { key: 'key-other' })
  assert.deepEqual(listed.body.items, [])
  assert.deepEqual(tagsOf('a'), ['berlin'])
})

test('rule 30: what no tag may be called, and what it may', async () => {
  for (const name of ['__proto__', 'a%2fb', 'a%20b', 'x'.repeat(129)]) {
    for (const [method, path] of [
      ['GET', `/v1/tags/${name}`],
      ['PUT', `/v1/tags/${name}/devices/a`],
      ['DELETE', `/v1/tags/${name}/devices/a`],
      ['PUT', `/v1/tags/berlin/devices/${name}`],
      ['GET', `/v1/devices?tag=${name}`],
    ] as const) {
      const answer = await world.call(method, path)
      assert.equal(answer.status, 400, `${method} ${path}`)
    }
  }
  for (const name of ['constructor', 'valueOf']) {
    assert.deepEqual((await tagged(name)).items, [])
    assert.equal((await tag('PUT', name, 'a')).status, 204)
    assert.deepEqual((await tagged(name)).items, [{ device: 'a' }])
  }
})
