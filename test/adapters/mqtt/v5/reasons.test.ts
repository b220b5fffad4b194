import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { IConnackPacket, IDisconnectPacket, IPublishPacket } from 'mqtt-packet'
import type { TopicTemplates } from '../../../../adapters/mqtt/index.ts'
import { AdapterRig, secretOf } from '../../../support/adapter-subject.ts'
import { memorySubject } from '../../../support/engine-memory.ts'
import { RawClient } from './raw-client.ts'
import { mqtt5Subject } from './subject.ts'

const password = Buffer.from(secretOf('locker'))
const me = { username: 'locker', password }

/** A server, and a way to talk to it in bytes. */
async function begin(
  t: TestContext,
  topics?: TopicTemplates,
): Promise<{ rig: AdapterRig; client: () => RawClient }> {
  const rig = await AdapterRig.make(t, mqtt5Subject(memorySubject, topics))
  await rig.register()
  const { port } = rig.door as unknown as { port: number }
  const client = (): RawClient => {
    const made = new RawClient(port)
    t.after(() => made.destroy())
    return made
  }
  return { rig, client }
}

/** Connected, and told so. */
async function connected(
  t: TestContext,
  change = {},
): Promise<{ rig: AdapterRig; raw: RawClient; connack: IConnackPacket; client: () => RawClient }> {
  const { rig, client } = await begin(t)
  const raw = client()
  const connack = (await raw.connect({ ...me, ...change })) as unknown as IConnackPacket
  assert.equal(connack.reasonCode, 0, 'it is let in')
  return { rig, raw, connack, client }
}

async function goodbye(raw: RawClient, code: number): Promise<string | undefined> {
  const packet = (await raw.next()) as unknown as IDisconnectPacket
  assert.equal(packet.cmd, 'disconnect')
  assert.equal(packet.reasonCode, code)
  await raw.ended()
  return packet.properties?.reasonString
}

const publish = (change = {}) =>
  ({
    cmd: 'publish',
    topic: 'events/a',
    payload: '1',
    qos: 1,
    messageId: 1,
    dup: false,
    retain: false,
    ...change,
  }) as const

test('a client is told what it was granted, and no more', async (t) => {
  const { connack } = await connected(t, {
    keepalive: 0,
    clientId: '',
    properties: { sessionExpiryInterval: 100_000 },
  })
  const { assignedClientIdentifier, ...rest } = connack.properties!
  assert.match(assignedClientIdentifier!, /^pike\./)
  assert.equal(connack.sessionPresent, false)
  assert.deepEqual(rest, {
    receiveMaximum: 64,
    maximumPacketSize: 65_536,
    topicAliasMaximum: 16,
    retainAvailable: false,
    sharedSubscriptionAvailable: false,
    sessionExpiryInterval: 86_400,
    serverKeepAlive: 1_500,
  })
})

test('what was asked for and granted is not said again', async (t) => {
  const { connack } = await connected(t)
  assert.deepEqual(Object.keys(connack.properties!), [
    'receiveMaximum',
    'maximumPacketSize',
    'topicAliasMaximum',
    'retainAvailable',
    'sharedSubscriptionAvailable',
  ])
})

const refused: readonly (readonly [what: string, change: object, code: number])[] = [
  ['a wrong secret', { password: Buffer.from('wrong') }, 0x86],
  ['an unknown device', { username: 'nobody' }, 0x86],
  ['a name that is none', { username: '../x' }, 0x86],
  ['nobody', { username: undefined, password: undefined }, 0x86],
  ['an authentication method', { properties: { authenticationMethod: 'SCRAM-SHA-256' } }, 0x8c],
  ['a client id that is too long', { clientId: 'c'.repeat(129) }, 0x85],
  [
    'a will that is to be retained',
    { will: { topic: 'events/a', payload: '1', retain: true } },
    0x9a,
  ],
  ['a will to a topic of another', { will: { topic: 'state/other', payload: '1' } }, 0x90],
  ['a will with a wildcard', { will: { topic: 'events/#', payload: '1' } }, 0x90],
  ['receive maximum 0', { properties: { receiveMaximum: 0 } }, 0x82],
]
for (const [what, change, code] of refused) {
  test(`CONNECT with ${what} is refused with 0x${code.toString(16)}`, async (t) => {
    const { client } = await begin(t)
    const raw = client()
    const connack = await raw.connect({ ...me, ...change })
    assert.equal(connack.cmd, 'connack')
    assert.equal(connack.reasonCode, code)
    await raw.ended()
  })
}

test('a CONNECT over its bound is cut off before its bytes are held', async (t) => {
  const { client } = await begin(t)
  const raw = client()
  raw.write(Buffer.from('10ffffff7f00044d51545405', 'hex'))
  await raw.ended()
})

test('a publish is acknowledged, refused where it may not go, each by its code', async (t) => {
  const { rig, raw } = await connected(t)
  const codes: [object, number][] = [
    [{}, 0],
    [{ topic: 'state/other' }, 0x87],
    [{ topic: 'channels/none/events/a' }, 0x90],
    [{ topic: `events/${'n'.repeat(129)}` }, 0x90],
    [{ topic: 'replies/locker:main:1:99' }, 0x90],
    [{ payload: Buffer.alloc(48 * 1024 + 1) }, 0x97],
    [{ properties: { userProperties: { 'pike-stamp': '0.1' } } }, 0x99],
    [{ properties: { userProperties: { 'pike-status': 'fail' } } }, 0x99],
    [{ properties: { userProperties: { 'pike-stamp': '7.100' } } }, 0],
    [{ properties: { userProperties: { 'pike-stamp': '7.30' } } }, 0x83],
  ]
  for (const [index, [change, code]] of codes.entries()) {
    raw.send(publish({ messageId: index + 1, ...change }))
    const puback = await raw.next()
    assert.equal(puback.cmd, 'puback')
    assert.equal(puback.messageId, index + 1)
    assert.equal(puback.reasonCode ?? 0, code, JSON.stringify(change).slice(0, 80))
  }
  assert.equal((await rig.events('event')).length, 2)
})

test('reasons in words are for who wants them', async (t) => {
  const { raw } = await connected(t)
  raw.send(publish({ topic: 'state/other' }))
  const said = (await raw.next()) as unknown as IDisconnectPacket
  assert.equal(said.properties?.reasonString, 'no topic of this device')
  const quiet = await connected(t, { properties: { requestProblemInformation: false } })
  quiet.raw.send(publish({ topic: 'state/other' }))
  const unsaid = (await quiet.raw.next()) as unknown as IDisconnectPacket
  assert.equal(unsaid.properties?.reasonString, undefined)
})

test('a publish at QoS 2 is kept once, whatever is said again', async (t) => {
  const { rig, raw, client } = await connected(t, { clean: false })
  raw.send(publish({ qos: 2, messageId: 9 }))
  assert.equal((await raw.next()).cmd, 'pubrec')
  raw.destroy()
  const again = client()
  await again.connect({ ...me, clean: false })
  again.send(publish({ qos: 2, messageId: 9, dup: true }))
  assert.equal((await again.next()).cmd, 'pubrec')
  again.send({ cmd: 'pubrel', messageId: 9, reasonCode: 0 })
  assert.equal((await again.next()).cmd, 'pubcomp')
  assert.equal((await rig.events('event')).length, 1)
  again.send(publish({ qos: 2, messageId: 9 }))
  assert.equal((await again.next()).cmd, 'pubrec')
  assert.equal((await rig.events('event')).length, 2, 'the packet id is free again')
})

test('more publishes than the Receive Maximum end the connection with 0x93', async (t) => {
  const { raw } = await connected(t)
  for (let id = 1; id <= 65; id++) raw.send(publish({ qos: 2, messageId: id }))
  let packet = await raw.next()
  while (packet.cmd === 'pubrec') packet = await raw.next()
  assert.equal(packet.cmd, 'disconnect')
  assert.equal(packet.reasonCode, 0x93)
})

const broken: readonly (readonly [what: string, hex: string, code: number])[] = [
  ['a second CONNECT', '100d00044d51545405020000000000', 0x82],
  ['AUTH', 'f000', 0x82],
  ['a retained publish', '310d00086576656e74732f6100313233', 0x9a],
  ['a wildcard in a publish', '300600012b002020', 0x90],
  ['an unknown topic alias', '300600000323000f', 0x82],
  ['a topic alias beyond the bound', '3009000361626303230011', 0x94],
  ['a packet over the bound', '30ffffff7f', 0x95],
  ['reserved flags', 'c100', 0x81],
  ['packet type 0', '0000', 0x81],
  ['a PUBACK of nothing', '40020007', 0x82],
  ['a session that was not asked for', 'e00700051100000001', 0x82],
]
for (const [what, hex, code] of broken) {
  test(`${what} ends the connection with 0x${code.toString(16)}`, async (t) => {
    const { raw } = await connected(t)
    raw.write(Buffer.from(hex, 'hex'))
    await goodbye(raw, code)
  })
}

for (const [what, topic] of [
  ['too long', `events/${'n'.repeat(600)}`],
  ['too deep', `events/${'n/'.repeat(40)}`],
] as const) {
  test(`a topic that is ${what} ends the connection with 0x90`, async (t) => {
    const { raw } = await connected(t)
    raw.send(publish({ topic }))
    await goodbye(raw, 0x90)
  })
}

test('the older of two clients with one id is told 0x8e', async (t) => {
  const { raw, client } = await connected(t)
  const newer = client()
  assert.equal((await newer.connect(me)).reasonCode, 0)
  await goodbye(raw, 0x8e)
})

test('a stopping server says 0x8b', async (t) => {
  const { rig, raw } = await connected(t)
  const stopped = rig.door.stop()
  await goodbye(raw, 0x8b)
  await stopped
})

test('who is silent past its keep-alive is told 0x8d and reset', async (t) => {
  const { rig, raw } = await connected(t, { keepalive: 10 })
  await rig.pass(17_000)
  await goodbye(raw, 0x8d)
})

test('subscriptions are answered one by one, each by its code', async (t) => {
  const { raw } = await connected(t)
  raw.send({
    cmd: 'subscribe',
    messageId: 3,
    subscriptions: [
      'commands/#',
      'state/#',
      '$share/g/commands/#',
      'a+/b',
      '#/a',
      'commands/+/open',
    ].map((topic) => ({ topic, qos: 2 })),
  })
  const suback = (await raw.next()) as unknown as { cmd: string; granted: number[] }
  assert.equal(suback.cmd, 'suback')
  assert.deepEqual(suback.granted, [1, 0x87, 0x9e, 0x8f, 0x8f, 0x87])
  raw.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['commands/#', 'nothing'] })
  const unsuback = (await raw.next()) as unknown as { cmd: string; granted: number[] }
  assert.equal(unsuback.cmd, 'unsuback')
  assert.deepEqual(unsuback.granted, [0, 0x11])
})

const subscribe = {
  cmd: 'subscribe',
  messageId: 3,
  subscriptions: [{ topic: 'commands/#', qos: 1 }],
} as const

test('a command says what it is in its properties', async (t) => {
  const { rig, raw } = await connected(t)
  raw.send({ ...subscribe, properties: { subscriptionIdentifier: 7 } })
  assert.equal((await raw.next()).cmd, 'suback')
  const id = await rig.submit({ delivery: 'now', expect: 'reply', ttlMs: 20_000 })
  const { topic, properties, messageId } = (await raw.next()) as unknown as IPublishPacket
  assert.equal(topic, `commands/${id}/open`)
  const { userProperties, correlationData, ...rest } = properties!
  assert.deepEqual(rest, {
    messageExpiryInterval: 20,
    contentType: 'application/json',
    responseTopic: `replies/${id}`,
    subscriptionIdentifier: 7,
  })
  assert.equal(correlationData!.toString(), id)
  const { 'pike-expires-at': expiresAt, 'pike-position': position, ...told } = { ...userProperties }
  assert.deepEqual(told, {
    'pike-command': id,
    'pike-name': 'open',
    'pike-delivery': 'now',
    'pike-expect': 'reply',
  })
  assert.match(position as string, /^\d+\.1$/)
  assert.ok(Date.parse(expiresAt as string) > rig.clock.nowMs(), 'a point in time that is to come')
  // Answered as the specification has it: to the Response Topic, the outcome beside it.
  raw.send(
    publish({
      topic: rest.responseTopic,
      properties: {
        correlationData,
        userProperties: { 'pike-status': 'failed', 'pike-reason': 'jammed' },
      },
    }),
  )
  assert.equal((await raw.next()).cmd, 'puback')
  raw.send({ cmd: 'puback', messageId, reasonCode: 0 })
  const { status, reason } = await rig.ended(id)
  assert.equal(`${status} ${reason}`, 'failed jammed')
})

test('a device that refuses the message of a command has rejected it', async (t) => {
  const { rig, raw } = await connected(t)
  raw.send(subscribe)
  await raw.next()
  const id = await rig.submit()
  const { messageId } = await raw.next()
  raw.send({ cmd: 'puback', messageId, reasonCode: 0x97 })
  const { status, reason } = await rig.ended(id)
  assert.equal(`${status} ${reason}`, 'rejected quota-exceeded')
})

test('no more is out than the client takes, over all its channels', async (t) => {
  const { rig, raw } = await connected(t, { properties: { receiveMaximum: 2 } })
  raw.send(subscribe)
  await raw.next()
  for (const channel of ['main', 'urgent', 'main', 'urgent']) await rig.submit({ channel })
  const first = [await raw.next(), await raw.next()]
  await rig.calm()
  assert.equal(raw.waiting.length, 0, 'two are out, no third')
  raw.send({ cmd: 'puback', messageId: first[0]!.messageId, reasonCode: 0 })
  await raw.next()
  await rig.calm()
  assert.equal(raw.waiting.length, 0)
})

test('a command larger than the client takes is undeliverable, and holds nobody up', async (t) => {
  const { rig, raw } = await connected(t, { properties: { maximumPacketSize: 600 } })
  raw.send(subscribe)
  await raw.next()
  const large = await rig.submit({ payload: Buffer.alloc(600) })
  const small = await rig.submit({ payload: Buffer.from('1') })
  const packet = await raw.next()
  assert.match((packet as unknown as IPublishPacket).topic, new RegExp(small))
  const { status, reason } = await rig.ended(large)
  assert.equal(`${status} ${reason}`, 'undeliverable too-large')
})

test('a topic may be said by its number', async (t) => {
  const { rig, raw } = await connected(t)
  raw.send(publish({ messageId: 1, properties: { topicAlias: 16 } }))
  await raw.next()
  raw.send(publish({ messageId: 2, topic: '', properties: { topicAlias: 16 } }))
  await raw.next()
  const names = (await rig.events('event')).map((event) => event.kind === 'event' && event.name)
  assert.deepEqual(names, ['a', 'a'])
})

for (const [what, bytes, isSaid] of [
  ['goes without a goodbye', undefined, true],
  ['says goodbye', 'e000', false],
  ['says goodbye and wants its will said', 'e00104', true],
] as const) {
  test(`the will of a client that ${what} is ${isSaid ? 'an event' : 'void'}`, async (t) => {
    const will = {
      topic: 'events/gone',
      payload: Buffer.from('{}'),
      qos: 1,
      retain: false,
      properties: { contentType: 'text/x' },
    }
    const { rig, raw } = await connected(t, { will })
    if (bytes === undefined) raw.destroy()
    else raw.write(Buffer.from(bytes, 'hex'))
    await rig.until('it is gone', () => rig.hub.presence('default', 'locker').state === 'offline')
    const events = await rig.events('event')
    assert.equal(events.length, isSaid ? 1 : 0)
    if (isSaid)
      assert.ok(
        events[0]!.kind === 'event' && events[0]!.contentType === 'text/x',
        'as it was given',
      )
  })
}

test('a stuck channel leaves the other room, however few the client takes', async (t) => {
  const { rig, raw } = await connected(t, { properties: { receiveMaximum: 2 } })
  raw.send(subscribe)
  await raw.next()
  for (let i = 0; i < 4; i++) await rig.submit({ name: 'stuck' })
  await raw.next()
  await rig.submit({ name: 'urgent', channel: 'urgent' })
  const packet = (await raw.next()) as unknown as IPublishPacket
  assert.match(packet.topic, /urgent$/)
})

test('who says all at once and goes is heard all the same', async (t) => {
  const { rig, client } = await begin(t)
  const raw = client()
  raw.send({
    cmd: 'connect',
    protocolVersion: 5,
    clientId: 'hasty',
    clean: true,
    keepalive: 60,
    ...me,
  })
  raw.send(publish({ qos: 0 }))
  raw.write(Buffer.from('e000', 'hex'))
  raw.end()
  await raw.ended()
  await rig.calm()
  assert.equal((await rig.events('event')).length, 1)
})

test('a reply whose topic names no command belongs to the one of its Correlation Data', async (t) => {
  const topics = {
    events: ['locker/{device}/events'],
    commands: ['locker/{device}/cmd'],
    replies: ['locker/{device}/ack'],
  }
  const { rig, client } = await begin(t, topics)
  const raw = client()
  await raw.connect(me)
  raw.send({ ...subscribe, subscriptions: [{ topic: 'locker/locker/cmd', qos: 1 }] })
  await raw.next()
  const ids: string[] = []
  for (const name of ['first', 'second']) {
    ids.push(await rig.submit({ name, expect: 'reply' }))
    const { topic, properties, messageId } = (await raw.next()) as unknown as IPublishPacket
    assert.equal(topic, 'locker/locker/cmd')
    assert.equal(properties?.responseTopic, 'locker/locker/ack')
    raw.send({ cmd: 'puback', messageId, reasonCode: 0 })
  }
  const correlationData = Buffer.from(ids[1]!)
  raw.send(publish({ topic: 'locker/locker/ack', properties: { correlationData } }))
  await raw.next()
  assert.equal((await rig.ended(ids[1]!)).status, 'done')
  assert.equal((await rig.status(ids[0]!))?.kind, 'open')
  raw.send(publish({ topic: 'locker/locker/ack', messageId: 2 }))
  await raw.next()
  assert.equal((await rig.ended(ids[0]!)).status, 'done', 'without: to the oldest')
})

test('what was kept and not released is known after the server was killed', async (t) => {
  const { rig, client } = await begin(t)
  const raw = client()
  await raw.connect({ ...me, clean: false })
  raw.send(publish({ qos: 2, messageId: 9 }))
  assert.equal((await raw.next()).cmd, 'pubrec')
  raw.destroy()
  await rig.crash()
  const again = new RawClient((rig.door as unknown as { port: number }).port)
  t.after(() => again.destroy())
  await again.connect({ ...me, clean: false })
  again.send(publish({ qos: 2, messageId: 9, dup: true }))
  assert.equal((await again.next()).cmd, 'pubrec')
  assert.equal((await rig.events('event')).length, 1)
})

test('of two clients that fight the fourth is refused with 0x97, and told when to come back', async (t) => {
  const { client } = await begin(t)
  let last: RawClient | undefined
  for (let i = 0; i < 5; i++) {
    last = client()
    assert.equal((await last.connect({ ...me, clientId: `c${i % 2}` })).reasonCode, 0)
    last.send(subscribe)
    const suback = (await last.next()) as unknown as { granted: number[] }
    if (suback.granted[0] === 1) continue
    assert.deepEqual(suback.granted, [0x97])
    assert.match((await goodbye(last, 0x97))!, /come back in 60 s/)
    assert.ok(i >= 3, `refused at ${i}`)
    return
  }
  assert.fail('nobody was refused')
})
