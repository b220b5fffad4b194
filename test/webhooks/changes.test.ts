import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { Receiver } from './receiver.ts'
import { PushWorld, secret } from './world.ts'

let receiver: Receiver
let world: PushWorld
beforeEach(async () => {
  receiver = await Receiver.open()
  world = await PushWorld.open()
})
afterEach(async () => {
  await world.close()
  await receiver.close()
})

const change = (url: string, changed: Parameters<PushWorld['hook']>[1] = {}) =>
  world.hook(url, { createdAtMs: 1, ...changed })

test('only what it asks for: by device, by type, by tag', async () => {
  const { names } = world.engine
  const device = { app: 'default', disabled: false, attributes: {}, channels: {}, credentials: [] }
  const times = { createdAtMs: 0, changedAtMs: 0 }
  await names.putDevice({ ...device, ...times, device: 'SZ-1', tags: ['north', 'new'] })
  await names.putDevice({ ...device, ...times, device: 'SZ-2', tags: ['south'] })
  await world.hook(`${receiver.url}/device`, { name: 'device', device: 'SZ-2' })
  await world.hook(`${receiver.url}/type`, { name: 'type', kinds: ['presence'] })
  await world.hook(`${receiver.url}/tag`, { name: 'tag', tag: 'north' })
  const [one, two] = await world.say('SZ-1', 'SZ-2', 'SZ-3')
  const about = { app: 'default', device: 'SZ-1', atMs: world.clock.nowMs() }
  const [three] = await world.keep([{ ...about, kind: 'presence', state: 'online' }])
  const [four] = await world.say('SZ-2', 'SZ-3')
  await world.until(() => receiver.taken.length === 5)
  const by = (name: string) =>
    receiver.got.filter(({ path }) => path.endsWith(name)).flatMap(({ json }) => json.items)
  const ids = (name: string) => by(name).map(({ id }: { id: string }) => id)
  assert.deepEqual(ids('device'), [two, four])
  assert.deepEqual(ids('type'), [three])
  assert.deepEqual(ids('tag'), [one, three])
})

test('a tag is that of the moment of sending', async () => {
  const record = {
    app: 'default',
    device: 'SZ-1',
    disabled: false,
    attributes: {},
    channels: {},
    credentials: [],
    createdAtMs: 0,
    changedAtMs: 0,
  }
  await world.hook(receiver.url, { tag: 'north' })
  await world.engine.names.putDevice({ ...record, tags: [] })
  await world.say('SZ-1')
  await world.pass(1_000, 100)
  await world.engine.names.putDevice({ ...record, tags: ['north'] })
  const [second] = await world.say('SZ-1')
  await world.until(() => receiver.taken.length > 0)
  assert.deepEqual(receiver.taken, [second])
  assert.equal((await world.status()).behind, false)
})

test('one that is switched off sends nothing, and everything when it is on again', async () => {
  await change(receiver.url)
  const [first] = await world.say('SZ-1')
  await world.until(() => receiver.taken.length === 1)
  await change(receiver.url, { disabled: true })
  const later = [...(await world.say('SZ-1', 'SZ-2')), ...(await world.say('SZ-1'))]
  await world.pass(5_000, 500)
  assert.deepEqual(receiver.taken, [first])
  await change(receiver.url)
  await world.until(() => receiver.taken.length === 4)
  assert.deepEqual([...receiver.taken].sort(), [first, ...later])
})

test('one that is switched off stays so over a restart, and forgets nothing', async () => {
  await change(receiver.url)
  await change(receiver.url, { disabled: true })
  const ids = await world.say('SZ-1', 'SZ-2')
  world = await world.restart()
  await world.pass(2_000, 500)
  assert.equal(receiver.got.length, 0)
  await change(receiver.url)
  await world.until(() => receiver.taken.length === 2)
  assert.deepEqual([...receiver.taken].sort(), ids)
})

test('a mended URL is tried at once', async () => {
  const broken = await Receiver.open()
  broken.answer = Receiver.says(500)
  await change(broken.url)
  const [id] = await world.say('SZ-1')
  await world.pass(3_600_000, 1_000)
  const waitingMs = (await world.status()).nextAtMs! - world.clock.nowMs()
  const changedMs = world.clock.nowMs()
  await change(receiver.url)
  await world.until(() => receiver.taken.length > 0)
  assert.deepEqual(receiver.taken, [id])
  assert.ok(world.clock.nowMs() - changedMs < Math.min(2_000, waitingMs))
  await broken.close()
})

test('another filter holds for all that was not under way', async () => {
  receiver.answer = Receiver.says(500)
  await change(receiver.url)
  await world.say('SZ-1', 'SZ-2')
  const [wanted] = await world.say('SZ-3')
  await receiver.until(() => receiver.got.length >= 3)
  await world.pass(100, 50)
  receiver.answer = Receiver.ok
  await change(receiver.url, { device: 'SZ-3' })
  await world.until(() => receiver.taken.length > 0)
  await world.pass(10_000, 500)
  assert.deepEqual(receiver.taken, [wanted])
})

test('another filter holds also for one that was still being loaded', async () => {
  const nowMs = world.clock.nowMs()
  const record = {
    app: 'default',
    name: 'orders',
    url: receiver.url,
    secrets: [{ id: 'one', secret }],
    disabled: false,
    createdAtMs: nowMs,
    changedAtMs: nowMs,
  }
  const { names } = world.engine
  await names.putWebhook({ ...record, device: 'SZ-1' })
  const changing = names.putWebhook({ ...record, device: 'SZ-2' })
  world.webhooks.changed('default', 'orders')
  await changing
  world.webhooks.changed('default', 'orders')
  await world.status()
  const [, second] = await world.say('SZ-1', 'SZ-2')
  await world.until(() => receiver.taken.length > 0)
  await world.pass(2_000, 500)
  assert.deepEqual(receiver.taken, [second])
})

test('a new secret signs beside the one before', async () => {
  await change(receiver.url, {
    secrets: [
      { id: 'two', secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD' },
      { id: 'one', secret },
    ],
  })
  await world.say('SZ-1')
  await receiver.until(() => receiver.got.length === 1)
  const { headers } = receiver.got[0]!
  assert.equal(headers['pike-key-id'], 'two,one')
  assert.match(headers['webhook-signature']!, /^v1,\S{44} v1,\S{44}$/)
})

test('a removed one stops at once, and leaves nothing behind', async () => {
  receiver.answer = Receiver.says(500)
  await change(receiver.url)
  await world.say('SZ-1')
  await receiver.until(() => receiver.got.length === 1)
  await world.pass(1_000, 500)
  await world.engine.names.removeWebhook('default', 'orders')
  world.webhooks.changed('default', 'orders')
  await world.status()
  const seen = receiver.got.length
  await world.pass(60_000)
  assert.equal(receiver.got.length, seen)
  assert.deepEqual([...world.engine.disk.shelf.keys()], [])
})

test('one made again under the name of a removed one starts afresh', async () => {
  await change(receiver.url)
  await world.say('SZ-1')
  await world.until(() => receiver.taken.length === 1)
  await world.webhooks.stop(0)
  // Removed and made while nobody looked, as after a crash between.
  await world.engine.names.removeWebhook('default', 'orders')
  await world.say('SZ-1')
  world = await world.restart()
  await world.hook(receiver.url, { createdAtMs: 2 })
  const [later] = await world.say('SZ-1')
  await world.until(() => receiver.taken.length === 2)
  assert.equal(receiver.taken[1], later)
  assert.equal((await world.status()).delivered, 1)
})

test('what had to be forgotten before it was sent is said', async () => {
  receiver.answer = Receiver.silent
  await change(receiver.url, { disabled: true })
  await world.say('SZ-1', 'SZ-2')
  await world.pass(10_000)
  await world.engine.events.purge(world.clock.nowMs())
  const ids = await world.say('SZ-1', 'SZ-2')
  receiver.answer = Receiver.ok
  await change(receiver.url)
  await world.until(() => receiver.taken.length === 2)
  assert.deepEqual([...receiver.taken].sort(), ids)
  assert.match((await world.status()).lastError!.text, /forgotten/)
  assert.ok(world.logged.some(({ event }) => event === 'webhook.events-lost'))
})
