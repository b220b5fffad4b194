import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IPublishPacket } from 'mqtt-packet'
import { RawClient } from './raw-client.ts'
import { begin, connected, goodbye, me, publish, subscribe } from './talk.ts'

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

test('what waited for room and is answered meanwhile is not sent any more', async (t) => {
  const { rig, client } = await begin(t)
  const first = client()
  await first.connect(me)
  first.send(subscribe)
  await first.next()
  const id = await rig.submit({ expect: 'reply' })
  await first.next()
  first.destroy()
  await rig.until('it is gone', () => rig.hub.presence('default', 'locker').state === 'offline')
  await rig.submit({ channel: 'urgent' })
  const raw = client()
  await raw.connect({ ...me, properties: { receiveMaximum: 1 } })
  raw.send({ ...subscribe, subscriptions: [{ topic: 'channels/urgent/commands/#', qos: 1 }] })
  await raw.next()
  const urgent = await raw.next()
  raw.send({ ...subscribe, subscriptions: [{ topic: 'channels/main/commands/#', qos: 1 }] })
  await raw.next()
  await rig.calm()
  raw.send(publish({ messageId: 7, topic: `replies/${id}/done`, payload: '{}' }))
  await raw.next()
  assert.equal((await rig.ended(id)).status, 'done')
  raw.send({ cmd: 'puback', messageId: urgent.messageId, reasonCode: 0 })
  await rig.calm()
  assert.deepEqual(raw.waiting, [], 'it has acted on that, and said so')
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

test('clients that never release what they published use up nothing', async (t) => {
  const { rig, client } = await begin(t)
  for (let i = 0; i < 70; i++) {
    const raw = client()
    await raw.connect({ ...me, clientId: '' })
    raw.send(publish({ qos: 2 }))
    const { cmd } = await raw.next()
    assert.equal(cmd, 'pubrec', `client ${i}`)
    raw.destroy()
    await rig.until('it is gone', () => rig.hub.presence('default', 'locker').state === 'offline')
  }
})

test('the name of an event that no topic may have is said beside it', async (t) => {
  const { rig, raw } = await connected(t)
  const properties = { userProperties: { 'pike-name': 'a+b', 'pike-stamp': '7.1' } }
  for (const messageId of [1, 2]) {
    raw.send(publish({ messageId, topic: 'events/-', properties }))
    assert.equal((await raw.next()).cmd, 'puback')
  }
  const events = await rig.events('event')
  assert.deepEqual(
    events.map((event) => event.kind === 'event' && event.name),
    ['a+b'],
  )
})
