import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { generate, type Packet } from 'mqtt-packet'
import { seeded } from '../../cli/seeded.ts'
import {
  type Command,
  type DeviceStorage,
  memoryStorage,
  mqtt5Session,
  mqttSession,
  PikeClient,
  type PikeClientOptions,
  type Respond,
  type SendReport,
  type StorageChange,
} from '../../devices/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turn, until } from '../support/turns.ts'
import { commandPacket, MqttPeer, type PeerLink, type Version } from './mqtt-peer.ts'

const versions: readonly Version[] = [4, 5]
const name = (version: Version): string => (version === 5 ? 'MQTT 5' : 'MQTT 3.1.1')

interface Rig {
  readonly client: PikeClient
  readonly peer: MqttPeer
  readonly received: Command[]
  readonly succeeded: SendReport[]
  readonly failed: (SendReport & { readonly reason: string })[]
  /** What the application does with a command. */
  act: (command: Command, respond: Respond) => unknown
}

async function rig(
  t: TestContext,
  version: Version,
  options: Partial<PikeClientOptions> = {},
): Promise<Rig> {
  const peer = await MqttPeer.listen(t, version)
  const client = new PikeClient({
    host: '127.0.0.1',
    port: peer.port,
    device: 'SZ-0042',
    secret: 'a-secret-of-at-least-22-characters',
    reconnect: { baseMs: 1, maxMs: 1 },
    random: () => 0,
    session: version === 5 ? mqtt5Session : mqttSession,
    ...options,
  })
  const made: Rig = { client, peer, received: [], succeeded: [], failed: [], act: () => {} }
  client.on('receive', (command, respond) => {
    made.received.push(command)
    return made.act(command, respond)
  })
  client.on('sendSuccess', (report) => made.succeeded.push(report))
  client.on('sendFailure', (report) => made.failed.push(report))
  t.after(() => client.stop())
  client.start()
  return made
}

async function running(
  t: TestContext,
  version: Version,
  options: Partial<PikeClientOptions> = {},
  granted: object = {},
): Promise<Rig & { link: PeerLink }> {
  const made = await rig(t, version, options)
  const link = await made.peer.link()
  await link.welcome(granted)
  await state(made.client, 'running')
  return Object.assign(made, { link })
}

async function state(client: PikeClient, kind: PikeClient['state']['kind']): Promise<void> {
  await until(() => client.state.kind === kind)
}

/** Settles what is to be durable only when told. */
class HeldStorage implements DeviceStorage {
  readonly #inner = memoryStorage()
  #held: (() => void)[] = []
  isHeld = false

  load() {
    return this.#inner.load()
  }

  commit(changes: readonly StorageChange[], settled?: (error?: Error) => void): void {
    const commit = (): void => this.#inner.commit(changes, settled)
    if (this.isHeld) this.#held.push(commit)
    else commit()
  }

  close(): void {}

  get waiting(): number {
    return this.#held.length
  }

  release(): void {
    this.isHeld = false
    for (const commit of this.#held.splice(0)) commit()
  }
}

/** Nothing more comes: whatever was on its way has been said by the answer to a ping-pong of ours. */
async function quiet(link: PeerLink, client: PikeClient): Promise<void> {
  const sent = client.send('probe', undefined, { reliable: false })
  assert.deepEqual(await sent, { kind: 'written' })
  const { topic } = await link.next('publish')
  assert.match(topic, /events\/probe$/)
}

for (const version of versions) {
  const says = (text: string, run: (t: TestContext) => Promise<void>) =>
    test(`${name(version)}: ${text}`, run)

  says('it connects as its device, with a clean session, and asks for each channel', async (t) => {
    const { peer, client } = await rig(t, version, {
      app: 'acme',
      channels: ['main', 'urgent', 'media'],
      keepalive: { minS: 10, maxS: 90 },
    })
    const link = await peer.link()
    const [connect, subscribe] = await link.welcome()
    assert.equal(connect.protocolVersion, version)
    assert.equal(connect.clientId, 'SZ-0042')
    assert.equal(connect.username, 'acme/SZ-0042')
    assert.equal(connect.clean, true)
    assert.equal(connect.keepalive, 90)
    const prefix = version === 5 ? '' : 'detailed/'
    assert.deepEqual(
      subscribe.subscriptions.map(({ topic, qos }: { topic: string; qos: number }) => [topic, qos]),
      ['main', 'urgent', 'media'].map((one) => [`${prefix}channels/${one}/commands/#`, 1]),
    )
    await state(client, 'running')
    if (version === 5) assert.equal(connect.properties.receiveMaximum, 32)
  })

  says('a command is acknowledged once its position is stored, not before', async (t) => {
    const storage = new HeldStorage()
    const { link, client, received } = await running(t, version, { storage })
    storage.isHeld = true
    link.command({ offset: 1, payload: '{"door":3}', now: true, reply: true })
    await until(() => storage.waiting !== 0)
    await quiet(link, client)
    const [command] = received
    assert.deepEqual(command?.json(), { door: 3 })
    assert.deepEqual(
      [command?.id, command?.now, command?.replyExpected, command?.repeated],
      ['SZ-0042:main:jr:1', true, true, false],
    )
    assert.deepEqual(link.waiting, [])
    storage.release()
    assert.equal((await link.next('puback')).messageId, 1)
  })

  says('while the application acts, events and answers pass by', async (t) => {
    const made = await running(t, version)
    const { link, client } = made
    let done = (): void => {}
    made.act = () => new Promise<void>((resolve) => (done = resolve))
    link.command({ offset: 1 })
    await until(() => made.received.length !== 0)
    const sent = client.send('temperature', { celsius: 4 })
    const { messageId, qos, topic, payload, dup, properties } = await link.next('publish')
    assert.deepEqual([qos, dup, String(payload)], [1, false, '{"celsius":4}'])
    if (version === 5) {
      assert.equal(topic, 'channels/main/events/temperature')
      assert.match(properties.userProperties['pike-stamp'], /^[1-9]\d*\.1$/)
      assert.equal(properties.contentType, 'application/json')
    } else assert.match(topic, /^stamped\/[1-9]\d*\.1\/channels\/main\/events\/temperature$/)
    link.puback(messageId)
    assert.deepEqual(await sent, { kind: 'kept', sequence: 1 })
    assert.deepEqual(link.waiting, [])
    done()
    assert.equal((await link.next('puback')).messageId, 1)
  })

  says('what it acted on before is acknowledged again and not handed on', async (t) => {
    const { link, client, peer, received } = await running(t, version)
    link.command({ offset: 5 })
    await link.next('puback')
    link.destroy()
    await state(client, 'starting')
    const again = await peer.link()
    await again.welcome()
    again.command({ offset: 4, id: 70, dup: true })
    again.command({ offset: 5, id: 71, dup: true })
    again.command({ offset: 6, id: 72, dup: true })
    for (const id of [70, 71, 72]) assert.equal((await again.next('puback')).messageId, id)
    assert.deepEqual(
      received.map(({ offset, repeated }) => [offset, repeated]),
      [
        [5, false],
        [6, true],
      ],
    )
  })

  says('commands of two epochs are told apart by their places', async (t) => {
    const { link, received } = await running(t, version)
    link.command({ offset: 5, epoch: 711 })
    link.command({ offset: 6, epoch: 4_294_967_295 })
    assert.equal((await link.next('puback')).messageId, 5)
    assert.equal((await link.next('puback')).messageId, 6)
    assert.deepEqual(
      received.map(({ id }) => id),
      ['SZ-0042:main:jr:5', 'SZ-0042:main:1z141z3:6'],
    )
  })

  says('a reply goes before its command is acknowledged, and again until it is kept', async (t) => {
    const made = await running(t, version)
    const { link, client, peer } = made
    made.act = (_command, respond) => {
      void respond({ status: 'failed', reason: 'jam/med', payload: 7 })
    }
    link.command({ offset: 1, reply: true })
    const reply = await link.next('publish')
    const check = ({ topic, payload, properties }: typeof reply): void => {
      assert.equal(String(payload), '7')
      if (version === 5) {
        assert.equal(topic, 'replies/SZ-0042:main:jr:1')
        const { 'pike-status': status, 'pike-reason': reason } = properties.userProperties
        assert.deepEqual([status, reason], ['failed', 'jam/med'])
      } else assert.match(topic, /^stamped\/\d+\.1\/replies\/SZ-0042:main:jr:1\/failed\/jam%2Fmed$/)
    }
    check(reply)
    assert.equal((await link.next('puback')).messageId, 1)
    link.destroy()
    await state(client, 'starting')
    const again = await peer.link()
    await again.welcome()
    const repeat = await again.next('publish')
    check(repeat)
    const stamp = (one: typeof reply): string =>
      version === 5 ? one.properties.userProperties['pike-stamp'] : one.topic.split('/')[1]
    assert.equal(stamp(repeat), stamp(reply))
    again.puback(repeat.messageId)
    await until(() => made.succeeded.length !== 0)
    assert.equal(client.outboxSize, 0)
  })

  says('a late command is refused, and acknowledged once the refusal is kept', async (t) => {
    const made = await running(t, version)
    const { link, client, received } = made
    const late: Command[] = []
    client.on('late', (command) => late.push(command))
    link.command({ offset: 1, expiresAtMs: Date.now() - 1_000, leftMs: 0 })
    link.command({ offset: 2 })
    const refusal = await link.next('publish')
    if (version === 5) assert.equal(refusal.properties.userProperties['pike-reason'], 'late')
    else assert.match(refusal.topic, /rejected\/late$/)
    // The one behind it is not held up by that.
    assert.equal((await link.next('puback')).messageId, 2)
    await quiet(link, client)
    assert.deepEqual(link.waiting, [])
    link.puback(refusal.messageId)
    assert.equal((await link.next('puback')).messageId, 1)
    assert.deepEqual([late.length, received.length], [1, 1])
  })

  says('a refusal that was not kept goes first when its command comes again', async (t) => {
    const { link, client, peer } = await running(t, version)
    const gone = { offset: 1, expiresAtMs: Date.now() - 1_000, leftMs: 0 }
    link.command(gone)
    await link.next('publish')
    link.destroy()
    await state(client, 'starting')
    const again = await peer.link()
    await again.welcome()
    again.command({ ...gone, id: 9, dup: true })
    const refusal = await again.next('publish')
    await quiet(again, client)
    assert.deepEqual(again.waiting, [], 'not acknowledged yet')
    again.puback(refusal.messageId)
    assert.equal((await again.next('puback')).messageId, 9)
  })

  says('a clock that runs behind lets no command live longer than it had left', async (t) => {
    const made = await running(t, version, {
      clock: skewedClock(-24 * 3_600_000),
    })
    made.link.command({ offset: 1, expiresAtMs: Date.now() + 5_000, leftMs: 5_000 })
    await until(() => made.received.length !== 0)
    const leftMs = made.received[0]!.expiresAtMs - (Date.now() - 24 * 3_600_000)
    assert.ok(leftMs <= 5_100, `${leftMs} ms are left`)
  })

  says('acknowledgements in any order: what is kept is told in order', async (t) => {
    const { link, client, succeeded } = await running(t, version)
    for (const name of ['a', 'b', 'c']) void client.send(name)
    const ids: number[] = []
    for (let i = 0; i < 3; i++) ids.push((await link.next('publish')).messageId!)
    link.puback(ids[2]!)
    link.puback(ids[1]!)
    await quiet(link, client)
    assert.equal(client.outboxSize, 3)
    link.puback(ids[0]!)
    await until(() => succeeded.length >= 3)
    assert.deepEqual(
      succeeded.map(({ name }) => name),
      ['a', 'b', 'c'],
    )
  })

  says('more commands than it takes at once wait with it, in order', async (t) => {
    const made = await running(t, version)
    const { link, received } = made
    let release: (() => void)[] = []
    made.act = () => new Promise<void>((resolve) => release.push(resolve))
    for (let offset = 1; offset <= 40; offset++) link.command({ offset })
    for (let offset = 1; offset <= 40; offset++) {
      await until(() => release.length !== 0)
      assert.equal(release.length, 1, 'one at a time')
      const [done] = release
      release = []
      done!()
      assert.equal((await link.next('puback')).messageId, offset)
    }
    assert.deepEqual(
      received.map(({ offset }) => offset),
      Array.from({ length: 40 }, (_, i) => i + 1),
    )
  })

  says('an event no topic can name is named all the same', async (t) => {
    const { link, client } = await running(t, version)
    void client.send('a/b+c#d%')
    const { topic, properties } = await link.next('publish')
    assert.match(topic, /channels\/main\/events\/a%2Fb%2Bc%23d%25$/)
    if (version === 5) assert.equal(properties.userProperties['pike-name'], 'a/b+c#d%')
  })

  says('it says goodbye when it stops, and leaves nothing open', async (t) => {
    const { link, client } = await running(t, version)
    const stopped = client.stop()
    await link.next('disconnect')
    await stopped
    await link.ended()
    assert.deepEqual(client.state, { kind: 'stopped', reason: { kind: 'asked' } })
  })

  const nonsense: readonly (readonly [what: string, say: (link: PeerLink) => void])[] = [
    [
      'a packet that is too long',
      (link) => link.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])),
    ],
    ['a length without an end', (link) => link.write(Buffer.alloc(8, 0xff))],
    ['a second CONNACK', (link) => link.admit()],
    ['a command nobody can read', (link) => link.send({ ...unreadable, topic: 'commands/x/open' })],
    ['a command of no channel of ours', (link) => link.command({ offset: 1, channel: 'media' })],
    ['a command at QoS 0', (link) => link.send({ ...unreadable, qos: 0, messageId: 0 })],
    ['a command at QoS 2', (link) => link.send({ ...unreadable, qos: 2 })],
    [
      'a command out of order',
      (link) => {
        link.command({ offset: 2 })
        link.command({ offset: 1, id: 9 })
      },
    ],
    [
      'bytes that are no MQTT',
      (link) => link.write(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')),
    ],
    ['packet type 0', (link) => link.write(Buffer.from([0x00, 0x00]))],
    ['a topic alias', (link) => link.send({ ...unreadable, properties: { topicAlias: 3 } })],
    [
      'a SUBACK for what nobody asked',
      (link) => link.send({ cmd: 'suback', messageId: 77, granted: [1] }),
    ],
  ]
  for (const [what, say] of nonsense) {
    says(`${what}: nothing is thrown, and it comes back`, async (t) => {
      const { link, client, peer } = await running(t, version)
      say(link)
      if (what === 'a SUBACK for what nobody asked') return void (await quiet(link, client))
      await link.ended()
      const again = await peer.link()
      await again.welcome()
      await state(client, 'running')
    })
  }

  says('a gateway that says too much before it lets anybody in is left', async (t) => {
    const { peer, client } = await rig(t, version)
    const link = await peer.link()
    await link.next('connect')
    link.write(Buffer.from([0x20, 0x80, 0x10]))
    await link.ended()
    const again = await peer.link()
    await again.welcome()
    await state(client, 'running')
  })

  says('a gateway that falls silent is asked, then left', async (t) => {
    const clock = new ManualClock()
    const { link, peer, client } = await running(t, version, { clock })
    clock.advance(60_000)
    await link.next('pingreq')
    link.send({ cmd: 'pingresp' })
    link.command({ offset: 1, expiresAtMs: clock.nowMs() + 1_000 })
    await link.next('puback')
    void client.send('a')
    await link.next('publish')
    // Overdue is a question, its silence the answer.
    clock.advance(2_000)
    await link.next('pingreq')
    clock.advance(2_000)
    await link.ended()
    clock.advance(1_000)
    const again = await peer.link()
    await again.welcome()
    assert.match((await again.next('publish')).topic, /events\/a$/)
  })

  says('nothing of a dead connection arrives later: it is reset', async (t) => {
    const clock = new ManualClock()
    const { link } = await running(t, version, { clock })
    clock.advance(60_000)
    clock.advance(10_000)
    await link.ended()
    assert.ok(link.wasReset, 'RST and no FIN')
  })

  const refusals: readonly (readonly [code: number, why: string, kind: string, code: number])[] =
    version === 4
      ? [
          [1, 'another version', 'stopped', 196],
          [2, 'its client id', 'stopped', 193],
          [3, 'not now', 'waiting', 0],
          [4, 'the secret', 'stopped', 197],
          [5, 'not authorized', 'stopped', 198],
        ]
      : [
          [0x84, 'another version', 'stopped', 196],
          [0x86, 'the secret', 'stopped', 197],
          [0x87, 'removed', 'stopped', 198],
          [0x88, 'not now', 'waiting', 0],
          [0x97, 'a limit', 'waiting', 0],
          [0x9f, 'too many attempts', 'waiting', 0],
        ]
  for (const [code, why, kind, closeCode] of refusals) {
    says(`refused for ${why}: it is ${kind}`, async (t) => {
      const { peer, client } = await rig(t, version, { reconnect: { baseMs: 60_000, maxMs: 1 } })
      const link = await peer.link()
      await link.next('connect')
      const said = version === 5 ? { reasonCode: code, properties: {} } : { returnCode: code }
      link.send({ cmd: 'connack', sessionPresent: false, ...said })
      await link.ended()
      await state(client, kind as 'stopped')
      const { state: at } = client
      if (at.kind === 'stopped')
        assert.equal(at.reason.kind === 'refused' && at.reason.code, closeCode)
    })
  }

  says('a channel the gateway does not give: it stops, and says which', async (t) => {
    const { peer, client } = await rig(t, version, { channels: ['main', 'media'] })
    const link = await peer.link()
    await link.next('connect')
    link.admit()
    const { messageId } = await link.next('subscribe')
    link.send({ cmd: 'suback', messageId, granted: [1, version === 5 ? 0x8f : 0x80] })
    await state(client, 'stopped')
    const { state: at } = client
    assert.ok(at.kind === 'stopped' && at.reason.kind === 'refused', 'refused')
    assert.equal(at.reason.code, 195)
    assert.match(at.reason.text, /media/)
    await link.ended()
  })
}

/** What a gateway would say, with some bytes of it changed, left out or said again. */
function garbled(version: Version, random: () => number): Buffer {
  const options = { protocolVersion: version }
  const user = { userProperties: { 'pike-time': new Date().toISOString() } }
  const said = [
    version === 5
      ? { cmd: 'connack', sessionPresent: false, reasonCode: 0, properties: user }
      : { cmd: 'connack', sessionPresent: false, returnCode: 0 },
    { cmd: 'suback', messageId: 1, granted: [1, 1] },
    commandPacket(version, { offset: 1 }),
    { cmd: 'puback', messageId: 1 },
    { cmd: 'pubrec', messageId: 2 },
    { cmd: 'pubrel', messageId: 3 },
    { cmd: 'pingresp' },
    ...(version === 5 ? [{ cmd: 'disconnect', reasonCode: 0x8b, properties: user }] : []),
  ]
  // In this order often enough to get far, else in any.
  const order = random() < 0.7 ? said : said.sort(() => random() - 0.5)
  const bytes = Buffer.concat(order.map((one) => generate(one as unknown as Packet, options)))
  const changes = 1 + Math.floor(random() * 4)
  for (let i = 0; i < changes; i++) {
    const at = Math.floor(random() * bytes.length)
    const way = random()
    if (way < 0.5) bytes[at] = Math.floor(random() * 256)
    else if (way < 0.8) bytes[at]! ^= 1 << Math.floor(random() * 8)
    else bytes.copyWithin(at, Math.floor(random() * bytes.length))
  }
  return bytes.subarray(0, Math.ceil(random() * bytes.length * 1.2))
}

for (const version of versions) {
  test(`${name(version)}: 300 gateways that garble what they say: nothing is thrown, the next is used`, async (t) => {
    const random = seeded(version)
    // As long as it takes is not long: a refusal for good is asked to be tried again.
    const { peer, client, received } = await rig(t, version, { reconnect: { baseMs: 1, maxMs: 1 } })
    const again = (): unknown => setImmediate(() => client.restart())
    client.on('stopped', again)
    for (let i = 0; i < 300; i++) {
      // Whatever it was told, e.g. to come back in an hour.
      if (client.state.kind === 'waiting' && client.state.untilMs > Date.now() + 100)
        client.restart()
      const link = await peer.link()
      await link.until(() => link.waiting.length > 0 || link.closed, 'a CONNECT')
      link.write(garbled(version, random))
      await turn()
      await turn()
      link.destroy()
      await until(() => client.state.kind !== 'running')
    }
    client.off('stopped', again)
    client.restart()
    let link = await peer.link()
    while (link.closed || (await connects(link)) === undefined) link = await peer.link()
    const before = received.length
    link.admit()
    const { messageId } = await link.next('subscribe')
    link.send({ cmd: 'suback', messageId, granted: [1, 1] })
    await state(client, 'running')
    link.command({ offset: 1_000_000, epoch: 7, id: 9 })
    await link.until(() => link.waiting.includes('puback'), 'its PUBACK')
    assert.equal(received.length, before + 1)
  })
}

async function connects(link: PeerLink): Promise<'connect' | undefined> {
  await link.until(() => link.waiting.length > 0 || link.closed, 'a CONNECT')
  if (link.waiting.length === 0) return undefined
  await link.next('connect')
  return 'connect'
}

const waits = async (client: PikeClient): Promise<number> => {
  await state(client, 'waiting')
  assert.ok(client.state.kind === 'waiting', 'waiting')
  return client.state.untilMs
}

test('MQTT 5: it is told why it is let go, and when to come back', async (t) => {
  const clock = new ManualClock()
  const backoff = { clock, reconnect: { baseMs: 1_000, maxMs: 60_000 }, random: () => 0.5 }
  for (const [reasonCode, after, untilMs] of [
    [0x8b, '0.8', 800 + 500],
    [0x8b, undefined, 500],
    [0x8e, undefined, 500 + 500],
    [0x97, '60', 60_000 + 500],
    [0x89, undefined, 500 + 500],
  ] as const) {
    const { link, client } = await running(t, 5, backoff)
    const userProperties = after === undefined ? {} : { 'pike-retry-after': after }
    const properties = after === undefined ? {} : { userProperties }
    link.send({ cmd: 'disconnect', reasonCode, properties })
    assert.equal((await waits(client)) - clock.nowMs(), untilMs, `0x${reasonCode.toString(16)}`)
    await link.ended()
    assert.deepEqual(link.waiting, [], 'no DISCONNECT in answer to one')
    await client.stop()
  }
  const { link, client } = await running(t, 5, backoff)
  link.send({ cmd: 'disconnect', reasonCode: 0x87, properties: { reasonString: 'removed' } })
  await state(client, 'stopped')
})

test('MQTT 5: a channel that is not had for now: DISCONNECT says when to come back', async (t) => {
  const clock = new ManualClock()
  const backoff = { clock, reconnect: { baseMs: 1_000, maxMs: 60_000 }, random: () => 0.5 }
  for (const [after, untilMs] of [
    ['60', 60_000 + 500],
    [undefined, 500 + 500],
  ] as const) {
    const { peer, client } = await rig(t, 5, backoff)
    const link = await peer.link()
    await link.next('connect')
    link.admit()
    const { messageId } = await link.next('subscribe')
    link.send({ cmd: 'suback', messageId, granted: [0x97, 1] })
    if (after === undefined) link.end()
    else {
      const properties = { userProperties: { 'pike-retry-after': after } }
      link.send({ cmd: 'disconnect', reasonCode: 0x97, properties })
    }
    assert.equal((await waits(client)) - clock.nowMs(), untilMs)
    await client.stop()
  }
})

test('MQTT 5: an event that the gateway does not take is never called kept', async (t) => {
  const made = await running(t, 5)
  const { link, client } = made
  for (const [code, kind] of [
    [0x97, 'failed'],
    [0x99, 'failed'],
    [0x83, 'failed'],
    // A name it does not like, or a channel it has not: `main` every device has.
    [0x90, 'failed'],
  ] as const) {
    const sent = client.send('a')
    link.puback((await link.next('publish')).messageId, code)
    assert.equal((await sent).kind, kind, `0x${code.toString(16)}`)
  }
  assert.deepEqual(
    made.failed.map(({ reason }) => reason),
    ['too-large', 'refused', 'stale-stamp', 'refused'],
  )
  const sent = client.send('a')
  link.puback((await link.next('publish')).messageId, 0x87)
  await link.ended()
  const again = await made.peer.link()
  await again.welcome()
  again.puback((await again.next('publish')).messageId)
  assert.deepEqual(await sent, { kind: 'kept', sequence: 5 })
})

test('MQTT 5: a topic that is refused is the fault of its channel, where not every device has that', async (t) => {
  const { link, client } = await running(t, 5, { channels: ['main', 'media'] })
  const sent = client.send('a', undefined, { channel: 'media' })
  link.puback((await link.next('publish')).messageId, 0x90)
  assert.deepEqual(await sent, { kind: 'failed', reason: 'unknown-channel' })
})

test('MQTT 5: no more is out than the gateway takes, and nothing larger than it takes', async (t) => {
  const { link, client } = await running(t, 5, {}, { receiveMaximum: 3, maximumPacketSize: 2_000 })
  for (const channel of ['main', 'urgent']) {
    for (let i = 0; i < 3; i++) void client.send('a', undefined, { channel })
  }
  const ids: (number | undefined)[] = []
  for (let i = 0; i < 3; i++) ids.push((await link.next('publish')).messageId)
  await quiet(link, client)
  for (let i = 0; i < 3; i++) {
    link.puback(ids[i])
    ids.push((await link.next('publish')).messageId)
  }
  for (const id of ids.slice(3)) link.puback(id)
  assert.deepEqual(await client.send('a', 'x'.repeat(2_000)), {
    kind: 'failed',
    reason: 'too-large',
  })
  const small = client.send('a')
  link.puback((await link.next('publish')).messageId)
  assert.equal((await small).kind, 'kept')
})

test('MQTT 5: deadlines are read by the gateway’s clock, and its keep-alive holds', async (t) => {
  const clock = new ManualClock()
  const gatewayMs = clock.nowMs() + 3 * 3_600_000
  const granted = {
    serverKeepAlive: 20,
    userProperties: { 'pike-time': new Date(gatewayMs).toISOString() },
  }
  const { link, client, received } = await running(t, 5, { clock }, granted)
  link.command({ offset: 1, expiresAtMs: gatewayMs + 30_000, leftMs: 31_000 })
  await link.next('puback')
  assert.equal(received[0]?.expiresAtMs, clock.nowMs() + 30_000)
  clock.advance(20_000)
  await link.next('pingreq')
  await client.stop()
})

const unreadable = {
  ...({ cmd: 'publish', qos: 1, messageId: 1, dup: false, retain: false } as const),
  ...{ topic: 'commands/x/open', payload: '{}' },
}

/** Runs with real time, but shows another: a device whose clock is wrong, or whose time was lost. */
function skewedClock(offsetMs: number) {
  return {
    offsetMs,
    nowMs(): number {
      return Date.now() + this.offsetMs
    },
    at(atMs: number, _name: string, run: () => void) {
      const timer = setTimeout(run, Math.min(atMs - this.nowMs(), 2 ** 31 - 1))
      return { cancel: () => clearTimeout(timer) }
    },
  }
}
