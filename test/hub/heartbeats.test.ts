import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Session, Silence } from '../../src/contract/index.ts'
import { networkOf } from '../../src/listen/network.ts'
import { World } from '../support/world.ts'

const second = 1_000
const home: Silence = { network: 'v4-192.0.2' }
const roof: Silence = { network: 'v4-198.51.100' }

async function withLocker(attributes: Record<string, unknown> = {}): Promise<World> {
  const world = await World.open()
  await world.register('locker', 'default', {}, { attributes })
  return world
}

/** The device is silent for as long as it may be, and then beats. @returns what it is told, s. */
async function beat(world: World, session: Session): Promise<number> {
  world.clock.advance(session.keepaliveMs)
  session.touch()
  return session.renewKeepalive() / second
}

/** It beats and has no answer: what it was granted was too long for its NAT. */
async function forgotten(world: World, session: Session, hello = {}) {
  world.clock.advance(session.keepaliveMs + 11 * second)
  return (await world.attach({ silence: home, ...hello })).session
}

test('a device is told a quarter more with each beat that passes, up to what its class may', async () => {
  const world = await withLocker()
  const { session } = await world.attach({ silence: home })
  const told = [session.keepaliveMs / second]
  for (let i = 0; i < 9; i++) told.push(await beat(world, session))
  assert.deepEqual(told, [60, 75, 93, 116, 145, 181, 226, 282, 300, 300])
})

test('one of class battery goes on to 25 minutes; one that says what it wants gets that', async () => {
  const world = await withLocker({ class: 'battery' })
  const { session } = await world.attach({ silence: home })
  for (let i = 0; i < 20; i++) await beat(world, session)
  assert.equal(session.keepaliveMs, 1_500 * second)

  const asked = async (minS: number, maxS: number): Promise<number> => {
    const silence = { ...roof, minMs: minS * second, maxMs: maxS * second }
    const { session: one } = await world.attach({ channel: 'urgent', silence })
    one.detach(true)
    return one.keepaliveMs / second
  }
  assert.equal(await asked(210, 600), 210)
  assert.equal(await asked(20, 30), 30)
  assert.equal(await asked(90, 30), 30)
  assert.equal(await asked(1, 2), 5)
})

test('what a device was told and what it has proved can be asked, also when it is away', async () => {
  const world = await withLocker()
  const asked = () => {
    const { grantedMs, provenMs } = world.hub.keepalive('default', 'locker')
    return [grantedMs, provenMs].map((ms) => (ms === undefined ? undefined : ms / second))
  }
  assert.deepEqual(asked(), [undefined, undefined])
  const { session } = await world.attach({ silence: home })
  assert.deepEqual(asked(), [60, undefined])
  for (let i = 0; i < 3; i++) await beat(world, session)
  assert.deepEqual(asked(), [116, 93])
  // Another channel of it, that says itself what it wants: the least of both.
  const { session: fixed } = await world.attach({ channel: 'urgent', keepaliveMs: 30 * second })
  assert.deepEqual(asked(), [30, 93])
  fixed.detach(true)
  session.detach(true)
  assert.deepEqual(asked(), [undefined, 93])
})

test('the new interval is what the dead-line goes by, from the moment it is told', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ silence: home })
  for (let i = 0; i < 5; i++) await beat(world, session)
  assert.equal(session.keepaliveMs, 181 * second)
  await world.pass(181 * second * 1.25 + 9 * second)
  assert.equal(link.isClosed, false)
  await world.pass(1 * second)
  assert.equal(link.closed?.reason, 'keepalive-expired')
})

test('a connection that its NAT forgot costs one beat: the device is back at what worked', async () => {
  const world = await withLocker()
  let { session } = await world.attach({ silence: home })
  for (let i = 0; i < 6; i++) await beat(world, session)
  assert.equal(session.keepaliveMs, 226 * second)
  session = await forgotten(world, session)
  assert.equal(session.keepaliveMs, 181 * second)
  assert.equal(world.hub.figures().heartbeat_failures_total, 1)
  assert.equal(await beat(world, session), 181)
})

test('two channels of one connection are one failure', async () => {
  const world = await withLocker()
  const main = await world.attach({ silence: home })
  const urgent = await world.attach({ silence: home, channel: 'urgent' })
  for (let i = 0; i < 6; i++) {
    await beat(world, main.session)
    urgent.session.touch()
    urgent.session.renewKeepalive()
  }
  await forgotten(world, main.session)
  await world.attach({ silence: home, channel: 'urgent' })
  assert.equal(world.hub.figures().heartbeat_failures_total, 1)
})

test('a command that the NAT lost makes the link unresponsive; the beat that follows tells why', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ silence: home })
  for (let i = 0; i < 6; i++) await beat(world, session)
  await world.pass(200 * second)
  await world.command({ name: 'door' })
  await world.pass(10 * second) // overdue: asked
  await world.pass(10 * second) // not answered
  assert.equal(link.closed?.reason, 'unresponsive')
  await world.pass(17 * second)
  const again = await world.attach({ silence: home })
  assert.equal(again.session.keepaliveMs, 181 * second)
})

test('a reboot, a move, a goodbye, a restart of ours: none of them shrinks anything', async () => {
  const granted = 226 * second
  for (const story of ['reboot', 'move', 'goodbye', 'lost', 'restart'] as const) {
    let world = await withLocker()
    const { session } = await world.attach({ silence: home })
    for (let i = 0; i < 6; i++) await beat(world, session)
    assert.equal(session.keepaliveMs, granted)
    if (story === 'reboot') world.clock.advance(100 * second)
    if (story === 'move') {
      world.clock.advance(granted + 11 * second)
      const { session: elsewhere } = await world.attach({ silence: roof })
      assert.equal(elsewhere.keepaliveMs, 60 * second, 'nothing is known of where it is now')
      elsewhere.detach(true)
    }
    if (story === 'goodbye' || story === 'lost') {
      world.clock.advance(granted + 11 * second)
      session.detach(story === 'goodbye')
    }
    if (story === 'restart') {
      world.clock.advance(granted + 11 * second)
      world = await world.restart()
    }
    const again = await world.attach({ silence: home })
    assert.equal(again.session.keepaliveMs, granted, story)
    assert.equal(world.hub.figures().heartbeat_failures_total, 0, story)
  }
})

test('whatever ends its connections when, only silence to the beat and a return at once cost anything', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 12 }),
      async (returnsS) => {
        const world = await withLocker()
        let { session } = await world.attach({ silence: home })
        for (let i = 0; i < 5; i++) await beat(world, session)
        let failures = 0
        for (const silentS of returnsS) {
          const grantedS = session.keepaliveMs / second
          await world.pass(silentS * second)
          session = (await world.attach({ silence: home })).session
          if (silentS >= 0.9 * grantedS && silentS <= grantedS + 20) failures++
          assert.equal(world.hub.figures().heartbeat_failures_total, failures)
          if (failures === 0) assert.ok(session.keepaliveMs >= 181 * second, `${silentS} s`)
          await world.pass(61 * second) // three take-overs a minute would be a fight
          session.touch()
        }
      },
    ),
    { numRuns: 15 },
  )
})

test('what was learned outlasts a restart and, but for its last half minute, a crash', async () => {
  const world = await withLocker()
  const { session } = await world.attach({ silence: home })
  for (let i = 0; i < 4; i++) await beat(world, session)
  await world.pass(30 * second)
  await world.pass(1 * second)
  const crashed = await world.crash()
  const again = await crashed.attach({ silence: home })
  assert.equal(again.session.keepaliveMs, 145 * second)
  await beat(crashed, again.session)
  const restarted = await crashed.restart()
  const third = await restarted.attach({ silence: home })
  assert.equal(third.session.keepaliveMs, 181 * second)
})

test('a new device begins where its network ends for most, and loses no connection to learn that', async () => {
  const world = await World.open()
  const devices = await world.registerTagged('berlin', 21)
  const newest = devices.pop()!
  for (const device of devices) {
    let { session } = await world.attach({ device, silence: home })
    for (let i = 0; i < 6; i++) await beat(world, session)
    session = await forgotten(world, session, { device })
    await beat(world, session)
    session.detach(true)
  }
  const failures = world.hub.figures().heartbeat_failures_total
  const there = await world.attach({ device: newest, silence: home })
  assert.equal(there.session.keepaliveMs, 181 * second)
  assert.equal(await beat(world, there.session), 181)
  assert.equal(world.hub.figures().heartbeat_failures_total, failures)
  const elsewhere = await world.attach({ device: newest, channel: 'urgent', silence: roof })
  assert.equal(elsewhere.session.keepaliveMs, 60 * second)
  const after = await world.restart()
  await after.register('box99')
  const next = await after.attach({ device: 'box99', silence: home })
  assert.equal(next.session.keepaliveMs, 181 * second, 'the network was kept')
})

test('networks of a device, and devices in memory, are bounded: the longest unseen go', async () => {
  const world = await World.open({ limits: { heartbeatDevicesMax: 2, heartbeatNetworksMax: 3 } })
  await world.register('locker')
  const { session } = await world.attach({ silence: { network: 'n0' } })
  await beat(world, session)
  for (let i = 1; i <= 4; i++) {
    const { session: one } = await world.attach({ silence: { network: `n${i}` } })
    await beat(world, one)
    await world.pass(61 * second)
    one.touch()
  }
  assert.equal(world.hub.heartbeats.networks, 3)
  const back = await world.attach({ silence: { network: 'n0' } })
  assert.equal(back.session.keepaliveMs, 60 * second, 'that was four networks ago')
  for (const device of ['a', 'b', 'c']) {
    await world.register(device)
    await world.attach({ device, silence: home })
  }
  assert.equal(world.hub.heartbeats.devices, 2)
})

test('a device that is removed leaves nothing behind', async () => {
  const world = await withLocker()
  const { session } = await world.attach({ silence: home })
  await beat(world, session)
  await world.pass(30 * second)
  const kept = () => world.engine.shelf.list('heartbeats/devices', { limit: 10 })
  assert.equal((await kept()).items.length, 1)
  await world.hub.removeDevice('default', 'locker')
  await world.pass(30 * second)
  assert.equal((await kept()).items.length, 0)
  await world.register()
  const again = await world.attach({ silence: home })
  assert.equal(again.session.keepaliveMs, 60 * second)
})

test('without a network nothing is learned: as asked for, or the default, for good', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  assert.equal(await beat(world, session), 240)
  const asked = await world.attach({ keepaliveMs: 90 * second })
  assert.equal(await beat(world, asked.session), 90)
})

test('addresses of one network have one name', () => {
  const names: readonly (readonly [string, string])[] = [
    ['203.0.113.9', 'v4-203.0.113'],
    ['::ffff:203.0.113.77', 'v4-203.0.113'],
    ['127.0.0.1', 'v4-127.0.0'],
    ['2001:db8:7:1::9', 'v6-2001-db8-7'],
    ['2001:0DB8:0007:ffff:1:2:3:4', 'v6-2001-db8-7'],
    ['2001:db8::1', 'v6-2001-db8-0'],
    ['2001::1', 'v6-2001-0-0'],
    ['2001::3:4:5:6:7:8', 'v6-2001-0-3'],
    ['fe80::1%eth0', 'v6-fe80-0-0'],
    ['::1', 'v6-0-0-0'],
    ['unknown', 'other'],
    ['', 'other'],
  ]
  for (const [address, name] of names) assert.equal(networkOf(address), name, address)
})
