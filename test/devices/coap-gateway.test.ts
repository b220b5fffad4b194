import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fair } from '../../cli/weather/conditions.ts'
import { relayDatagrams } from '../../cli/weather/datagram-relay.ts'
import { deviceClock } from '../../devices/clock.ts'
import {
  type Command,
  coapSession,
  type DeviceStorage,
  fileStorage,
  PikeClient,
  type PikeClientOptions,
  type RunningLocker,
  runLocker,
  type StorageChange,
} from '../../devices/index.ts'
import type { Clock } from '../../src/contract/index.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { until } from '../support/turns.ts'

const secret = 'a-secret-of-27-characters-x'

let gateway: GatewayProcess
let folder: string

const command = (device: string, body: object, waitS = 20) =>
  gateway.api(
    'POST',
    `/v1/devices/${device}/commands`,
    { name: 'open', expect: 'reply', ...body },
    waitS === 0 ? {} : { prefer: `wait=${waitS}` },
  )

/** How it ended. */
async function ended(id: string): Promise<string> {
  for (;;) {
    const { body } = await gateway.api('GET', `/v1/commands/${id}`)
    const open = ['queued', 'sent', 'scheduled', ...(body.expect === 'reply' ? ['delivered'] : [])]
    if (!open.includes(body.status)) return body.status
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Resolves with what came of it. */
const next = (client: PikeClient, name: 'running' | 'stopped'): Promise<unknown> =>
  new Promise((resolve) => client.once(name, resolve))

const optionsOf = (device: string, more: Partial<PikeClientOptions> = {}): PikeClientOptions => ({
  ...{ host: '127.0.0.1', port: gateway.port('coap'), device, secret, session: coapSession },
  reconnect: { baseMs: 50, maxMs: 200 },
  ...more,
})

async function register(device: string, body: object = {}): Promise<void> {
  const { status } = await gateway.api('PUT', `/v1/devices/${device}`, { secret, ...body })
  assert.ok(status === 200 || status === 201, `registered: ${status}`)
}

/** A client that keeps what it is given; `act` says what it does with it. */
async function device(
  t: { after(run: () => unknown): void },
  name: string,
  more: Partial<PikeClientOptions> = {},
) {
  const client = new PikeClient(optionsOf(name, more))
  const received: Command[] = []
  const made = {
    client,
    received,
    act: (_command: Command): unknown => undefined,
  }
  client.on('receive', async (one, respond) => {
    received.push(one)
    await made.act(one)
    if (one.replyExpected) void respond({ status: 'done', payload: one.json() })
  })
  t.after(() => client.stop())
  const running = next(client, 'running')
  client.start()
  await running
  return made
}

/** At the chosen moment the power goes: with what was just to be stored, or without it. */
class DyingStorage implements DeviceStorage {
  readonly #inner: DeviceStorage
  /** Of commits with a position. */
  dies: 'before' | 'after' | undefined

  constructor(path: string) {
    this.#inner = fileStorage(path)
  }

  load() {
    return this.#inner.load()
  }

  commit(changes: readonly StorageChange[], settled?: (error?: Error) => void): void {
    const dead = new Error('the power is gone')
    if (this.dies === undefined || !changes.some(({ kind }) => kind === 'position'))
      this.#inner.commit(changes, settled)
    else if (this.dies === 'before') settled?.(dead)
    else this.#inner.commit(changes, () => settled?.(dead))
  }

  close() {
    return this.#inner.close()
  }
}

describe('a client over CoAP and a real gateway', () => {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pike-coap-'))
    gateway = await startGateway()
  })
  after(async () => {
    await gateway.stop()
    await rm(folder, { recursive: true, force: true })
  })

  test('commands of both channels and their replies, events and large things both ways', async (t) => {
    await register('SZ-1')
    const made = await device(t, 'SZ-1')
    const large = 'y'.repeat(20_000)
    const answers = await Promise.all([
      command('SZ-1', { payload: { door: 1 } }),
      command('SZ-1', { payload: { door: 2 }, channel: 'urgent' }),
      command('SZ-1', { payload: { large } }),
      command('SZ-1', { payload: { door: 3 }, expect: 'ack' }),
      command('SZ-1', { payload: { door: 4 }, delivery: 'now', channel: 'urgent' }),
      command('SZ-1', { payload: { large }, delivery: 'now', expect: 'ack' }),
      command('SZ-1', { payloadBase64: 'AAECAw==', contentType: 'image/x-door', expect: 'ack' }),
    ])
    const statuses = ['done', 'done', 'done', 'delivered', 'done', 'delivered', 'delivered']
    assert.deepEqual(
      answers.map(({ body }) => body.status),
      statuses,
    )
    assert.deepEqual(answers[2]!.body.reply.payload, { large })
    const { received, client } = made
    assert.equal(received.length, 7)
    assert.deepEqual(received.map(({ id }) => id).sort(), answers.map(({ body }) => body.id).sort())
    assert.equal(received.filter(({ now }) => now).length, 2)
    const bytes = received.find(({ binary }) => binary)
    assert.deepEqual(bytes?.payload, Buffer.from([0, 1, 2, 3]))
    const sent = await Promise.all([
      client.send('small', { celsius: 4 }),
      client.send('large/one', { large }, { channel: 'urgent' }),
      client.send('bytes', Buffer.from([1, 2])),
      client.send('nothing'),
    ])
    assert.deepEqual(
      sent.map(({ kind }) => kind),
      ['kept', 'kept', 'kept', 'kept'],
    )
    assert.equal((await client.send('light', 1, { reliable: false })).kind, 'written')
    // What comes behind it was sent behind it.
    await client.send('last')
    const { items } = (await gateway.api('GET', '/v1/events?device=SZ-1&type=event')).body
    const light = items.findIndex(({ name }: { name: string }) => name === 'light')
    assert.ok(light !== -1, 'an event that is not worth keeping came too')
    const kept = items.filter(({ name }: { name: string }) => name !== 'light')
    assert.deepEqual(
      kept
        .map(({ name, channel }: { name: string; channel: string }) => `${channel} ${name}`)
        .sort(),
      ['main bytes', 'main last', 'main nothing', 'main small', 'urgent large/one'],
    )
    await client.stop()
    const { presence } = (await gateway.api('GET', '/v1/devices/SZ-1')).body
    assert.deepEqual([presence.state, presence.reason], ['offline', 'normal'])
  })

  test('a command is delivered when it is stored, not when it has come', async (t) => {
    await register('SZ-2')
    const made = await device(t, 'SZ-2')
    const opening: (() => void)[] = []
    made.act = () => new Promise<void>((resolve) => opening.push(resolve))
    const first = await command('SZ-2', { expect: 'ack' }, 0)
    while (made.received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    // Another channel is not held up by a slow door.
    const urgent = command('SZ-2', { expect: 'ack', channel: 'urgent' })
    while (made.received.length === 1) await new Promise((resolve) => setTimeout(resolve, 5))
    const { body } = await gateway.api('GET', `/v1/commands/${first.body.id}`)
    assert.equal(body.status, 'sent')
    for (const open of opening) open()
    assert.equal((await urgent).body.status, 'delivered')
    assert.equal(await ended(first.body.id), 'delivered')
  })

  test('a scheduled command is handed on once, and its reply finds it', async (t) => {
    await register('SZ-3')
    const made = await device(t, 'SZ-3')
    const notBefore = new Date(Date.now() + 300).toISOString()
    const asked = await command('SZ-3', { payload: { door: 5 }, notBefore }, 0)
    assert.equal(asked.status, 202, JSON.stringify(asked.body))
    assert.equal(await ended(asked.body.id), 'done')
    const behind = await command('SZ-3', { payload: { door: 6 } })
    assert.equal(behind.body.status, 'done')
    assert.deepEqual(
      made.received.map((one) => (one.json() as { door: number }).door),
      [5, 6],
    )
  })

  test('a device whose clock is a day ahead takes no command for late', async (t) => {
    await register('SZ-4')
    const dayMs = 86_400_000
    const clock: Clock = {
      nowMs: () => deviceClock.nowMs() + dayMs,
      at: (atMs, name, run) => deviceClock.at(atMs - dayMs, name, run),
    }
    const made = await device(t, 'SZ-4', { clock })
    assert.equal((await command('SZ-4', { ttl: 60 })).body.status, 'done')
    const leftMs = made.received[0]!.expiresAtMs - clock.nowMs()
    assert.ok(leftMs > 0 && leftMs <= 60_000, `${leftMs} ms left`)
  })

  for (const dies of ['before', 'after'] as const) {
    test(`the power goes just ${dies} a position is stored: ${dies === 'before' ? 'the command comes again' : 'it is acknowledged and not repeated'}`, async (t) => {
      const name = `SZ-power-${dies}`
      await register(name)
      const path = join(folder, name)
      const storage = new DyingStorage(path)
      const first = await device(t, name, { storage })
      assert.equal((await command(name, { payload: 1 })).body.status, 'done')
      storage.dies = dies
      const stopped = next(first.client, 'stopped')
      const struck = await command(name, { payload: 2, expect: 'ack' }, 0)
      const later = await command(name, { payload: 3 }, 0)
      await stopped
      assert.equal((await gateway.api('GET', `/v1/commands/${struck.body.id}`)).body.status, 'sent')
      const second = await device(t, name, { storage: fileStorage(path) })
      assert.equal(await ended(struck.body.id), 'delivered')
      assert.equal(await ended(later.body.id), 'done')
      const came = (one: readonly Command[]) => one.map((each) => each.json())
      assert.deepEqual(came(first.received), [1, 2])
      assert.deepEqual(came(second.received), dies === 'before' ? [2, 3] : [3])
      if (dies === 'before')
        assert.ok(second.received[0]!.repeated, 'it says that it may have come')
      // And what was acknowledged before the power went is nobody's business any more.
      await second.client.stop()
      const third = await device(t, name, { storage: fileStorage(path) })
      assert.equal((await command(name, { payload: 4 })).body.status, 'done')
      assert.deepEqual(came(third.received), [4])
    })
  }

  test('a wrong secret is told once, and for good; another device of that name takes over', async (t) => {
    await register('SZ-5')
    const wrong = new PikeClient(optionsOf('SZ-5', { secret: 'another-secret-of-27-characters' }))
    const refused = next(wrong, 'stopped')
    wrong.start()
    assert.deepEqual(await refused, {
      kind: 'refused',
      code: 197,
      text: (wrong.state as { reason: { text: string } }).reason.text,
    })
    const older = await device(t, 'SZ-5')
    const waiting = new Promise<{ why: string; untilMs: number }>((resolve) =>
      older.client.once('waiting', resolve),
    )
    const newer = await device(t, 'SZ-5')
    await waiting
    assert.notEqual(older.client.state.kind, 'stopped')
    await older.client.stop()
    assert.equal((await command('SZ-5', {})).body.status, 'done')
    assert.equal(newer.received.length, 1)
  })

  test('a weak secret is proved by the slow derivation', async (t) => {
    await gateway.api('PUT', '/v1/devices/SZ-6', { secret: 'weak-secret' })
    await device(t, 'SZ-6', { secret: 'weak-secret' })
    assert.equal((await command('SZ-6', {})).body.status, 'done')
  })

  test('an unknown channel is refused for good, one that there is works', async (t) => {
    await register('SZ-7', { channels: { media: {} } })
    const made = await device(t, 'SZ-7', { channels: ['main', 'urgent', 'media'] })
    assert.equal((await command('SZ-7', { channel: 'media' })).body.status, 'done')
    assert.equal(made.received[0]!.channel, 'media')
    const other = new PikeClient(optionsOf('SZ-7', { channels: ['main', 'attic'] }))
    const stopped = next(other, 'stopped')
    other.start()
    assert.equal(((await stopped) as { code: number }).code, 195)
  })

  test('TLS is refused: there is no DTLS yet', async () => {
    const client = new PikeClient(optionsOf('SZ-1', { tls: true }))
    const stopped = next(client, 'stopped')
    client.start()
    const { code, text } = (await stopped) as { code: number; text: string }
    assert.equal(code, 196)
    assert.match(text, /DTLS/)
  })

  test('datagrams are lost and the address changes: everything comes once, in order', async (t) => {
    await register('SZ-8')
    const relay = await relayDatagrams({
      ...{ host: '127.0.0.1', port: 0, seed: 7 },
      to: { host: '127.0.0.1', port: gateway.port('coap') },
      conditions: { ...fair, loss: 0.1, twice: 0.1, reorder: 0.05, rebindMs: 3_000 },
    })
    t.after(() => relay.stop())
    const storage = fileStorage(join(folder, 'SZ-8'))
    const made = await device(t, 'SZ-8', {
      port: relay.port,
      storage,
      keepalive: { minS: 5, maxS: 5 },
    })
    const doors = [1, 2, 3, 4, 5, 6, 7, 8]
    const asked = []
    for (const door of doors) asked.push(await command('SZ-8', { payload: { door } }, 0))
    const sent = Promise.all(doors.map((door) => made.client.send('seen', { door })))
    for (const { body } of asked) assert.equal(await ended(body.id), 'done')
    assert.deepEqual(
      made.received.map((one) => (one.json() as { door: number }).door),
      doors,
    )
    assert.ok(
      (await sent).every(({ kind }) => kind === 'kept'),
      'events are kept',
    )
    const { items } = (await gateway.api('GET', '/v1/events?device=SZ-8&limit=100')).body
    const kept = (type: string) => items.filter((one: { type: string }) => one.type === type)
    assert.deepEqual(
      kept('event').map(({ payload }: { payload: { door: number } }) => payload.door),
      doors,
    )
    assert.equal(kept('reply').length, doors.length)
    assert.ok(relay.figures.lost > 0, 'nothing was lost: this proves nothing')
  })
})

/** As `firmware-story` tells it of firmware in other languages. */
test('a locker over CoAP, its gateway and itself killed in turn: each door opens once, in order', async () => {
  const place = await mkdtemp(join(tmpdir(), 'pike-coap-story-'))
  const dataDir = join(place, 'data')
  gateway = await startGateway({ dataDir })
  const lockers: RunningLocker[] = []
  const storages: DyingStorage[] = []
  try {
    await register('SZ-9')
    const port = gateway.port('coap')
    const start = (): RunningLocker => {
      const storage = new DyingStorage(join(place, 'state'))
      storages.push(storage)
      const locker = runLocker({ ...optionsOf('SZ-9', { port, storage }), doors: 12 })
      lockers.push(locker)
      return locker
    }
    const doorsOf = ({ opened }: RunningLocker) => opened.map(({ door }) => door)
    const opens = async (door: number): Promise<void> => {
      const { status, body } = await command('SZ-9', { payload: { door } }, 30)
      assert.equal(status, 200, JSON.stringify(body))
      assert.deepEqual(
        [body.status, body.reply?.payload.door],
        ['done', door],
        JSON.stringify(body),
      )
    }
    const begin = async (): Promise<void> => {
      const env = { PIKE_COAP_PORT: String(port) }
      gateway = await startGateway({ dataDir, ports: gateway.ports, env })
    }

    let locker = start()
    await opens(7)
    assert.equal((await command('SZ-9', { payload: { door: 70 } })).body.reason, 'unknown-door')

    // The gateway is killed: nobody asks anew, and nothing is repeated.
    await gateway.kill()
    await begin()
    await opens(3)
    assert.deepEqual(doorsOf(locker), [7, 3])

    // Away: two commands of one epoch wait, then one of the next.
    await locker.stop()
    await command('SZ-9', { payload: { door: 1 } }, 0)
    const earlier = await command('SZ-9', { payload: { door: 2 } }, 0)
    await gateway.kill()
    await begin()
    const later = await command('SZ-9', { payload: { door: 4 } }, 0)
    assert.notEqual(later.body.epoch, earlier.body.epoch, 'no change of epoch: this proves nothing')
    locker = start()
    await opens(5)
    assert.deepEqual(doorsOf(locker), [1, 2, 4, 5])

    // The power of the locker goes once it has opened and stored.
    storages.at(-1)!.dies = 'after'
    const struck = await command('SZ-9', { payload: { door: 9 } }, 0)
    await until(() => locker.client.state.kind === 'stopped')
    await locker.stop()
    locker = start()
    assert.equal(await ended(struck.body.id), 'done')
    await opens(6)
    assert.deepEqual(doorsOf(locker), [6], 'what was acted on is not repeated')

    // A gateway that goes politely, and comes back.
    await gateway.stop()
    await begin()
    await opens(8)
    assert.deepEqual(doorsOf(locker), [6, 8])

    const { items } = (await gateway.api('GET', '/v1/events?limit=1000')).body
    const kept = (type: string) => items.filter((event: { type: string }) => event.type === type)
    const seen = kept('event').map((event: { payload: { door: number } }) => event.payload.door)
    assert.deepEqual(
      seen.filter((door: number) => door !== 9),
      [7, 3, 1, 2, 4, 5, 6, 8],
      'each event once, in order',
    )
    assert.equal(kept('reply').length, 10, 'each reply once')
    const open = await gateway.api('GET', '/v1/devices/SZ-9/commands?status=open')
    assert.deepEqual(open.body.items, [])
  } finally {
    for (const locker of lockers) await locker.stop()
    await gateway.stop()
    await rm(place, { recursive: true, force: true })
  }
})
