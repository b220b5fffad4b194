import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { generate, type Packet } from 'mqtt-packet'
import { AdapterRig, secretOf } from '../../../support/adapter-subject.ts'
import { memorySubject } from '../../../support/engine-memory.ts'
import { randomBy } from '../../../support/random.ts'
import { turn } from '../../../support/turns.ts'
import { RawClient } from './raw-client.ts'
import { mqtt5Subject } from './subject.ts'

const made = (packet: object): Buffer => generate(packet as Packet, { protocolVersion: 5 })

const hello = (device: string): Buffer =>
  made({
    cmd: 'connect',
    protocolVersion: 5,
    clientId: 'mad',
    clean: false,
    keepalive: 30,
    properties: { sessionExpiryInterval: 30, receiveMaximum: 3, maximumPacketSize: 400 },
    will: { topic: 'events/gone', payload: '1', properties: { willDelayInterval: 1 } },
    username: device,
    password: Buffer.from(secretOf(device)),
  })
const samples: readonly Buffer[] = [
  made({
    cmd: 'publish',
    topic: 'events/a',
    payload: '{}',
    qos: 1,
    dup: false,
    retain: false,
    messageId: 7,
    properties: { topicAlias: 1, userProperties: { 'pike-stamp': '7.1' } },
  }),
  made({
    cmd: 'publish',
    topic: 'events/b',
    payload: 'x',
    qos: 2,
    dup: true,
    retain: false,
    messageId: 8,
  }),
  made({
    cmd: 'publish',
    topic: 'replies/x/failed',
    payload: 'x',
    qos: 0,
    dup: false,
    retain: false,
  }),
  made({ cmd: 'pubrel', messageId: 8, reasonCode: 0 }),
  made({ cmd: 'pubrec', messageId: 8, reasonCode: 0 }),
  made({ cmd: 'puback', messageId: 1, reasonCode: 0x87, properties: { reasonString: 'no' } }),
  made({
    cmd: 'subscribe',
    messageId: 2,
    subscriptions: [
      { topic: 'commands/#', qos: 1 },
      { topic: 'commands/+/+', qos: 0 },
    ],
    properties: { subscriptionIdentifier: 9 },
  }),
  made({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['commands/#'] }),
  made({ cmd: 'pingreq' }),
  made({ cmd: 'disconnect', reasonCode: 4, properties: { sessionExpiryInterval: 9 } }),
  Buffer.from('f000', 'hex'),
]

test('whatever clients send, it is the end of their connection at most', async (t) => {
  const rig = await AdapterRig.make(t, mqtt5Subject(memorySubject))
  for (let i = 0; i < devices; i++) await rig.register(`mad${i}`)
  await rig.register('bystander')
  const { port } = rig.door as unknown as { port: number }
  const bystander = new RawClient(port)
  t.after(() => bystander.destroy())
  await bystander.connect({ username: 'bystander', password: Buffer.from(secretOf('bystander')) })
  await rig.submit({ to: { device: 'mad0' } })
  const random = randomBy(17)
  for (let round = 0; round < 60; round++) {
    let ended = 0
    for (let i = 0; i < 8; i++) void madness(port, random).then(() => ended++)
    // Those that come too often are told so late: time has to pass.
    await rig.until('they are gone', () => ended === 8)
    bystander.send({ cmd: 'pingreq' })
    assert.equal((await bystander.next()).cmd, 'pingresp')
  }
  const taken = (await rig.events('event')).length
  assert.ok(taken > 5, `only ${taken} events were taken`)
})

/** So many that none comes too often. */
const devices = 10

/** One client's life: a CONNECT, mostly as it should be, and then a few packets that sometimes are not. */
async function madness(port: number, random: (below: number) => number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.on('error', () => {})
  socket.resume()
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const connecting = hello(`mad${random(devices)}`)
  const all = [random(4) === 0 ? mutated(connecting, random) : connecting]
  for (let i = random(12); i >= 0; i--) {
    const sample = samples[random(samples.length)]!
    all.push(random(3) > 0 ? sample : mutated(sample, random))
  }
  const bytes = Buffer.concat(all)
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + random(bytes.length)
    socket.write(bytes.subarray(at, end))
    at = end
    await turn()
  }
  socket.end()
  await closed
}

function mutated(sample: Buffer, random: (below: number) => number): Buffer {
  const bytes = Buffer.from(sample)
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const at = random(bytes.length)
    if (random(5) === 0) return bytes.subarray(0, at)
    bytes[at] = random(3) === 0 ? [0, 1, 0x7f, 0x80, 0xff][random(5)]! : random(256)
  }
  return bytes
}
