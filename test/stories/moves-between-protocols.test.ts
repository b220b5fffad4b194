import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExamDevice } from '../support/adapter-subject.ts'
import { hangs, namesOf, Street } from './street.ts'

/** Does what it is told, until it comes to one at which it hangs for good. */
function doesUntil(last: string): ExamDevice['act'] {
  let isStuck = false
  return async ({ name }) => {
    isStuck ||= name === last
    return isStuck ? hangs() : { status: 'done', payload: { name } }
  }
}

test('a locker that moves from MQTT to Pike to CoAP with commands waiting does each, in order, and each ends once', async (t) => {
  const street = await Street.make(t)
  const { rig } = street
  const ids = new Map<string, string>()
  const submit = async (...names: string[]): Promise<void> => {
    for (const name of names) ids.set(name, await rig.submit({ name, expect: 'reply' }))
  }
  const has = (device: ExamDevice, ...names: string[]) =>
    rig.until(`it has ${names}`, () => device.received.length >= names.length)

  await submit('a', 'b', 'c')
  const mqtt = street.locker('mqtt')
  mqtt.act = doesUntil('b')
  await mqtt.connect()
  await has(mqtt, 'a', 'b', 'c')
  assert.equal((await rig.ended(ids.get('a')!)).status, 'done')
  await street.darkens(mqtt)

  await submit('d')
  const pike = street.locker('pike')
  pike.act = doesUntil('d')
  await pike.connect()
  await has(pike, 'b', 'c', 'd')
  for (const name of ['b', 'c']) assert.equal((await rig.ended(ids.get(name)!)).status, 'done')
  await street.darkens(pike)

  await submit('e')
  await street.crash()
  const coap = street.locker('coap')
  coap.act = doesUntil('none')
  await coap.connect()
  for (const name of ['d', 'e']) assert.equal((await rig.ended(ids.get(name)!)).status, 'done')
  await submit('f')
  assert.equal((await rig.ended(ids.get('f')!)).status, 'done')

  const http = street.locker('http')
  await http.connect()
  const mqtt5 = street.locker('mqtt5')
  await mqtt5.connect()
  await rig.calm()
  assert.deepEqual([http.received, mqtt5.received], [[], []], 'nothing that is done comes again')
  // What came again came because nobody had said that it was there, and by its id it was known.
  const [first, second] = [mqtt.received, pike.received]
  assert.deepEqual(namesOf(mqtt), ['a', 'b', 'c'])
  assert.deepEqual(namesOf(pike), ['b', 'c', 'd'])
  assert.deepEqual(namesOf(coap), ['d', 'e', 'f'])
  for (const device of [mqtt, pike, coap]) {
    for (const { id, name } of device.received) assert.equal(id, ids.get(name))
  }
  assert.deepEqual(
    first.slice(1).map(({ id }) => id),
    second.slice(0, 2).map(({ id }) => id),
  )
  const ends = (await rig.events('command.ended')).map((event) =>
    event.kind === 'command.ended' ? event.ended.name : '',
  )
  assert.deepEqual(ends.sort(), [...ids.keys()])
})

test('a now that a locker was sent over MQTT is not sent again when it comes back over CoAP', async (t) => {
  const street = await Street.make(t)
  const { rig } = street
  const mqtt = street.locker('mqtt')
  mqtt.act = hangs
  await mqtt.connect()
  const now = await rig.submit({ name: 'open', delivery: 'now' })
  const queued = await rig.submit({ name: 'restock' })
  await rig.until('it has both', () => mqtt.received.length === 2)
  await mqtt.drop()
  const coap = street.locker('coap')
  await coap.connect()
  assert.equal((await rig.ended(queued)).status, 'delivered')
  assert.deepEqual(namesOf(coap), ['restock'])
  assert.equal((await rig.ended(now)).status, 'in-doubt')
})

test('a locker that acknowledges out of order over MQTT is sent over Pike only what it has not', async (t) => {
  const street = await Street.make(t)
  const { rig } = street
  const mqtt = street.locker('mqtt')
  await mqtt.connect()
  mqtt.hold!()
  const ids: string[] = []
  for (const name of ['a', 'b', 'c', 'd']) ids.push(await rig.submit({ name }))
  await rig.until('it has all', () => mqtt.received.length === 4)
  for (const at of [3, 1]) mqtt.acknowledge!(ids[at]!)
  for (const at of [3, 1]) assert.equal((await rig.ended(ids[at]!)).status, 'delivered')
  await street.darkens(mqtt)
  await street.crash()
  const pike = street.locker('pike')
  await pike.connect()
  for (const at of [0, 2]) assert.equal((await rig.ended(ids[at]!)).status, 'delivered')
  await rig.calm()
  assert.deepEqual(namesOf(pike), ['a', 'c'])
})
