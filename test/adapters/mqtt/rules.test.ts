import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secretOf } from '../../support/adapter-subject.ts'
import { type RawClient, RawRig } from './raw-client.ts'

const legacy = {
  topics: {
    events: ['locker/{device}/{type}'],
    commands: ['locker/{device}/cmd'],
    replies: ['locker/{device}/ack', 'failed=locker/{device}/nack/{reason}'],
  },
}

test('rule 18: a client that only speaks is online and takes nobody its channel', async (t) => {
  const raw = await RawRig.make(t)
  const speaker = await raw.connected({ clientId: 'speaker' })
  assert.equal(raw.rig.hub.presence('default', 'locker').state, 'online')
  const receiver = await raw.subscribed()
  speaker.publish('events/a')
  assert.equal((await raw.next(speaker)).cmd, 'puback')
  await raw.rig.submit()
  assert.equal((await raw.next(receiver)).cmd, 'publish')
  assert.deepEqual([speaker.closed, receiver.closed], [false, false])
})

test('rule 18: two firmwares with one client id that fight are both held off, and told so', async (t) => {
  const raw = await RawRig.make(t)
  for (let i = 0; i < 3; i++) await raw.subscribed()
  const third = await raw.connected()
  third.subscribe('commands/#')
  await raw.ended(third)
  assert.equal(raw.rig.hub.figures().sessions, 0)
  const conflicts = await raw.rig.events('session.conflict')
  assert.ok(conflicts.length > 0, 'an event tells of it')
  await raw.rig.pass(61_000)
  const later = await raw.subscribed()
  await raw.rig.submit()
  assert.equal((await raw.next(later)).cmd, 'publish')
})

test('a newer client with the same id closes the older, and is not lost by that', async (t) => {
  const raw = await RawRig.make(t)
  const older = await raw.subscribed()
  // In one turn: the older one's end and the newer one's credentials.
  const newer = raw.client()
  newer.connect()
  older.socket.end()
  assert.equal((await raw.next(newer)).cmd, 'connack')
  await raw.ended(older)
  newer.subscribe('commands/#')
  assert.equal((await raw.next(newer)).cmd, 'suback')
  await raw.rig.submit()
  assert.equal((await raw.next(newer)).cmd, 'publish')
  const third = await raw.connected()
  await raw.ended(newer)
  assert.equal(third.closed, false)
  await raw.rig.pass(6_000)
  assert.equal(raw.rig.hub.figures().sessions, 0, 'what nobody took over is given up')
  assert.equal(raw.figures.clients, 1)
})

test('a device that drops is lost; one that says goodbye is not', async (t) => {
  const raw = await RawRig.make(t)
  const reason = () => raw.rig.hub.presence('default', 'locker').reason
  const state = () => raw.rig.hub.presence('default', 'locker').state
  const rude = await raw.subscribed()
  rude.socket.destroy()
  await raw.rig.until('it is offline', () => state() === 'offline')
  assert.equal(reason(), 'lost')
  const polite = await raw.subscribed()
  polite.send({ cmd: 'disconnect' })
  await raw.rig.until('it is offline', () => state() === 'offline')
  assert.equal(reason(), 'normal')
})

test('two devices may use one client id', async (t) => {
  const raw = await RawRig.make(t)
  await raw.rig.register('other')
  const mine = await raw.connected()
  const theirs = await raw.connected({
    username: 'other',
    password: Buffer.from(secretOf('other')),
  })
  await raw.rig.calm()
  assert.deepEqual([mine.closed, theirs.closed], [false, false])
})

test('rule 17: a repeat at QoS 1 is kept, and said to be perhaps one', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected()
  client.publish('events/a', '1', { messageId: 1 })
  client.publish('events/a', '1', { messageId: 1, dup: true })
  assert.deepEqual(
    [(await raw.next(client)).cmd, (await raw.next(client)).cmd],
    ['puback', 'puback'],
  )
  const marks = (await raw.rig.events('event')).map((e) => e.kind === 'event' && e.maybeRepeat)
  assert.deepEqual(marks, [undefined, true])
})

test('rule 17: a publish at QoS 2 is kept once, over repeats, connections and restarts', async (t) => {
  const raw = await RawRig.make(t)
  const persistent = { clean: false }
  const first = await raw.connected(persistent)
  first.publish('events/a', '1', { qos: 2, messageId: 7 })
  assert.equal((await raw.next(first)).cmd, 'pubrec')
  first.publish('events/a', '1', { qos: 2, messageId: 7, dup: true })
  assert.equal((await raw.next(first)).cmd, 'pubrec')
  first.socket.destroy()
  await raw.rig.crash()
  const second = await raw.connected(persistent)
  second.publish('events/a', '1', { qos: 2, messageId: 7, dup: true })
  assert.equal((await raw.next(second)).cmd, 'pubrec')
  second.send({ cmd: 'pubrel', messageId: 7 })
  assert.equal((await raw.next(second)).cmd, 'pubcomp')
  second.send({ cmd: 'pubrel', messageId: 7 })
  assert.equal((await raw.next(second)).cmd, 'pubcomp', 'a repeated PUBREL is answered again')
  assert.equal((await raw.rig.events('event')).length, 1)
  second.publish('events/b', '2', { qos: 2, messageId: 7 })
  assert.equal((await raw.next(second)).cmd, 'pubrec')
  assert.equal((await raw.rig.events('event')).length, 2, 'its packet id was free again')
})

test('a packet id that was let go of unheard is new when the client says so', async (t) => {
  const raw = await RawRig.make(t)
  for (const clean of [false, false, true]) {
    const client = await raw.connected({ clean })
    client.publish('events/a', '1', { qos: 2, messageId: 1 })
    assert.equal((await raw.next(client)).cmd, 'pubrec')
    client.socket.destroy()
    await raw.ended(client)
  }
  assert.equal((await raw.rig.events('event')).length, 3)
})

test('rule 23: a subscriber at QoS 0 is written to once, and that is all anybody knows', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.subscribed('commands/#', 0)
  const id = await raw.rig.submit()
  const publish = await raw.next(client)
  assert.deepEqual([publish.cmd, publish.qos], ['publish', 0])
  const ended = await raw.rig.ended(id)
  assert.equal(`${ended.status} ${ended.reason}`, 'in-doubt no-acknowledgement')
})

test('rule 26: without a command id in its topics one is out, and a reply is to the oldest', async (t) => {
  const raw = await RawRig.make(t, legacy)
  const client = await raw.subscribed('locker/locker/cmd')
  const first = await raw.rig.submit({ name: 'one', expect: 'reply', payload: Buffer.from('1') })
  const second = await raw.rig.submit({ name: 'two', expect: 'reply', payload: Buffer.from('2') })
  const publish = await raw.next(client)
  assert.deepEqual([publish.topic, String(publish.payload)], ['locker/locker/cmd', '1'])
  await raw.rig.calm()
  assert.equal(client.packets.length, 0, 'one is out')
  client.send({ cmd: 'puback', messageId: publish.messageId })
  const next = await raw.next(client)
  assert.equal(String(next.payload), '2')
  client.send({ cmd: 'puback', messageId: next.messageId })
  client.publish('locker/locker/ack', '{"ok":true}')
  assert.equal((await raw.next(client)).cmd, 'puback')
  client.publish('locker/locker/nack/jammed', '')
  assert.equal((await raw.next(client)).cmd, 'puback')
  assert.equal((await raw.rig.ended(first)).status, 'done')
  const ended = await raw.rig.ended(second)
  assert.equal(`${ended.status} ${ended.reason}`, 'failed jammed')
})

test('a command that may have been sent before is marked as a repeat', async (t) => {
  const raw = await RawRig.make(t)
  const first = await raw.subscribed()
  await raw.rig.submit()
  const publish = await raw.next(first)
  assert.equal(publish.dup, false)
  first.socket.destroy()
  await raw.ended(first)
  await raw.rig.until('it is gone', () => raw.rig.hub.figures().sessions === 0)
  const second = await raw.subscribed()
  const again = await raw.next(second)
  assert.deepEqual([again.topic, again.dup], [publish.topic, true])
})

test('rule 31: a wrong secret and an unknown device are refused alike, and too many later', async (t) => {
  const raw = await RawRig.make(t)
  const codes: number[] = []
  for (const username of ['locker', 'nobody', 'no/body', '-', 'a/b/c', '']) {
    const client = raw.client()
    client.connect({ username, password: Buffer.from('not-the-secret-of-anybody') })
    codes.push(Number((await raw.next(client)).returnCode))
    await raw.ended(client)
  }
  const nameless = raw.client()
  nameless.connect({ username: undefined, password: undefined })
  codes.push(Number((await raw.next(nameless)).returnCode))
  assert.deepEqual(codes, [4, 4, 4, 4, 4, 4, 4])
  for (let i = 0; i < 12; i++) {
    const client = raw.client()
    client.connect({ password: Buffer.from('not-the-secret-of-anybody') })
    codes.push(Number((await raw.next(client)).returnCode))
  }
  assert.equal(codes.at(-1), 3, 'the right one would not help now')
})

test('a bare scrypt secret fits too', async (t) => {
  const raw = await RawRig.make(t)
  const { makeCredential } = await import('../../../src/secrets/secrets.ts')
  const nowMs = raw.rig.clock.nowMs()
  await raw.rig.engine.names.putDevice({
    app: 'default',
    device: 'weak',
    disabled: false,
    tags: [],
    attributes: {},
    channels: {},
    credentials: [await makeCredential('1234', 'default', 'weak')],
    createdAtMs: nowMs,
    changedAtMs: nowMs,
  })
  const client = raw.client()
  client.connect({ username: 'weak', password: Buffer.from('1234') })
  assert.equal((await raw.next(client)).returnCode, 0)
})

test('keep-alive: one and a half times what it asked for, and PINGREQ is enough', async (t) => {
  const raw = await RawRig.make(t)
  const quiet = await raw.connected({ clientId: 'quiet', keepalive: 20 })
  const lively = await raw.connected({ clientId: 'lively', keepalive: 20 })
  const forever = await raw.connected({ clientId: 'forever', keepalive: 0 })
  for (let i = 0; i < 6; i++) {
    lively.send({ cmd: 'pingreq' })
    assert.equal((await raw.next(lively)).cmd, 'pingresp')
    await raw.rig.pass(10_000)
  }
  assert.deepEqual([quiet.closed, lively.closed, forever.closed], [true, false, false])
  await raw.rig.pass(2_500_000)
  assert.equal(forever.closed, true, 'who says nothing for ever is given up in the end')
})

test('rule 21: a keep-alive longer than ours is kept to', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected({ keepalive: 7_200 })
  client.subscribe('commands/#')
  assert.equal((await raw.next(client)).cmd, 'suback')
  await raw.rig.pass(7_200_000)
  assert.equal(client.closed, false)
  await raw.rig.submit()
  assert.equal((await raw.next(client)).cmd, 'publish')
})

test('a will is an event, once, when its client goes without a goodbye', async (t) => {
  const raw = await RawRig.make(t)
  const will = {
    topic: 'events/went-dark',
    payload: Buffer.from('{"battery":3}'),
    qos: 1,
    retain: true,
  }
  const polite = await raw.connected({ will })
  polite.send({ cmd: 'disconnect' })
  await raw.ended(polite)
  const rude = await raw.connected({ will })
  rude.socket.destroy()
  await raw.rig.until('it is said', async () => (await raw.rig.events('event')).length > 0)
  await raw.rig.until(
    'it is gone',
    () => raw.rig.hub.presence('default', 'locker').state === 'offline',
  )
  const kinds = (await raw.rig.events()).map((e) => (e.kind === 'event' ? e.name : e.kind))
  assert.deepEqual(kinds.slice(-3), ['presence', 'went-dark', 'presence'])
  assert.equal((await raw.rig.events('event')).length, 1)
})

test('a will to somebody else is refused before it could be said', async (t) => {
  const raw = await RawRig.make(t)
  const client = raw.client()
  client.connect({
    will: { topic: 'other/topic', payload: Buffer.from('x'), qos: 0, retain: false },
  })
  assert.equal((await raw.next(client)).returnCode, 5)
})

test('what came with a retain flag is an event like others, and comes to nobody', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected()
  client.publish('events/a', '1', { retain: true })
  assert.equal((await raw.next(client)).cmd, 'puback')
  client.subscribe('#')
  assert.equal((await raw.next(client)).cmd, 'suback')
  await raw.rig.calm()
  assert.equal(client.packets.length, 0)
  assert.equal((await raw.rig.events('event')).length, 1)
})

test('a device reaches its own topics only: others are refused, and counted', async (t) => {
  const raw = await RawRig.make(t)
  for (const topic of ['other', '$SYS/x', 'commands/x/open', 'channels/nowhere/events/a']) {
    const client = await raw.connected({ clientId: topic })
    client.publish(topic)
    await raw.ended(client)
    assert.equal(client.packets.length, 0, 'never acknowledged')
  }
  const client = await raw.connected()
  for (const filter of ['$SYS/#', 'events/#', 'commands/+/open', 'channels/nowhere/commands/#']) {
    client.subscribe(filter)
    assert.deepEqual((await raw.next(client)).granted, [0x80], filter)
  }
  assert.equal(raw.figures.foreign_topics_total, 6)
  assert.equal((await raw.rig.events('event')).length, 0)
})

test('who is sent away for what it published is offline for that reason, not because its connection broke', async (t) => {
  const raw = await RawRig.make(t)
  const presence = () => raw.rig.hub.presence('default', 'locker')
  for (const [topic, reason] of [
    ['other', 'protocol-error'],
    ['channels/nowhere/events/a', 'unknown-channel'],
  ] as const) {
    const client = await raw.connected({ clientId: topic })
    client.publish(topic)
    await raw.ended(client)
    await raw.rig.until('it is offline', () => presence().state === 'offline')
    assert.equal(presence().reason, reason)
  }
  const { items } = raw.rig.hub.traces.trace('default', 'locker', { limit: 100 })
  const refused = items.filter(({ type }) => type === 'refused')
  assert.deepEqual(
    refused.map(({ reason, name }) => [reason, name]),
    [['foreign-topic', 'other']],
  )
})

test('several filters at once, one of them wrong: each is answered', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected()
  client.send({
    cmd: 'subscribe',
    messageId: 9,
    subscriptions: [
      { topic: 'channels/urgent/commands/#', qos: 2 },
      { topic: 'nowhere/#', qos: 1 },
      { topic: 'channels/main/commands/#', qos: 0 },
    ],
  })
  assert.deepEqual((await raw.next(client)).granted, [1, 0x80, 0])
})

test('a device that subscribes late gets what waited; one that unsubscribes gets no more', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected()
  await raw.rig.submit({ name: 'waited' })
  await raw.rig.calm()
  assert.equal(client.packets.length, 0)
  client.subscribe('commands/#')
  assert.equal((await raw.next(client)).cmd, 'suback')
  const publish = await raw.next(client)
  assert.match(String(publish.topic), /\/waited$/)
  client.send({ cmd: 'puback', messageId: publish.messageId })
  client.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['commands/#'] })
  assert.equal((await raw.next(client)).cmd, 'unsuback')
  await raw.rig.submit()
  await raw.rig.calm()
  assert.equal(client.packets.length, 0)
  client.subscribe('commands/#')
  assert.equal((await raw.next(client)).cmd, 'suback')
  assert.equal((await raw.next(client)).cmd, 'publish')
})

test('what comes right behind CONNECT waits for its answer', async (t) => {
  const raw = await RawRig.make(t)
  const client = raw.client()
  client.connect()
  client.publish('events/early')
  client.subscribe('commands/#')
  client.send({ cmd: 'pingreq' })
  const came = [await raw.next(client), await raw.next(client), await raw.next(client)]
  came.push(await raw.next(client))
  assert.equal(came[0]!.cmd, 'connack')
  assert.deepEqual(came.map(({ cmd }) => cmd).sort(), ['connack', 'pingresp', 'puback', 'suback'])
})

test('a persistent session goes on where it was: subscribed, and told so', async (t) => {
  const raw = await RawRig.make(t)
  for (const [protocolVersion, protocolId] of [
    [4, 'MQTT'],
    [3, 'MQIsdp'],
  ] as const) {
    const persistent = { clean: false, protocolVersion, protocolId, clientId: protocolId }
    const present = async (): Promise<readonly [unknown, RawClient]> => {
      const client = raw.client()
      client.connect(persistent)
      return [(await raw.next(client)).sessionPresent, client]
    }
    const [first, before] = await present()
    assert.equal(first, false)
    before.subscribe('commands/#')
    assert.equal((await raw.next(before)).cmd, 'suback')
    before.socket.destroy()
    await raw.rig.until('it is gone', () => raw.rig.hub.figures().sessions === 0)
    const name = `waited-${protocolVersion}`
    const id = await raw.rig.submit({ name })
    const [second, after] = await present()
    assert.equal(second, protocolVersion === 4, '3.1 has no word for it')
    const publish = await raw.next(after)
    assert.equal(publish.topic, `commands/${id}/${name}`)
    after.send({ cmd: 'puback', messageId: publish.messageId })
    assert.equal((await raw.rig.ended(id)).status, 'delivered')
    // Taken over by itself it goes on as well.
    const [third, again] = await present()
    assert.equal(third, protocolVersion === 4)
    await raw.ended(after)
    await raw.rig.until('it is attached', () => raw.rig.hub.figures().sessions === 2)
    again.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['commands/#'] })
    assert.equal((await raw.next(again)).cmd, 'unsuback')
    again.socket.destroy()
    await raw.ended(again)
    const [fourth, clean] = await present()
    assert.equal(fourth, false)
    clean.socket.destroy()
  }
})

test('a clean session ends what was before, and nobody comes back to it', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected({ clean: false })
  client.subscribe('commands/#')
  assert.equal((await raw.next(client)).cmd, 'suback')
  client.socket.destroy()
  await raw.ended(client)
  const anew = await raw.connected({ clean: true })
  anew.socket.destroy()
  await raw.ended(anew)
  const back = raw.client()
  back.connect({ clean: false })
  assert.equal((await raw.next(back)).sessionPresent, false)
})

test('rule 17: what says its stamp in its topic is kept once, in MQTT 3 too', async (t) => {
  const raw = await RawRig.make(t)
  const id = await raw.rig.submit({ expect: 'reply' })
  for (const clientId of ['one', 'two']) {
    const client = await raw.connected({ clientId })
    for (const topic of [
      'stamped/7.1/events/a%2Bb',
      'stamped/7.2/channels/urgent/events/c',
      `stamped/7.3/replies/${id}/failed/not%2Fyet`,
    ]) {
      client.publish(topic)
      assert.equal((await raw.next(client)).cmd, 'puback', topic)
    }
  }
  const events = await raw.rig.events('event')
  assert.deepEqual(
    events.map((event) => event.kind === 'event' && [event.name, event.stamp]),
    [
      ['a+b', { epoch: 7, sequence: 1 }],
      ['c', { epoch: 7, sequence: 2 }],
    ],
  )
  const { reply } = await raw.rig.ended(id)
  assert.deepEqual([reply?.status, reply?.reason], ['failed', 'not/yet'])
  assert.equal((await raw.rig.events('reply')).length, 1)
  const wrong = await raw.connected({ clientId: 'wrong' })
  wrong.publish('stamped/7/events/a')
  await raw.ended(wrong)
})
