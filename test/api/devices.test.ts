import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { limits } from '../../src/contract/index.ts'
import { checkSecret } from '../../src/secrets/secrets.ts'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open()
})
after(() => world.close())

const fits = async (device: string, secret: string): Promise<number | undefined> => {
  const { credentials } = world.engine.names.device('default', device)!
  const found = await checkSecret(credentials, 'default', device, secret)
  return found === undefined ? undefined : credentials.indexOf(found)
}

test('a new device without a secret is given one, shown this once', async () => {
  const made = await world.device('made', { tags: ['berlin'], attributes: { doors: 24 } })
  assert.equal(made.status, 201)
  assert.equal(made.headers['cache-control'], 'no-store')
  assert.equal(await fits('made', made.body.secret), 0)
  const got = await world.call('GET', '/v1/devices/made')
  assert.equal(got.body.secret, undefined)
  assert.deepEqual([got.body.tags, got.body.attributes], [['berlin'], { doors: 24 }])
  assert.deepEqual(got.body.presence, { state: 'offline' })
  assert.deepEqual(got.body.mailbox, { commands: 0, bytes: 0 })
  assert.deepEqual(got.body.keepalive, { grantedS: 60 })
})

test('no body at all registers too; a chosen secret is not repeated', async () => {
  assert.equal((await world.call('PUT', '/v1/devices/plain')).status, 201)
  const chosen = await world.device('chosen', { secret: 'correct horse'.replace(' ', '-') })
  assert.deepEqual([chosen.status, chosen.body.secret], [201, undefined])
  assert.equal(await fits('chosen', 'correct-horse'), 0)
})

test('what is left out stays as it is', async () => {
  const { body } = await world.device('kept', {
    tags: ['a'],
    attributes: { x: 1 },
    channels: { media: { maxCommands: 5, overflow: 'drop-oldest' } },
  })
  world.clock.advance(1_000)
  const changed = await world.device('kept', { tags: ['b'] })
  assert.equal(changed.status, 200)
  const { secret, ...rest } = body
  const { changedAt } = changed.body
  assert.deepEqual(changed.body, { ...rest, tags: ['b'], changedAt })
  assert.ok(changedAt > body.changedAt)
  assert.equal(await fits('kept', secret), 0)
})

test('rule 31: in a rotation the new secret comes first and the one before stays, at most two', async () => {
  await world.device('turning', { secret: 'first-secret' })
  await world.device('turning', { secret: 'second-secret' })
  assert.deepEqual(
    [await fits('turning', 'second-secret'), await fits('turning', 'first-secret')],
    [0, 1],
  )
  const same = await world.device('turning', { secret: 'second-secret' })
  assert.equal(same.body.credentials, 2)
  assert.equal(await fits('turning', 'first-secret'), 1)
  await world.device('turning', { secret: 'third-secret' })
  assert.equal(await fits('turning', 'first-secret'), undefined)
})

test('rotations side by side leave two of what was given, never a lost update', async () => {
  await world.device('racing', { secret: 'secret-number-0' })
  await Promise.all([
    world.device('racing', { secret: 'secret-number-1' }),
    world.device('racing', { tags: ['kept'] }),
    world.device('racing', { secret: 'secret-number-2' }),
  ])
  const { credentials, tags } = world.engine.names.device('default', 'racing')!
  assert.deepEqual([credentials.length, tags], [2, ['kept']])
})

test('a secret is not in the store', async () => {
  const { body } = await world.device('hidden')
  const record = JSON.stringify(world.engine.names.device('default', 'hidden'))
  assert.ok(!record.includes(body.secret))
})

test('disabling closes what is connected', async () => {
  await world.device('off')
  assert.deepEqual(world.gateway.refused, [])
  const { body } = await world.device('off', { disabled: true })
  assert.equal(body.disabled, true)
  assert.deepEqual(world.gateway.refused, ['default/off'])
})

test('removed is gone', async () => {
  await world.device('gone')
  assert.equal((await world.call('DELETE', '/v1/devices/gone')).status, 204)
  for (const method of ['GET', 'DELETE'])
    assert.equal((await world.call(method, '/v1/devices/gone')).status, 404)
  assert.equal((await world.call('GET', '/v1/devices/gone/commands')).status, 404)
})

test('devices come in pages, in order of name', async () => {
  const listing = await World.open()
  for (const device of ['c', 'a', 'b']) await listing.device(device)
  const first = await listing.call('GET', '/v1/devices?limit=2')
  assert.deepEqual(
    [first.body.items.map(({ device }: { device: string }) => device), first.body.next],
    [['a', 'b'], 'b'],
  )
  const second = await listing.call('GET', `/v1/devices?after=${first.body.next}`)
  assert.deepEqual([second.body.items.length, second.body.next], [1, null])
  await listing.close()
})

test('names that are members of every object are names like others', async () => {
  for (const device of ['constructor', 'toString', 'hasOwnProperty']) {
    assert.equal((await world.call('GET', `/v1/devices/${device}`)).status, 404)
    const made = await world.device(device, {
      channels: { constructor: { maxCommands: 3 } },
      tags: ['valueOf'],
    })
    assert.equal(made.status, 201)
    assert.deepEqual(Object.entries(made.body.channels), [['constructor', { maxCommands: 3 }]])
  }
  const raw = '{"attributes":{"__proto__":{"admin":true},"constructor":1}}'
  const answer = await world.call('PUT', '/v1/devices/poison', { raw })
  assert.equal(answer.status, 201)
  assert.ok(answer.text.includes('"__proto__":{"admin":true}'), answer.text)
  assert.equal(({} as { admin?: boolean }).admin, undefined)
})

test('bounds of a device are named where they are passed', async () => {
  const many = (count: number, value: unknown) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`c${i}`, value]))
  for (const [body, path] of [
    [{ tags: Array.from({ length: 65 }, (_, i) => `t${i}`) }, '/tags'],
    [{ tags: ['a', 'a'] }, '/tags'],
    [{ tags: ['no spaces'] }, '/tags/0'],
    [{ attributes: { x: 'y'.repeat(16 * 1024) } }, '/attributes'],
    [{ attributes: [] }, '/attributes'],
    [{ channels: many(17, {}) }, '/channels'],
    [{ channels: { 'a b': {} } }, '/channels/a b'],
    [{ channels: { media: { maxCommands: 0 } } }, '/channels/media/maxCommands'],
    [
      { channels: { media: { maxCommands: limits.mailboxMaxCommands + 1 } } },
      '/channels/media/maxCommands',
    ],
    [{ channels: { media: { overflow: 'drop' } } }, '/channels/media/overflow'],
    [{ channels: { media: { size: 1 } } }, '/channels/media/size'],
    [{ secret: 'short' }, '/secret'],
    [{ secret: 'with a space' }, '/secret'],
    [{ disabled: 'yes' }, '/disabled'],
    [{ tag: ['a'] }, '/tag'],
  ] as const) {
    const answer = await world.device('bounded', body)
    assert.equal(answer.status, 400, JSON.stringify(body).slice(0, 80))
    assert.equal(answer.body.errors[0].path, path)
    assert.equal(answer.body.errors[0].in, 'body')
  }
  assert.equal(world.engine.names.device('default', 'bounded'), undefined)
})

test('rule 31: a secret is turned over with both valid between, then only the newest', async () => {
  const { body: first } = await world.device('turn')
  const turned = await world.call('POST', '/v1/devices/turn/secrets')
  assert.deepEqual([turned.status, turned.headers['cache-control']], [201, 'no-store'])
  const { secret, ...rest } = turned.body
  assert.deepEqual(rest, { device: 'turn', credentials: 2 })
  assert.deepEqual([await fits('turn', secret), await fits('turn', first.secret)], [0, 1])
  for (let i = 0; i < 2; i++) {
    const ended = await world.call('DELETE', '/v1/devices/turn/secrets/older')
    assert.deepEqual([ended.status, ended.body.credentials], [200, 1])
    assert.equal(ended.body.secret, undefined)
  }
  assert.deepEqual([await fits('turn', secret), await fits('turn', first.secret)], [0, undefined])
  // Twice without an end between: the oldest goes, never the one made last.
  await world.call('POST', '/v1/devices/turn/secrets', { body: {} })
  const last = await world.call('POST', '/v1/devices/turn/secrets')
  assert.deepEqual([last.body.credentials, await fits('turn', last.body.secret)], [2, 0])
  assert.equal(await fits('turn', secret), undefined)
})

test('rule 31: rotations side by side leave the two newest, and what else changed is kept', async () => {
  await world.device('racing-2')
  const answers = await Promise.all([
    ...Array.from({ length: 5 }, () => world.call('POST', '/v1/devices/racing-2/secrets')),
    world.device('racing-2', { tags: ['kept'] }),
  ])
  const valid = await Promise.all(
    answers.slice(0, 5).map(({ body }) => fits('racing-2', body.secret)),
  )
  assert.deepEqual(valid, [undefined, undefined, undefined, 1, 0])
  assert.deepEqual(world.engine.names.device('default', 'racing-2')!.tags, ['kept'])
})

test('secrets of a device that nobody has here', async () => {
  await world.device('mine')
  for (const [method, path] of [
    ['POST', 'secrets'],
    ['DELETE', 'secrets/older'],
  ] as const) {
    for (const [device, key] of [
      ['nobody', 'key-all'],
      ['constructor2', 'key-all'],
      ['mine', 'key-other'],
    ]) {
      const answer = await world.call(method, `/v1/devices/${device}/${path}`, { key: key! })
      assert.deepEqual([answer.status, answer.body.type], [404, '/problems/unknown-device'])
    }
    assert.equal((await world.call(method, `/v1/devices/__proto__/${path}`)).status, 400)
  }
  const body = { secret: 'mine-to-choose-77' }
  assert.equal((await world.call('POST', '/v1/devices/mine/secrets', { body })).status, 400)
})

test('devices are listed by how they are now, and a state nobody can have is refused', async () => {
  await world.device('away')
  const offline = await world.call('GET', '/v1/devices?presence=offline&limit=1000')
  assert.ok(
    offline.body.items.some((one: { device: string }) => one.device === 'away'),
    'it is offline',
  )
  const online = await world.call('GET', '/v1/devices?presence=online&limit=1000')
  assert.deepEqual(online.body.items, [])
  const wrong = await world.call('GET', '/v1/devices?presence=away')
  assert.equal(wrong.status, 400)
  assert.equal(wrong.body.errors[0].path, '/presence')
})

test('who may speak for a device and how a channel is connected: kept, shown, and told to the gateway', async () => {
  await world.device('box-1')
  const wanted = { gateways: ['CAB-1'], channels: { media: { connection: 'independent' } } }
  const { status, body } = await world.device('box-1', wanted)
  assert.equal(status, 200)
  assert.deepEqual([body.gateways, body.channels], [wanted.gateways, wanted.channels])
  const { body: again } = await world.device('box-1', { tags: ['berlin'] })
  assert.deepEqual(again.gateways, ['CAB-1'], 'what is left out stays')
  const { body: none } = await world.device('box-1', { gateways: [] })
  assert.equal(none.gateways, undefined)
  for (const wrong of [
    { gateways: ['a/b'] },
    { gateways: ['CAB-1', 'CAB-1'] },
    { gateways: Array.from({ length: 17 }, (_, i) => `CAB-${i}`) },
    { channels: { media: { connection: 'alone' } } },
  ]) {
    const refused = await world.device('box-1', wrong)
    assert.equal(refused.status, 400)
    const path = 'gateways' in wrong ? '/gateways' : '/channels/media/connection'
    assert.ok(JSON.stringify(refused.body.errors).includes(path), JSON.stringify(refused.body))
  }
})
