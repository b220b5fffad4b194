import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { laneOf } from '../../src/webhooks/match.ts'
import { turns } from '../support/turns.ts'
import { Receiver } from './receiver.ts'
import { PushWorld } from './world.ts'

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

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const devices = (count: number): string[] => Array.from({ length: count }, (_, i) => `SZ-${i}`)
/** One whose lane is not that of the other. */
const elsewhereThan = (device: string): string =>
  devices(100).find((other) => laneOf(other, 64) !== laneOf(device, 64))!

test('rule 33: what happens is pushed, each event once, in order per device', async () => {
  await world.hook(receiver.url)
  const ids = await world.say(...devices(20), ...devices(20), ...devices(20))
  await world.until(() => receiver.taken.length >= ids.length)
  assert.deepEqual([...receiver.taken].sort(), ids)
  for (const own of receiver.takenOf.values()) assert.deepEqual(own, [...own].sort())
  assert.equal((await world.status()).delivered, 60)
})

test('rule 33: a webhook begins with what comes after it was made', async () => {
  await world.say('SZ-1')
  await world.hook(receiver.url)
  const [later] = await world.say('SZ-1')
  await world.until(() => receiver.taken.length > 0)
  assert.deepEqual(receiver.taken, [later])
})

test('rule 33: one request under way in a lane', async () => {
  receiver.answer = Receiver.silent
  await world.hook(receiver.url)
  for (let i = 0; i < 10; i++) await world.say('SZ-1')
  await world.pass(1_000, 50)
  assert.equal(receiver.got.length, 1)
  assert.equal((await world.status()).waiting, 10)
})

test('rule 33: what fails is sent again as it was, under the same id', async () => {
  receiver.answer = Receiver.says(500)
  await world.hook(receiver.url)
  await world.say('SZ-1')
  await receiver.until(() => receiver.got.length === 1)
  await world.say('SZ-1')
  await world.until(() => receiver.got.length === 3)
  receiver.answer = Receiver.ok
  await world.until(() => receiver.taken.length === 2)
  const [first, second, third, fourth] = receiver.got
  for (const again of [second!, third!, fourth!]) {
    assert.equal(again.headers['webhook-id'], first!.headers['webhook-id'])
    assert.equal(again.body, first!.body)
  }
  assert.notEqual(fourth!.headers['webhook-timestamp'], first!.headers['webhook-timestamp'])
  assert.notEqual(receiver.got[4]!.headers['webhook-id'], first!.headers['webhook-id'])
})

test('rule 33: delays between attempts double, up to their limit', async () => {
  receiver.answer = Receiver.says(503)
  await world.hook(receiver.url)
  await world.say('SZ-1')
  const at: number[] = []
  for (let seen = 1; seen <= 12; seen++) {
    await world.until(() => receiver.got.length === seen, 250)
    await turns(20)
    at.push(world.clock.nowMs())
  }
  const delays = at.slice(1).map((ms, i) => Math.round((ms - at[i]!) / 1_000))
  assert.deepEqual(delays.slice(0, 6), [1, 2, 4, 8, 16, 32])
  assert.ok(
    delays.every((delay) => delay <= 301),
    String(delays),
  )
})

test('rule 33: a receiver down for an hour loses nothing', async () => {
  receiver.answer = Receiver.says(503)
  await world.hook(receiver.url)
  const ids: string[] = []
  for (let minute = 0; minute < 60; minute++) {
    for (let part = 0; part < 3; part++) ids.push(...(await world.say(...devices(100))))
    await world.pass(60_000, 20_000)
  }
  assert.equal(receiver.taken.length, 0)
  receiver.answer = Receiver.ok
  await world.until(() => receiver.taken.length >= ids.length)
  assert.deepEqual([...receiver.taken].sort(), ids)
  for (const own of receiver.takenOf.values()) assert.deepEqual(own, [...own].sort())
  assert.equal((await world.status()).deadLetters, 0)
})

test('rule 33: a slow receiver delays no other webhook', async () => {
  const slow = await Receiver.open()
  slow.answer = Receiver.silent
  await world.hook(slow.url, { name: 'slow' })
  await world.hook(receiver.url, { name: 'quick' })
  const startedMs = world.clock.nowMs()
  for (let round = 0; round < 5; round++) await world.say(...devices(64))
  await world.until(() => receiver.taken.length === 320)
  assert.ok(world.clock.nowMs() - startedMs < 5_000)
  assert.equal(slow.taken.length, 0)
  await slow.close()
})

test('rule 33: a device whose events are not taken delays no other lane', async () => {
  const stuck = 'SZ-1'
  const free = elsewhereThan(stuck)
  receiver.answer = (response, got) =>
    void response.writeHead(got.json.items[0].device === stuck ? 500 : 204).end()
  await world.hook(receiver.url)
  const startedMs = world.clock.nowMs()
  for (let round = 0; round < 20; round++) await world.say(stuck, free)
  await world.until(() => receiver.taken.length === 20)
  assert.ok(world.clock.nowMs() - startedMs < 5_000)
  const status = await world.status()
  assert.equal(status.lanesFailing, 1)
  assert.equal(status.waiting, 20)
  assert.match(status.lastError!.text, /answered 500/)
  assert.ok(status.nextAtMs! > startedMs)
})

test('rule 33: a restart goes on where it was', async () => {
  await world.hook(receiver.url)
  const first = await world.say(...devices(10))
  await world.until(() => receiver.taken.length === 10)
  world = await world.restart()
  const second = await world.say(...devices(10))
  await world.until(() => receiver.taken.length >= 20)
  assert.deepEqual([...receiver.taken].sort(), [...first, ...second])
})

test('rule 33: a stop in the midst of it passes over nothing, whatever is under way or waits', async () => {
  receiver.answer = Receiver.silent
  await world.hook(receiver.url)
  const ids: string[] = []
  for (let round = 0; round < 5; round++) ids.push(...(await world.say(...devices(30))))
  await world.until(() => receiver.got.length > 10)
  assert.equal(receiver.taken.length, 0)
  world = await world.restart()
  receiver.answer = Receiver.ok
  ids.push(...(await world.say(...devices(30))))
  await world.until(() => new Set(receiver.taken).size >= ids.length)
  assert.deepEqual([...new Set(receiver.taken)].sort(), ids.sort())
  for (const own of receiver.takenOf.values()) assert.deepEqual(own, [...own].sort())
})

test('rule 33: what was kept while the gateway was down is sent after its start', async () => {
  await world.hook(receiver.url)
  await world.webhooks.stop(0)
  const ids = await world.say(...devices(10))
  world = await world.restart()
  await world.until(() => receiver.taken.length >= 10)
  assert.deepEqual([...receiver.taken].sort(), ids)
})

test('rule 33: after a crash nothing is missing, and repeats are known by their event id', async () => {
  receiver.answer = (response, _got) =>
    void response.writeHead(receiver.got.length % 3 === 0 ? 500 : 204).end()
  await world.hook(receiver.url)
  const ids: string[] = []
  for (let life = 0; life < 4; life++) {
    for (let round = 0; round < 5; round++) {
      ids.push(...(await world.say(...devices(30))))
      await world.pass(100, 50)
    }
    world = await world.crash()
  }
  await world.until(() => new Set(receiver.taken).size === ids.length)
  assert.deepEqual([...new Set(receiver.taken)].sort(), ids)
  for (const own of receiver.takenOf.values()) {
    const firsts = own.filter((id, at) => own.indexOf(id) === at)
    assert.deepEqual(firsts, [...firsts].sort())
  }
})

test('rule 33: after a day of failure an event is set aside, said so, and its lane goes on', async () => {
  const stuck = 'SZ-1'
  let poison: string | undefined
  receiver.answer = (response, got) => {
    const ids: string[] = got.json.items.map(({ id }: { id: string }) => id)
    poison ??= ids[0]
    response.writeHead(ids.includes(poison!) ? 422 : 204).end()
  }
  await world.hook(receiver.url)
  await world.say(stuck)
  const [next] = await world.say(stuck)
  await world.pass(dayMs - hourMs, 60_000)
  assert.equal((await world.status()).deadLetters, 0)
  assert.deepEqual(receiver.taken, [])
  await world.until(() => receiver.taken.length > 0, 1_000)
  assert.deepEqual(receiver.taken, [next])
  const { items } = await world.webhooks.deadLetters('default', 'orders', { limit: 10 })
  assert.equal(items.length, 1)
  assert.equal(items[0]!.event, poison)
  assert.equal(items[0]!.device, stuck)
  assert.equal(items[0]!.lastError, 'answered 422')
  assert.ok(items[0]!.attempts > 100)
  await world.pass(1_000)
  assert.ok(world.logged.some(({ setAside }) => setAside === 1))
})

test('rule 33: dead letters are sent again, marked, and those taken leave the list', async () => {
  receiver.answer = Receiver.says(500)
  await world.hook(receiver.url)
  const ids = await world.say('SZ-1', 'SZ-2', 'SZ-3')
  await world.until(async () => (await world.status()).deadLetters === 3, 60_000)
  const failures = (await world.status()).failedAttempts
  assert.equal(await world.webhooks.sendAgain('default', 'orders', ids[1]), 1)
  await receiver.until(() => receiver.got.at(-1)!.json.redelivered === true)
  await world.until(async () => (await world.status()).failedAttempts > failures)
  const failed = await world.webhooks.deadLetters('default', 'orders', { limit: 10 })
  assert.equal(failed.items.length, 3, 'what is not taken stays')
  receiver.answer = Receiver.ok
  assert.equal(await world.webhooks.sendAgain('default', 'orders', ids[1]), 1)
  await receiver.until(() => receiver.taken.length === 1)
  await world.until(async () => (await world.status()).deadLetters === 2)
  assert.deepEqual(receiver.taken, [ids[1]])
  assert.equal(await world.webhooks.sendAgain('default', 'orders'), 2)
  await receiver.until(() => receiver.taken.length === 3)
  await world.until(async () => (await world.status()).deadLetters === 0)
  assert.deepEqual(receiver.taken, [ids[1], ids[0], ids[2]])
  const left = await world.webhooks.deadLetters('default', 'orders', { limit: 10 })
  assert.deepEqual(left.items, [])
})

test('rule 33: dead letters survive a restart, and can be forgotten', async () => {
  receiver.answer = Receiver.says(500)
  await world.hook(receiver.url)
  const ids = await world.say('SZ-1', 'SZ-2', 'SZ-3')
  await world.until(async () => (await world.status()).deadLetters === 3, 60_000)
  await world.pass(2_000)
  world = await world.crash()
  assert.equal((await world.status()).deadLetters, 3)
  const page = await world.webhooks.deadLetters('default', 'orders', { limit: 2 })
  assert.deepEqual(
    page.items.map(({ event }) => event),
    ids.slice(0, 2),
  )
  const rest = await world.webhooks.deadLetters('default', 'orders', {
    after: page.next!,
    limit: 2,
  })
  assert.deepEqual(
    rest.items.map(({ event }) => event),
    ids.slice(2),
  )
  const both = [1, 2].map(() => world.webhooks.discard('default', 'orders', ids[0]))
  assert.deepEqual((await Promise.all(both)).sort(), [0, 1])
  assert.equal((await world.status()).deadLetters, 2)
  const all = [1, 2].map(() => world.webhooks.discard('default', 'orders'))
  assert.deepEqual((await Promise.all(all)).sort(), [0, 2])
  assert.equal((await world.status()).deadLetters, 0)
})
