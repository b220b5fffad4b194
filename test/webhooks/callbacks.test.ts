import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { channelId, type EndStatus, type NewEvent } from '../../src/contract/index.ts'
import { callbackLane } from '../../src/webhooks/aim.ts'
import { webhookBounds } from '../../src/webhooks/bounds.ts'
import { turns } from '../support/turns.ts'
import { Receiver } from './receiver.ts'
import { PushWorld, secret } from './world.ts'

let receiver: Receiver
let world: PushWorld
beforeEach(async () => {
  receiver = await Receiver.open()
  world = await PushWorld.open()
  await world.hook('', { name: 'callbacks', secrets: [{ id: 'cb', secret }] })
})
afterEach(async () => {
  await world.close()
  await receiver.close()
})

const hourMs = 3_600_000
let offsets = 0

const ended = (
  device: string,
  callback: string | undefined,
  status: EndStatus = 'done',
): NewEvent => {
  const atMs = world.clock.nowMs()
  const channel = channelId('default', device, 'main')
  const offset = ++offsets
  return {
    app: 'default',
    device,
    channel: 'main',
    atMs,
    kind: 'command.ended',
    ended: {
      id: `${device}:main:1:${offset}`,
      channel,
      epoch: 1,
      offset,
      name: 'open',
      delivery: 'queue',
      expect: 'reply',
      acceptedAtMs: atMs,
      expiresAtMs: atMs + hourMs,
      askedBy: 'first',
      status,
      timeline: [],
      ...(callback !== undefined && { callback }),
    },
  }
}

test('a callback gets the end of its command, one a request, signed; others get none', async () => {
  const ids = await world.keep([
    ended('SZ-1', `${receiver.url}/order-1`),
    ended('SZ-1', undefined),
    ended('SZ-2', `${receiver.url}/order-2`, 'expired'),
  ])
  await world.say('SZ-1')
  await world.until(() => receiver.taken.length === 2)
  assert.deepEqual([...receiver.taken].sort(), [ids[0], ids[2]])
  const first = receiver.got.find(({ path }) => path === '/hook/order-1')!
  assert.equal(first.json.webhook, 'callbacks')
  assert.equal(first.json.items.length, 1)
  assert.equal(first.json.items[0].type, 'command.ended')
  assert.equal(first.headers['pike-key-id'], 'cb')
  const second = receiver.got.find(({ path }) => path === '/hook/order-2')!
  assert.equal(second.json.items[0].status, 'expired')
})

test('a callback that fails is tried again and delays no other, even at the same receiver', async () => {
  receiver.answer = (response, { path }) =>
    void response.writeHead(path.endsWith('/bad') ? 500 : 204).end()
  const startedMs = world.clock.nowMs()
  const [bad] = await world.keep([ended('SZ-1', `${receiver.url}/bad`)])
  const good = await world.keep([1, 2, 3].map(() => ended('SZ-1', `${receiver.url}/good`)))
  await world.until(() => receiver.taken.length === 3)
  assert.ok(world.clock.nowMs() - startedMs < 5_000)
  assert.deepEqual([...receiver.taken].sort(), good)
  await world.until(() => receiver.got.filter(({ path }) => path === '/hook/bad').length === 4)
  receiver.answer = Receiver.ok
  await world.until(() => receiver.taken.length === 4)
  assert.equal(receiver.taken.at(-1), bad)
  const all = receiver.got.filter(({ path }) => path === '/hook/bad')
  assert.equal(new Set(all.map(({ headers }) => headers['webhook-id'])).size, 1)
})

test('a callback that failed is tried again after a crash', async () => {
  receiver.answer = Receiver.says(500)
  const [id] = await world.keep([ended('SZ-1', receiver.url)])
  await world.until(() => receiver.got.length === 2)
  await world.pass(1_500, 500)
  receiver.answer = Receiver.ok
  world = await world.crash()
  await world.until(() => receiver.taken.length > 0)
  assert.deepEqual(receiver.taken, [id])
})

test('a receiver of callbacks down for an hour loses nothing', async () => {
  receiver.answer = Receiver.says(503)
  const ids: string[] = []
  for (let minute = 0; minute < 60; minute++) {
    ids.push(...(await world.keep([1, 2, 3].map(() => ended('SZ-1', receiver.url)))))
    await world.pass(60_000, 10_000)
  }
  assert.equal((await world.status('callbacks')).waiting, ids.length)
  receiver.answer = Receiver.ok
  await world.until(() => new Set(receiver.taken).size === ids.length, 1_000)
  assert.deepEqual([...receiver.taken].sort(), ids)
})

test('a callback that fails for a day is set aside', async () => {
  receiver.answer = Receiver.says(410)
  const [id] = await world.keep([ended('SZ-1', receiver.url)])
  await world.pass(23 * hourMs, 60_000)
  assert.equal((await world.status('callbacks')).deadLetters, 0)
  await world.until(async () => (await world.status('callbacks')).deadLetters === 1, 60_000)
  const page = await world.webhooks.deadLetters('default', 'callbacks', { limit: 10 })
  assert.equal(page.items[0]!.event, id)
  assert.equal(page.items[0]!.kind, 'command.ended')
  receiver.answer = Receiver.ok
  await world.webhooks.sendAgain('default', 'callbacks')
  await receiver.until(() => receiver.taken.length === 1)
  await world.until(async () => (await world.status('callbacks')).deadLetters === 0)
})

test('a callback that points inward by the time it is called is not called', async () => {
  await world.close()
  world = await PushWorld.open({ allow: [] })
  await world.hook('', { name: 'callbacks', secrets: [{ id: 'cb', secret }] })
  await world.keep([ended('SZ-1', receiver.url)])
  await world.until(async () => (await world.status('callbacks')).failedAttempts >= 2, 500)
  assert.equal(receiver.got.length, 0)
  const { lastError } = await world.status('callbacks')
  assert.match(lastError!.text, /refused/)
})

const callbacks = { name: 'callbacks', secrets: [{ id: 'cb', secret }] }

async function reopen(options: Parameters<typeof PushWorld.open>[0]): Promise<void> {
  await world.close()
  world = await PushWorld.open(options)
  await world.hook('', callbacks)
}

/** Receivers each on lanes of its own, none on those of the usual one. */
async function others(count: number): Promise<Receiver[]> {
  const taken = new Set([callbackLane(receiver.url, 64)])
  const found: Receiver[] = []
  while (found.length < count) {
    const one = await Receiver.open()
    const lane = callbackLane(one.url, 64)
    if (taken.has(lane)) await one.close()
    else found.push(one)
    taken.add(lane)
  }
  return found
}

/** They answer when told to. */
function holding(...receivers: readonly Receiver[]): (() => void)[] {
  const held: (() => void)[] = []
  for (const one of receivers)
    one.answer = (response) => void held.push(() => response.writeHead(204).end())
  return held
}

const settled = async (): Promise<void> => {
  world.clock.advance(0)
  await turns(80)
}

const openNow = (): number => world.webhooks.figures().requests_open!

/** All slots are taken by four of them, and the fifth waits for one. */
async function fill(busy: readonly Receiver[]): Promise<void> {
  for (const [index, one] of busy.entries()) {
    await world.keep([ended('SZ-1', one.url)])
    while (index < 4 && one.got.length === 0) await settled()
  }
  await settled()
  assert.equal(openNow(), 4)
}

/** One answers after another, so that a free slot goes to who waits longest. */
async function drain(held: (() => void)[]): Promise<void> {
  while (held.length > 0 || openNow() !== 0) {
    held.shift()?.()
    await settled()
  }
}

test('a callback that was due while all slots were taken is tried again once there is one', async () => {
  await reopen({ requestsMax: 4 })
  receiver.answer = Receiver.says(500)
  const [id] = await world.keep([ended('SZ-1', receiver.url)])
  await world.until(async () => (await world.status('callbacks')).failedAttempts === 1, 0)
  receiver.answer = Receiver.ok
  const busy = await others(5)
  const held = holding(...busy)
  await fill(busy.slice(0, 4))
  world.clock.advance(1_100)
  await settled()
  assert.equal(receiver.got.length, 1)
  await world.keep([ended('SZ-1', busy[4]!.url)])
  await settled()
  await drain(held)
  await world.until(() => receiver.taken.length === 1, 1_000)
  assert.deepEqual(receiver.taken, [id])
  for (const one of busy) await one.close()
})

test('dead letters asked for while all slots are taken are sent again once there is one', async () => {
  await reopen({ requestsMax: 4, limits: { webhookDeadAfterMs: 1_000 } })
  receiver.answer = Receiver.says(410)
  const [id] = await world.keep([ended('SZ-1', receiver.url)])
  await world.until(async () => (await world.status('callbacks')).deadLetters === 1)
  receiver.answer = Receiver.ok
  const busy = await others(5)
  const held = holding(...busy)
  await fill(busy)
  assert.equal(await world.webhooks.sendAgain('default', 'callbacks'), 1)
  await settled()
  await drain(held)
  await world.until(() => receiver.taken.length === 1, 1_000)
  assert.deepEqual(receiver.taken, [id])
  for (const one of busy) await one.close()
})

test('a receiver has several callbacks under way, also of one device, and no more than its share', async () => {
  const held = holding(receiver)
  const ids = await world.keep(Array.from({ length: 100 }, () => ended('SZ-1', receiver.url)))
  while (receiver.open < webhookBounds.callbackLanes) await settled()
  const took = new Set<string>()
  while (took.size < ids.length) {
    for (const answer of held.splice(0)) answer()
    await settled()
    for (const { json } of receiver.got) took.add(json.items[0].id)
  }
  await drain(held)
  assert.equal(receiver.mostOpen, webhookBounds.callbackLanes)
  assert.deepEqual([...took].sort(), ids)
})

test('silent receivers, with as many under way as there may be, hold up no other', async () => {
  const silent = await others(16)
  const held = holding(...silent)
  for (const one of silent)
    await world.keep(Array.from({ length: 40 }, () => ended('SZ-1', one.url)))
  const { callbackRequestsMax: max } = webhookBounds
  while (silent.some((one) => one.open === 0) || openNow() < max) await settled()
  await settled()
  assert.ok(openNow() < max + silent.length, `${openNow()} under way`)
  const ids = await world.keep(Array.from({ length: 20 }, () => ended('SZ-1', receiver.url)))
  while (receiver.taken.length < ids.length) await settled()
  assert.deepEqual([...receiver.taken].sort(), ids)
  // What was held back goes when they answer.
  for (const one of silent) one.answer = Receiver.ok
  for (const answer of held) answer()
  await world.until(async () => (await world.status('callbacks')).delivered === 16 * 40 + 20)
  for (const one of silent) await one.close()
})
