import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import mqtt from 'mqtt'
import { WebSocket } from 'ws'
import { mqttAdapter } from '../../../adapters/mqtt/index.ts'
import { AdapterRig, secretOf } from '../../support/adapter-subject.ts'
import { memorySubject } from '../../support/engine-memory.ts'
import { cert, key } from '../pike/certificate.ts'
import { RawRig } from './raw-client.ts'
import { mqttSubject } from './subject.ts'

const hello = [0x10, 0x0f, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, 0, 3, 0x72, 0x61, 0x77]

test('who does not finish its CONNECT in time is cut off', async (t) => {
  const raw = await RawRig.make(t)
  const silent = raw.client()
  const half = raw.client()
  half.write(hello.slice(0, 9))
  const slow = raw.client()
  await raw.rig.until('all are here', () => raw.figures.connections === 3)
  for (let i = 0; i < 11; i++) {
    if (!slow.closed) slow.write([hello[i]!])
    await raw.rig.pass(1_000)
  }
  for (const client of [silent, half, slow]) await raw.ended(client)
  assert.equal(raw.figures.connections, 0)
})

test('a claimed length is not believed, before CONNECT nor after', async (t) => {
  const raw = await RawRig.make(t)
  const before = process.memoryUsage().arrayBuffers
  const early = raw.client()
  early.write([0x10, 0xff, 0xff, 0xff, 0x7f])
  await raw.ended(early)
  const large = raw.client()
  large.write([0x10, 0xff, 0x7f])
  await raw.ended(large)
  const late = await raw.connected()
  late.write([0x30, 0xff, 0xff, 0xff, 0x7f])
  await raw.ended(late)
  assert.ok(process.memoryUsage().arrayBuffers - before < 4_000_000, 'nothing was held for it')
  assert.equal(raw.figures.malformed_total, 3)
})

const garbage: readonly (readonly [what: string, bytes: Buffer])[] = [
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')],
  ['TLS', Buffer.from('16030100a5010000a10303', 'hex')],
  ['Pike', Buffer.from('1005010203040506', 'hex')],
  ['zeros', Buffer.alloc(512)],
  ['ones', Buffer.alloc(512, 0xff)],
  ['a publish first', Buffer.from('300700056576732f61', 'hex')],
  ['a ping first', Buffer.from('c000', 'hex')],
]

test('what is no MQTT ends that connection, and nobody else notices', async (t) => {
  const raw = await RawRig.make(t)
  const bystander = await raw.subscribed()
  for (const [what, bytes] of garbage) {
    const client = raw.client()
    client.write(bytes)
    await raw.ended(client)
    assert.equal(client.packets.length, 0, what)
  }
  await raw.rig.submit()
  assert.equal((await raw.next(bystander)).cmd, 'publish')
})

test('a version nobody speaks and an identifier nobody may have are told so', async (t) => {
  const raw = await RawRig.make(t)
  const version = raw.client()
  version.write([0x10, 0x0c, 0, 4, 0x4d, 0x51, 0x54, 0x54, 6, 2, 0, 60, 0, 0])
  assert.equal((await raw.next(version)).returnCode, 1)
  await raw.ended(version)
  const nameless = raw.client()
  nameless.connect({ clientId: 'x'.repeat(200) })
  assert.equal((await raw.next(nameless)).returnCode, 2)
  await raw.ended(nameless)
})

test('__proto__ and constructor are client ids like others', async (t) => {
  const raw = await RawRig.make(t)
  for (const clientId of ['__proto__', 'constructor', 'toString']) {
    const client = await raw.connected({ clientId })
    client.publish('events/constructor')
    assert.equal((await raw.next(client)).cmd, 'puback')
  }
})

test('a second CONNECT, and what is no packet at all, end a client that was let in', async (t) => {
  const raw = await RawRig.make(t)
  const twice = await raw.connected()
  twice.connect()
  await raw.ended(twice)
  for (const bytes of [
    [0x30, 0x00],
    [0x32, 0x03, 0, 1, 0x61],
    [0x50, 0x02, 0, 1],
    [0xff, 0],
  ]) {
    const client = await raw.connected()
    client.write(bytes)
    await raw.ended(client)
  }
})

test('publishes at QoS 2 that are never let go of are bounded', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected()
  for (let messageId = 1; messageId <= 80; messageId++) {
    client.publish('events/a', '1', { qos: 2, messageId })
  }
  await raw.ended(client)
  assert.ok(client.packets.length <= 64, `${client.packets.length} PUBREC`)
  const again = await raw.connected()
  again.publish('events/a', '1', { qos: 2, messageId: 1 })
  assert.equal((await raw.next(again)).cmd, 'pubrec', 'a clean session begins anew')
})

test('clients that died with a publish at QoS 2 on the way, and may come back, shut nobody out', async (t) => {
  const raw = await RawRig.make(t)
  const answered = async (clientId: string, how: { dup?: boolean; messageId?: number } = {}) => {
    const client = await raw.connected({ clientId, clean: false })
    client.publish('events/a', clientId, { qos: 2, messageId: 1, ...how })
    assert.equal((await raw.next(client)).cmd, 'pubrec', clientId)
    client.socket.destroy()
    await raw.ended(client)
  }
  for (let i = 0; i < 70; i++) await answered(`dead-${i}`)
  await answered('dead-69', { dup: true })
  await answered('dead-0', { dup: true })
  const events = (await raw.rig.events('event')).map((event) =>
    event.kind === 'event' ? `${event.payload.toString()} ${event.maybeRepeat ?? false}` : '',
  )
  assert.equal(events.length, 71)
  assert.equal(events.at(-1), 'dead-0 true', 'it was forgotten: kept again, and said so')
})

test('a flood is read no faster than it is kept', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected()
  const count = 3_000
  for (let i = 1; i <= count; i++) client.publish('events/a', '{"a":1}', { messageId: i })
  await raw.rig.until('all are answered', () => client.packets.length === count)
  assert.deepEqual(
    client.packets.map((packet) => packet.messageId),
    Array.from({ length: count }, (_, i) => i + 1),
  )
})

test('what is no event name, and what is too large, ends its connection', async (t) => {
  const raw = await RawRig.make(t)
  const long = await raw.connected()
  long.publish(`events/${'n'.repeat(129)}`)
  await raw.ended(long)
  const large = await raw.connected()
  large.publish('events/a', 'x'.repeat(49_153))
  await raw.ended(large)
  assert.equal((await raw.rig.events('event')).length, 0)
})

for (const limit of ['connectionsMax', 'connectionsPerAddress']) {
  test(`no more connections than there may be, whatever they are: ${limit}`, async (t) => {
    const rig = await AdapterRig.make(t, mqttSubject(memorySubject, 4))
    const core = Object.create(rig.hub, {
      limits: { value: { ...rig.hub.limits, [limit]: 2 } },
    }) as typeof rig.hub
    const adapter = mqttAdapter({ host: '127.0.0.1', port: 0, webSocketPort: 0 })
    const [tcp, web] = await adapter.start(core)
    t.after(() => adapter.stop(0))
    const sockets = [tcp, web, tcp, web].map((one) => {
      const socket = connect({ host: '127.0.0.1', port: one!.port })
      socket.on('error', () => {})
      t.after(() => socket.destroy())
      return socket
    })
    await rig.until('two are closed', () => sockets.filter((one) => one.destroyed).length === 2)
    assert.equal(adapter.figures().connections_refused_total, 2)
  })
}

test('while the store is away nobody is let in, and is told so', async (t) => {
  const raw = await RawRig.make(t)
  const { breakage } = memorySubject
  assert.ok(breakage !== undefined, 'this store can break')
  const client = await raw.connected()
  await breakage.break(raw.rig.engine, 'full')
  client.publish('events/a')
  await raw.ended(client)
  assert.equal(client.packets.length, 0, 'not acknowledged')
  const late = raw.client()
  late.connect()
  assert.equal((await raw.next(late)).returnCode, 3)
  await breakage.mend(raw.rig.engine)
})

test('a stop closes all, also those that say nothing', async (t) => {
  const raw = await RawRig.make(t, { webSocketPort: 0 })
  const client = await raw.subscribed()
  const silent = raw.client()
  const web = connect({ host: '127.0.0.1', port: raw.door.listeners[1]!.port })
  web.on('error', () => {})
  await raw.rig.until('all are here', () => raw.figures.connections === 2)
  let stopped = false
  void raw.door.adapter.stop(1_000).then(() => {
    stopped = true
  })
  await raw.rig.until('it has stopped', () => stopped)
  await raw.rig.until('all are closed', () => client.closed && silent.closed && web.destroyed)
})

test('a stop acknowledges what was said before it', async (t) => {
  const raw = await RawRig.make(t)
  const client = await raw.connected()
  client.publish('events/a', '1', { messageId: 5 })
  client.publish('events/b', '1', { messageId: 6, qos: 2 })
  await raw.rig.until('it is on its way', () => raw.figures.packets_in_total === 3)
  void raw.door.adapter.stop(5_000)
  await raw.ended(client)
  assert.deepEqual(
    client.packets.map(({ cmd }) => cmd),
    ['puback', 'pubrec'],
  )
})

test('over TLS, and a handshake that does not end', async (t) => {
  const raw = await RawRig.make(t, { port: 'off', tls: { port: 0, cert, key } })
  const { port } = raw.door.listeners[0]!
  const client = raw.client(
    connectTls({ host: '127.0.0.1', port, ca: cert, servername: 'localhost' }),
  )
  client.connect()
  assert.equal((await raw.next(client)).returnCode, 0)
  client.publish('events/a')
  assert.equal((await raw.next(client)).cmd, 'puback')
  const half = raw.client(connect({ host: '127.0.0.1', port }))
  half.write([0x16, 3, 1, 0, 0xa5])
  await raw.rig.pass(11_000)
  assert.deepEqual([client.closed, half.closed], [false, true])
})

test('over WebSocket, at /mqtt, as mqtt, in binary', async (t) => {
  const raw = await RawRig.make(t, { webSocketPort: 0 })
  const port = raw.door.listeners.find(({ name }) => name === 'mqtt-ws')!.port
  const url = `ws://127.0.0.1:${port}/mqtt`
  for (const protocolVersion of [4, 5] as const) {
    const client = mqtt.connect(url, {
      protocolVersion,
      username: 'locker',
      password: secretOf('locker'),
      reconnectPeriod: 0,
    })
    t.after(() => client.end(true))
    const got: string[] = []
    client.on('message', (topic) => got.push(topic))
    client.subscribe('commands/#', { qos: 1 })
    await raw.rig.until('it is attached', () => raw.rig.hub.figures().sessions === 2)
    const id = await raw.rig.submit({ payload: Buffer.alloc(40_000, 'x') })
    assert.equal((await raw.rig.ended(id)).status, 'delivered')
    assert.deepEqual(got, [`commands/${id}/open`])
    let acknowledged = false
    client.publish('events/a', 'x'.repeat(40_000), { qos: 1 }, () => {
      acknowledged = true
    })
    await raw.rig.until('acknowledged', () => acknowledged)
    client.end(true)
    await raw.rig.until('it is gone', () => raw.rig.hub.figures().sessions === 0)
  }
  const refusals = [
    [`ws://127.0.0.1:${port}/other`, ['mqtt'], /404/],
    [url, ['chat'], /400/],
    [url, [], /400/],
  ] as const
  for (const [address, protocols, says] of refusals) {
    let error = ''
    const socket = new WebSocket(address, [...protocols])
    socket.on('error', (one) => {
      error = one.message
    })
    await raw.rig.until('it is refused', () => error !== '')
    assert.match(error, says)
  }
  let code = 0
  const text = new WebSocket(url, ['mqtt'])
  text.on('open', () => text.send('text'))
  text.on('close', (one) => {
    code = one
  })
  await raw.rig.until('it is closed', () => code !== 0)
  assert.ok(code === 1003 || code === 1006 || code === 1005, `closed with ${code}`)
  const plain = await fetch(`http://127.0.0.1:${port}/mqtt`)
  assert.equal(plain.status, 426)
})

test('a slow reader is written to as much as it may have, and no further', async (t) => {
  const raw = await RawRig.make(t)
  const slow = await raw.subscribed()
  slow.socket.pause()
  const payload = Buffer.alloc(48_000, 'x')
  for (let i = 0; i < 12; i++) await raw.rig.submit({ payload })
  for (let i = 0; i < 12; i++) await raw.rig.submit({ payload, channel: 'urgent' })
  await raw.rig.calm()
  await raw.rig.register('quick')
  const quick = await raw.connected({
    username: 'quick',
    password: Buffer.from(secretOf('quick')),
    clientId: 'quick',
  })
  quick.publish('events/a')
  assert.equal((await raw.next(quick)).cmd, 'puback')
  slow.socket.resume()
  let got = 0
  while (got < 24) {
    const packet = await raw.next(slow)
    assert.equal(packet.cmd, 'publish')
    slow.send({ cmd: 'puback', messageId: packet.messageId })
    got++
  }
})
