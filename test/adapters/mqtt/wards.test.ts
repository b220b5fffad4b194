import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { limits } from '../../../src/contract/index.ts'
import { secretOf } from '../../support/adapter-subject.ts'
import { type Heard, type RawClient, RawRig } from './raw-client.ts'

const granted = { gateways: ['locker'] }

/** The locker is a controller here, of boxes that granted it to speak for them. */
async function made(
  t: TestContext,
  boxes = ['box-1', 'box-2'],
  options: Parameters<typeof RawRig.make>[1] = {},
): Promise<{ raw: RawRig; client: RawClient }> {
  const raw = await RawRig.make(t, options)
  for (const box of boxes) await raw.rig.register(box, 'default', granted)
  return { raw, client: await raw.connected() }
}

const ask = async (raw: RawRig, client: RawClient, filter: string): Promise<unknown> => {
  client.subscribe(filter)
  return (await raw.next(client)).granted
}

const textOf = ({ topic, payload }: Heard): string => `${topic} ${payload}`

test('a filter is of one device, and of all commands of a channel; else it is refused', async (t) => {
  const { raw, client } = await made(t)
  for (const filter of [
    'devices/+/commands/#',
    'devices/#',
    'devices/box-1/commands/+/open',
    'devices/box-1',
    'devices/../commands/#',
    'devices/__proto__/commands/#',
    'devices/box-1/devices/box-2/commands/#',
  ])
    assert.deepEqual(await ask(raw, client, filter), [0x80], filter)
  assert.deepEqual(await ask(raw, client, 'devices/box-1/#'), [1])
  assert.equal(client.closed, false)
})

test('who asks for it is told when a device comes itself, and may take it back', async (t) => {
  const { raw, client } = await made(t)
  assert.deepEqual(await ask(raw, client, 'devices/+/closed'), [1])
  for (const box of ['box-1', 'box-2'])
    assert.deepEqual(await ask(raw, client, `devices/${box}/commands/#`), [1])
  const box = await raw.connected({
    ...{ username: 'box-1', password: Buffer.from(secretOf('box-1')), clientId: 'box' },
  })
  assert.deepEqual(await ask(raw, box, 'commands/#'), [1])
  assert.equal(
    textOf(await raw.next(client)),
    'devices/box-1/closed {"reason":"taken-over","retryAfter":60}',
  )
  assert.deepEqual(await ask(raw, client, 'devices/box-1/commands/#'), [1])
  await raw.ended(box)
  await raw.rig.submit({ to: { device: 'box-1' } })
  assert.match(textOf(await raw.next(client)), /^devices\/box-1\/commands\/.*\/open /)
})

test('two that fight for one box are both held off, and the others of the controller go on', async (t) => {
  const { raw, client } = await made(t)
  assert.deepEqual(await ask(raw, client, 'devices/box-2/commands/#'), [1])
  const other = await raw.connected({ clientId: 'other' })
  const answers: unknown[] = []
  for (let i = 0; i < 5; i++)
    answers.push(await ask(raw, i % 2 === 0 ? client : other, 'devices/box-1/commands/#'))
  assert.deepEqual(answers, [[1], [1], [1], [0x80], [0x80]])
  assert.deepEqual([client.closed, other.closed], [false, false])
  await raw.rig.submit({ to: { device: 'box-2' } })
  assert.match(textOf(await raw.next(client)), /^devices\/box-2\//)
  await raw.rig.pass(61_000)
  assert.deepEqual(await ask(raw, client, 'devices/box-1/commands/#'), [1])
})

test('a connection has room for so many channels of others; one more is refused, and the rest go on', async (t) => {
  const boxes = Array.from(
    { length: limits.connectionMaxChannels / 2 + 1 },
    (_, n) => `box-${n + 1}`,
  )
  const { raw, client } = await made(t, boxes)
  for (const box of boxes.slice(0, -1))
    assert.deepEqual(await ask(raw, client, `devices/${box}/commands/#`), [1], box)
  const last = `devices/${boxes.at(-1)}/commands/#`
  assert.deepEqual(await ask(raw, client, last), [0x80])
  client.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['devices/box-1/commands/#'] })
  assert.equal((await raw.next(client)).cmd, 'unsuback')
  assert.deepEqual(await ask(raw, client, last), [1])
})

test('a controller publishes for more devices than it may receive for', async (t) => {
  const boxes = Array.from({ length: limits.connectionMaxChannels + 3 }, (_, n) => `box-${n + 1}`)
  const { raw, client } = await made(t, boxes)
  for (const [n, box] of [...boxes, 'box-1'].entries()) {
    client.publish(`devices/${box}/events/here`, '1', { messageId: n + 1 })
    assert.equal((await raw.next(client)).messageId, n + 1)
  }
  assert.equal((await raw.rig.events('event')).length, boxes.length + 1)
})

test('rule 17: what it publishes at QoS 2 for a box is kept once, and is nothing to the box itself', async (t) => {
  const { raw } = await made(t)
  const client = await raw.connected({ clean: false, clientId: 'x' })
  const again = async (dup: boolean): Promise<void> => {
    client.publish('devices/box-1/events/a', '1', { qos: 2, messageId: 7, dup })
    assert.equal((await raw.next(client)).cmd, 'pubrec')
  }
  await again(false)
  await again(true)
  assert.equal((await raw.rig.events('event')).length, 1)
  client.send({ cmd: 'pubrel', messageId: 7 })
  assert.equal((await raw.next(client)).cmd, 'pubcomp')
  await again(false)
  assert.equal((await raw.rig.events('event')).length, 2, 'its packet id was free again')
})

test('rule 26: topics of its own with a device in them reach the boxes; a reply belongs to the oldest of its box', async (t) => {
  const { raw, client } = await made(t, ['box-1', 'box-2'], {
    topics: {
      events: ['locker/{device}/{type}'],
      commands: ['locker/{device}/cmd'],
      replies: ['locker/{device}/ack'],
    },
  })
  const ids: string[] = []
  for (const box of ['box-1', 'box-2']) {
    assert.deepEqual(await ask(raw, client, `locker/${box}/cmd`), [1])
    ids.push(await raw.rig.submit({ to: { device: box }, expect: 'reply' }))
    const packet = await raw.next(client)
    assert.equal(packet.topic, `locker/${box}/cmd`)
  }
  for (const box of ['box-2', 'box-1']) {
    client.publish(`locker/${box}/ack`, '{}')
    assert.equal((await raw.next(client)).cmd, 'puback')
  }
  for (const id of ids) assert.equal((await raw.rig.ended(id)).status, 'done')
  assert.deepEqual(await ask(raw, client, 'locker/stranger/cmd'), [0x80])
  assert.equal(raw.figures.foreign_topics_total, 1)
})

test('a newer client of the controller takes its boxes over without their being gone between', async (t) => {
  const { raw, client } = await made(t)
  for (const filter of ['commands/#', 'devices/box-1/commands/#'])
    assert.deepEqual(await ask(raw, client, filter), [1])
  const newer = await raw.connected()
  await raw.ended(client)
  for (const filter of ['commands/#', 'devices/box-1/commands/#'])
    assert.deepEqual(await ask(raw, newer, filter), [1])
  await raw.rig.submit({ to: { device: 'box-1' } })
  assert.match(textOf(await raw.next(newer)), /^devices\/box-1\//)
  await raw.rig.pass(6_000)
  assert.equal(newer.closed, false)
  const { state, via } = raw.rig.hub.presence('default', 'box-1')
  assert.deepEqual([state, via], ['online', 'locker'])
})
