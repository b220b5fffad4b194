import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { IConnackPacket } from 'mqtt-packet'
import { begin, goodbye, me } from './talk.ts'

const second = 1_000

/** Connects with what it asks for. @returns what it is told instead, s; undefined: nothing. */
async function fleet(t: TestContext, attributes: Record<string, unknown>) {
  const { rig, client } = await begin(t)
  const record = await rig.engine.names.device('default', 'locker')
  assert.ok(record !== undefined, 'it is registered')
  await rig.engine.names.putDevice({ ...record, attributes })
  const connect = async (keepalive: number) => {
    const raw = client()
    const connack = (await raw.connect({ ...me, keepalive })) as unknown as IConnackPacket
    assert.equal(connack.reasonCode, 0)
    return { raw, told: connack.properties?.serverKeepAlive }
  }
  return { rig, connect }
}

test('a client whose device has no class says itself how long it is silent', async (t) => {
  const { connect } = await fleet(t, {})
  assert.equal((await connect(600)).told, undefined)
})

test('one with a class is told what its network was found to hold, from connect to connect', async (t) => {
  const { rig, connect } = await fleet(t, { class: 'battery' })
  const first = await connect(600)
  assert.equal(first.told, undefined, 'it asked for what nobody knows better')
  await rig.pass(590 * second)
  first.raw.send({ cmd: 'pingreq' })
  await first.raw.next()
  const again = await connect(600)
  assert.equal(again.told, 687, '600 s were survived: the next step')
  await goodbye(first.raw, 0x8e)
})

test('one that is back too late for a beat, but in time for one that had no answer, is told less', async (t) => {
  const { rig, connect } = await fleet(t, { class: 'battery' })
  const first = await connect(600)
  await rig.pass(901 * second)
  await goodbye(first.raw, 0x8d)
  await rig.pass(20 * second)
  assert.equal((await connect(600)).told, 300)
})

test('one of class powered is granted five minutes at most', async (t) => {
  const { connect } = await fleet(t, { class: 'powered' })
  assert.equal((await connect(600)).told, 300)
})

test('one that asks for less than a minute knows why', async (t) => {
  const { connect } = await fleet(t, { class: 'powered' })
  assert.equal((await connect(30)).told, undefined)
})
