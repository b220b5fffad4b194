import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from '../support/world.ts'

const second = 1_000
/** Of what the store is told behind the hub's back, so that no hint comes of it. */
const unhinted = (world: World, device: string) =>
  world.engine.mailbox.append(
    `default/${device}/main`,
    {
      name: 'unhinted',
      payload: new Uint8Array(),
      contentType: 'application/json',
      delivery: 'queue',
      expect: 'ack',
      acceptedAtMs: world.clock.nowMs(),
      expiresAtMs: world.clock.nowMs() + 3_600 * second,
      replyTimeoutMs: 60 * second,
      askedBy: 'other',
    },
    { maxCommands: 10, maxBytes: 1_000, overflow: 'reject', intendUpTo: 0 },
  )

test('a lost hint is healed by the patrol within 45 s, on each of many channels', async () => {
  const world = await World.open()
  const devices = await world.registerTagged('all', 90)
  const links = []
  for (const device of devices) {
    links.push((await world.attach({ device, keepaliveMs: 600 * second })).link)
  }
  for (const device of devices) await unhinted(world, device)
  await world.quiet()
  assert.ok(
    links.every(({ got }) => got.length === 0),
    'a hint came all the same',
  )
  for (let passed = 0; passed < 44; passed++) await world.pass(1 * second)
  for (const [at, { names }] of links.entries()) assert.deepEqual(names, ['unhinted'], devices[at])
})

test('a lost hint is healed within 45 s while others come and go faster than the patrol walks', async () => {
  const world = await World.open()
  const devices = await world.registerTagged('all', 10)
  await world.register()
  const still = await world.attach({ keepaliveMs: 600 * second })
  const sessions = new Map()
  for (const device of devices) sessions.set(device, (await world.attach({ device })).session)
  const change = async () => {
    for (const device of devices) {
      sessions.get(device).detach(true)
      const { attached } = await world.tryAttach({ device })
      assert.equal(attached.kind, 'session')
      if (attached.kind !== 'session') return
      attached.session.start()
      sessions.set(device, attached.session)
    }
  }
  for (let passed = 0; passed < 5; passed++) {
    await change()
    await world.pass(1 * second)
  }
  await unhinted(world, 'locker')
  for (let passed = 0; passed < 44; passed++) {
    await change()
    await world.pass(1 * second)
  }
  assert.deepEqual(still.link.names, ['unhinted'])
})
