import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IDisconnectPacket } from 'mqtt-packet'
import { begin, connected, goodbye, me, publish } from './talk.ts'

test('a client is told what it was granted, and no more', async (t) => {
  const { rig, connack } = await connected(t, {
    keepalive: 0,
    clientId: '',
    properties: { sessionExpiryInterval: 100_000 },
  })
  const { assignedClientIdentifier, userProperties, ...rest } = connack.properties!
  const { 'pike-connection': connection, ...others } = userProperties!
  assert.match(String(connection), /^[0-9a-f]{10}-[0-9a-z]+$/)
  assert.deepEqual(others, { 'pike-time': new Date(rig.clock.nowMs()).toISOString() })
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
    'userProperties',
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
  ['a second CONNECT of another protocol', '100900034d515400000000', 0x82],
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

test('a stopping server says 0x8b, and when to come back', async (t) => {
  const { rig, raw } = await connected(t)
  const stopped = rig.door.stop()
  const { reasonCode, properties } = (await raw.next()) as unknown as IDisconnectPacket
  assert.equal(reasonCode, 0x8b)
  const afterS = Number(properties?.userProperties?.['pike-retry-after'])
  assert.ok(afterS >= 0 && afterS <= 1, `within the spread: ${afterS}`)
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
