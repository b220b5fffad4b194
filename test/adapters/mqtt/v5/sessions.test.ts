import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { IConnackPacket, IPublishPacket } from 'mqtt-packet'
import { AdapterRig, secretOf } from '../../../support/adapter-subject.ts'
import { memorySubject } from '../../../support/engine-memory.ts'
import { RawClient } from './raw-client.ts'
import { mqtt5Subject } from './subject.ts'

const me = { username: 'locker', password: Buffer.from(secretOf('locker')), clean: false }
const hour = { sessionExpiryInterval: 3600 }
const subscribe = {
  cmd: 'subscribe',
  messageId: 3,
  subscriptions: [{ topic: 'commands/#', qos: 1 }],
  properties: { subscriptionIdentifier: 7 },
} as const

async function begin(t: TestContext): Promise<{
  rig: AdapterRig
  connect: (change?: object) => Promise<{ raw: RawClient; connack: IConnackPacket }>
}> {
  const rig = await AdapterRig.make(t, mqtt5Subject(memorySubject))
  await rig.register()
  const connect = async (change = {}) => {
    const raw = new RawClient((rig.door as unknown as { port: number }).port)
    t.after(() => raw.destroy())
    const connack = (await raw.connect({ ...me, ...change })) as unknown as IConnackPacket
    assert.equal(connack.reasonCode, 0, 'it is let in')
    return { raw, connack }
  }
  return { rig, connect }
}

const isOffline = (rig: AdapterRig) => () =>
  rig.hub.presence('default', 'locker').state === 'offline'

test('a client that comes back in time gets its commands without asking again', async (t) => {
  const { rig, connect } = await begin(t)
  const { raw, connack } = await connect({ properties: hour })
  assert.equal(connack.sessionPresent, false)
  assert.equal(connack.properties?.sessionExpiryInterval, undefined, 'what it asked for')
  raw.send(subscribe)
  await raw.next()
  raw.destroy()
  await rig.until('it is gone', isOffline(rig))
  const id = await rig.submit()
  await rig.pass(3_000_000)
  const back = await connect({ properties: hour })
  assert.equal(back.connack.sessionPresent, true)
  const packet = (await back.raw.next()) as unknown as IPublishPacket
  assert.equal(packet.topic, `commands/${id}/open`)
  assert.equal(packet.properties?.subscriptionIdentifier, 7)
})

for (const [what, change, passMs] of [
  ['too late', { properties: hour }, 3_601_000],
  ['to begin anew', { properties: hour, clean: true }, 1_000],
] as const) {
  test(`a client that comes back ${what} has no session, but its commands wait`, async (t) => {
    const { rig, connect } = await begin(t)
    const { raw } = await connect({ properties: hour })
    raw.send(subscribe)
    await raw.next()
    raw.destroy()
    await rig.until('it is gone', isOffline(rig))
    await rig.submit()
    await rig.pass(passMs)
    const back = await connect(change)
    assert.equal(back.connack.sessionPresent, false)
    await rig.calm()
    assert.equal(back.raw.waiting.length, 0, 'it has not subscribed')
    back.raw.send({ ...subscribe, properties: {} })
    assert.equal((await back.raw.next()).cmd, 'suback')
    assert.equal((await back.raw.next()).cmd, 'publish')
  })
}

test('a session longer than it may be is granted shorter, and said so', async (t) => {
  const { connect } = await begin(t)
  const { connack } = await connect({ properties: { sessionExpiryInterval: 0xffff_ffff } })
  assert.equal(connack.properties?.sessionExpiryInterval, 86_400)
})

test('a goodbye may end the session, or give it another time', async (t) => {
  for (const [hex, isPresent] of [
    ['e00700051100000000', false],
    ['e00700051100000e10', true],
  ] as const) {
    const { rig, connect } = await begin(t)
    const { raw } = await connect({ properties: { sessionExpiryInterval: 10 } })
    raw.write(Buffer.from(hex, 'hex'))
    await raw.ended()
    await rig.pass(20_000)
    const back = await connect({ properties: hour })
    assert.equal(back.connack.sessionPresent, isPresent, hex)
  }
})

test('the newer client of an id goes on with the session of the older', async (t) => {
  const { connect } = await begin(t)
  const older = await connect({ properties: hour })
  older.raw.send(subscribe)
  await older.raw.next()
  const newer = await connect({ properties: hour })
  assert.equal(newer.connack.sessionPresent, true)
})

const will = {
  topic: 'events/gone',
  payload: Buffer.from('{}'),
  qos: 1,
  retain: false,
  properties: { willDelayInterval: 60 },
} as const

test('a will that waits is an event when its time is over', async (t) => {
  const { rig, connect } = await begin(t)
  const { raw } = await connect({ will, properties: hour })
  raw.destroy()
  await rig.until('it is gone', isOffline(rig))
  await rig.pass(50_000)
  assert.equal((await rig.events('event')).length, 0)
  await rig.pass(11_000)
  const events = await rig.events('event')
  assert.equal(events.length, 1)
  assert.equal(rig.hub.presence('default', 'locker').state, 'offline', 'a will is no sign of life')
})

for (const [what, change, count] of [
  ['that is back in time is void', {}, 0],
  ['that begins anew is said', { clean: true }, 1],
] as const) {
  test(`the will of a client ${what}`, async (t) => {
    const { rig, connect } = await begin(t)
    const { raw } = await connect({ will, properties: hour })
    raw.destroy()
    await rig.until('it is gone', isOffline(rig))
    await rig.pass(30_000)
    await connect({ properties: hour, keepalive: 600, ...change })
    await rig.pass(60_000)
    assert.equal((await rig.events('event')).length, count)
  })
}

test('without a session a will does not wait', async (t) => {
  const { rig, connect } = await begin(t)
  const { raw } = await connect({ will })
  raw.destroy()
  await rig.until('it is gone', isOffline(rig))
  await rig.calm()
  assert.equal((await rig.events('event')).length, 1)
})

test('a device has few sessions that wait; the oldest goes first, and its will is said', async (t) => {
  const { rig, connect } = await begin(t)
  for (let i = 0; i < 5; i++) {
    const { raw } = await connect({ will, properties: hour, clientId: `c${i}` })
    raw.destroy()
    await rig.until('it is gone', isOffline(rig))
  }
  await rig.calm()
  assert.equal((await rig.events('event')).length, 1)
  assert.equal((await connect({ properties: hour, clientId: 'c0' })).connack.sessionPresent, false)
  assert.equal((await connect({ properties: hour, clientId: 'c1' })).connack.sessionPresent, true)
})
