import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { limits } from '../../src/contract/index.ts'
import { Receiver } from './receiver.ts'
import { PushWorld } from './world.ts'

let receiver: Receiver
let world: PushWorld
beforeEach(async () => {
  receiver = await Receiver.open()
})
afterEach(async () => {
  await world.close()
  await receiver.close()
})

const devices = (count: number): string[] => Array.from({ length: count }, (_, i) => `SZ-${i}`)

test('memory does not grow with what a receiver leaves waiting, nor is the log read once a lane', async () => {
  // 64 lanes of about 30 events each.
  const heldMaxBytes = 64 * 8_192
  world = await PushWorld.open({
    limits: { webhookHeldMaxBytes: heldMaxBytes, webhookBatchMaxEvents: 16 },
  })
  receiver.answer = Receiver.says(503)
  await world.hook(receiver.url)
  const ids: string[] = []
  let most = 0
  for (let round = 0; round < 100; round++) {
    ids.push(...(await world.say(...devices(200))))
    most = Math.max(most, world.webhooks.figures().held_bytes!)
    await world.pass(36_000, 12_000)
  }
  assert.ok(most <= heldMaxBytes * 1.05, `held ${most}`)
  const status = await world.status()
  assert.equal(status.behind, true)
  assert.ok(status.waiting < 5_000, `waiting ${status.waiting}`)
  receiver.answer = Receiver.ok
  await world.until(() => receiver.taken.length >= ids.length)
  assert.deepEqual([...receiver.taken].sort(), ids)
  for (const own of receiver.takenOf.values()) assert.deepEqual(own, [...own].sort())
  const times = world.webhooks.looked() / ids.length
  assert.ok(times < 4, `the log was read ${times} times`)
})

test('an event larger than a share goes out alone', async () => {
  world = await PushWorld.open({ limits: { webhookHeldMaxBytes: 64 * 1_024 } })
  await world.hook(receiver.url)
  const event = {
    app: 'default',
    device: 'SZ-1',
    atMs: world.clock.nowMs(),
    kind: 'event',
    name: 'photo',
    payload: Buffer.alloc(48 * 1024, 1),
    contentType: 'image/png',
  } as const
  const ids = await world.keep([event, event, event])
  await world.until(() => receiver.taken.length === 3)
  assert.deepEqual(receiver.taken, ids)
})

test('a batch keeps to its bounds', async () => {
  world = await PushWorld.open({ limits: { webhookBatchMaxEvents: 5 } })
  await world.hook(receiver.url)
  await world.say(...Array.from({ length: 33 }, () => 'SZ-1'))
  await world.until(() => receiver.taken.length === 33)
  for (const { json } of receiver.got) assert.ok(json.items.length <= 5)
  assert.ok(receiver.got.length <= 9, `${receiver.got.length} requests`)
})

test('of dead letters the oldest go when there are too many, and it is said', async () => {
  world = await PushWorld.open({ limits: { deadLettersMax: 5 } })
  receiver.answer = Receiver.says(500)
  await world.hook(receiver.url)
  const ids = await world.say(...devices(8))
  await world.until(
    () => world.logged.some(({ event }) => event === 'webhook.dead-letters-lost'),
    60_000,
  )
  await world.pass(5_000)
  const { items } = await world.webhooks.deadLetters('default', 'orders', { limit: 10 })
  assert.deepEqual(
    items.map(({ event }) => event),
    ids.slice(3),
  )
  assert.equal((await world.status()).deadLetters, 5)
})

test('a silent receiver is waited for so long and no longer', async () => {
  world = await PushWorld.open()
  receiver.answer = Receiver.silent
  await world.hook(receiver.url)
  await world.say('SZ-1')
  await receiver.until(() => receiver.got.length === 1)
  await world.pass(limits.webhookTimeoutMs - 1_000)
  assert.equal((await world.status()).failedAttempts, 0)
  await world.pass(2_000)
  const { failedAttempts, lastError } = await world.status()
  assert.equal(failedAttempts, 1)
  assert.equal(lastError!.text, 'no answer within 15 s')
})

test('redirects are not followed', async () => {
  world = await PushWorld.open()
  const elsewhere = await Receiver.open()
  receiver.answer = Receiver.says(307, { location: elsewhere.url })
  await world.hook(receiver.url)
  await world.say('SZ-1')
  await world.until(async () => (await world.status()).failedAttempts > 0)
  assert.equal((await world.status()).lastError!.text, 'answered 307; redirects are not followed')
  assert.equal(elsewhere.got.length, 0)
  await elsewhere.close()
})

test('an answer without end costs a connection, not memory, and counts by its status', async () => {
  world = await PushWorld.open()
  let stopped = false
  receiver.answer = (response) => {
    response.writeHead(200)
    const more = (): void => {
      if (stopped || response.destroyed) return
      response.write(Buffer.alloc(65_536), more)
    }
    response.on('close', () => {
      stopped = true
    })
    more()
  }
  await world.hook(receiver.url)
  await world.say('SZ-1')
  await world.until(async () => (await world.status()).delivered === 1 && stopped)
})

test('connections are used again', async () => {
  world = await PushWorld.open()
  const ports = new Set<number>()
  receiver.answer = (response, _got, request) => {
    ports.add(request.socket.remotePort!)
    Receiver.ok(response)
  }
  await world.hook(receiver.url)
  for (let i = 0; i < 20; i++) {
    await world.say('SZ-1')
    await world.until(() => receiver.taken.length === i + 1)
  }
  assert.equal(ports.size, 1)
})

test('while the store is down webhooks wait, and go on by themselves', async () => {
  world = await PushWorld.open()
  await world.hook(receiver.url)
  const [first] = await world.say('SZ-1')
  await world.until(() => receiver.taken.length === 1)
  world.engine.fail('down')
  await world.pass(5_000, 500)
  world.engine.recover()
  const [second] = await world.say('SZ-1')
  await world.until(() => receiver.taken.length === 2)
  assert.deepEqual(receiver.taken, [first, second])
})
