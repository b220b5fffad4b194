import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generate } from 'mqtt-packet'
import { secretOf } from '../../support/adapter-subject.ts'
import { RawRig } from './raw-client.ts'

const hello = generate({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clientId: 'mad',
  clean: true,
  keepalive: 60,
  username: 'mad',
  password: Buffer.from(secretOf('mad')),
  will: { topic: 'events/w', payload: Buffer.from('w'), qos: 1, retain: false },
})
const words = [
  {
    cmd: 'publish',
    topic: 'events/a',
    payload: '1',
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
  },
  {
    cmd: 'publish',
    topic: 'replies/a',
    payload: '1',
    qos: 2,
    messageId: 2,
    dup: false,
    retain: false,
  },
  { cmd: 'pubrel', messageId: 2 },
  { cmd: 'subscribe', messageId: 3, subscriptions: [{ topic: 'commands/#', qos: 1 }] },
  { cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['commands/#'] },
  { cmd: 'puback', messageId: 1 },
  { cmd: 'pingreq' },
].map((packet) => generate(packet as never))
const stream = Buffer.concat(words)

/** Source: the generator of Lehmer as Park and Miller chose it; any will do, this one is short. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

function mutate(bytes: Buffer, roll: (below: number) => number): Buffer {
  const mad = Buffer.from(bytes)
  for (let changes = roll(4) + 1; changes > 0; changes--) mad[roll(mad.length)] = roll(256)
  switch (roll(4)) {
    case 0:
      return mad.subarray(0, roll(mad.length))
    case 1: {
      const at = roll(mad.length)
      return Buffer.concat([mad.subarray(0, at), mad.subarray(roll(mad.length))])
    }
    default:
      return mad
  }
}

test('what clients send in madness ends their own connection at most', async (t) => {
  const raw = await RawRig.make(t)
  await raw.rig.register('mad')
  const bystander = await raw.subscribed()
  const roll = dice(20_261_121)
  let letIn = 0
  for (let round = 0; round < 60; round++) {
    const clients = Array.from({ length: 8 }, () => {
      const client = raw.client()
      client.write(roll(5) === 0 ? mutate(hello, roll) : hello)
      client.write(mutate(stream, roll))
      client.socket.end()
      return client
    })
    await raw.rig.until('all are done with', () => clients.every((client) => client.closed))
    letIn += clients.filter((client) => client.packets.length > 0).length
    // How often a device may come is bounded; this is about something else.
    await raw.rig.pass(10_000)
    bystander.send({ cmd: 'pingreq' })
    assert.equal((await raw.next(bystander)).cmd, 'pingresp')
  }
  assert.ok(letIn > 100, `only ${letIn} were let in`)
  const id = await raw.rig.submit()
  const publish = await raw.next(bystander)
  assert.equal(publish.topic, `commands/${id}/open`)
  assert.equal(raw.figures.connections, 1)
  assert.equal(raw.figures.clients, 1)
})
