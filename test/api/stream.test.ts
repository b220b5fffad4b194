import assert from 'node:assert/strict'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, test } from 'node:test'
import type { EventQuery, NewEvent } from '../../src/contract/index.ts'
import { turn, until } from '../support/turns.ts'
import { StreamReader } from './stream-reader.ts'
import { World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open({ streamsMax: 6 })
  await world.app.listen({ port: 0, host: '127.0.0.1' })
})
afterEach(() => world.close())

const uplink = (name: string, more: object = {}): NewEvent => ({
  kind: 'event',
  app: 'default',
  device: 'SZ-0042',
  channel: 'main',
  atMs: 1_000,
  name,
  payload: Buffer.from('{\n"door": 7}'),
  contentType: 'application/json',
  ...more,
})
const keep = (...events: NewEvent[]): Promise<unknown> =>
  new Promise((settled) => world.engine.events.append(events, settled))
const open = (path = '/v1/events', headers: Record<string, string> = {}) =>
  StreamReader.open(world.app, path, headers)
const named = (reader: StreamReader): string[] =>
  reader.events.map(({ data }) => (JSON.parse(data!) as { name: string }).name)
const streams = () => world.app.figures().streams_open
test('without a cursor a stream tells what comes from now on, one event a block', async () => {
  await keep(uplink('before'))
  const reader = await open()
  assert.equal(reader.response.statusCode, 200)
  assert.equal(reader.response.headers['content-type'], 'text/event-stream')
  await keep(uplink('a'), uplink('b'))
  await reader.until(() => reader.events.length === 2)
  assert.deepEqual(named(reader), ['a', 'b'])
  const [first] = reader.events
  assert.equal(first!.event, 'event')
  const event = JSON.parse(first!.data!) as { id: string; payload: unknown }
  assert.equal(event.id, first!.id)
  assert.deepEqual(event.payload, { door: 7 })
  reader.close()
  await until(() => streams() === 0)
  assert.deepEqual(world.clock.waiting(), [])
})

test('Last-Event-ID resumes without a gap or a repeat, and goes before after', async () => {
  const first = await open()
  await keep(uplink('a'), uplink('b'), uplink('c'))
  await first.until(() => first.events.length === 3)
  first.close()
  await keep(uplink('d'))
  const id = first.events[0]!.id!
  const second = await open(`/v1/events?after=${first.events[2]!.id}`, { 'last-event-id': id })
  await second.until(() => second.events.length === 3)
  assert.deepEqual(named(second), ['b', 'c', 'd'])
  const third = await open(`/v1/events?after=${id}`)
  await third.until(() => third.events.length === 3)
  assert.deepEqual(named(third), ['b', 'c', 'd'])
})

test('a cut stream can be resumed from its first block on, though no event came', async () => {
  const first = await open()
  await first.until(() => first.lastId !== undefined)
  first.close()
  await keep(uplink('meanwhile'))
  const second = await open('/v1/events', { 'last-event-id': first.lastId! })
  await second.until(() => second.events.length === 1)
  assert.deepEqual(named(second), ['meanwhile'])
})

test('filters hold for streams; the heartbeat moves the id past what they hide', async () => {
  const reader = await open('/v1/events?device=SZ-0043')
  await keep(uplink('hidden'), uplink('theirs', { device: 'SZ-0043' }), uplink('hidden'))
  await reader.until(() => reader.events.length === 1)
  assert.deepEqual(named(reader), ['theirs'])
  const latest = await world.engine.events.latest('default')
  world.clock.advance(15_000)
  await reader.until(() => reader.blocks.at(-1)?.comment === 'heartbeat')
  assert.equal(reader.lastId, latest)
})

test('a lost cursor is 410 before the stream begins, a strange one 400', async () => {
  await keep(uplink('a'))
  await world.engine.events.purge(2_000)
  const oldest = await world.engine.events.latest('default')
  for (const [id, status] of [
    [oldest.replace(/.$/, '0'), 410],
    ['not-an-id', 400],
  ] as const) {
    const reader = await open('/v1/events', { 'last-event-id': id })
    assert.equal(reader.response.statusCode, status)
    assert.match(String(reader.response.headers['content-type']), /^application\/problem\+json/)
  }
})

test('a slow reader stops its own reading of the log, costs little, and loses nothing', async () => {
  const reads: EventQuery[] = []
  const log = world.engine.events
  const original = log.read.bind(log)
  log.read = (app, query) => {
    reads.push(query)
    return original(app, query)
  }
  const slow = await open()
  await slow.until(() => slow.lastId !== undefined)
  const start = slow.lastId!
  slow.response.pause()
  const payload = Buffer.from(JSON.stringify('x'.repeat(40_000)))
  let kept = 0
  // Until the reader's socket is full: then readings stop though the log goes on growing.
  for (let quiet = 0; quiet < 20; ) {
    const before = reads.length
    await keep(uplink(`e${kept++}`, { payload }))
    await turn()
    quiet = reads.length === before ? quiet + 1 : 0
  }
  const fast = await open(`/v1/events?after=${start}`)
  await fast.until(() => fast.events.length === kept)
  slow.response.resume()
  await slow.until(() => slow.events.length === kept)
  assert.deepEqual(named(slow), named(fast))
  assert.deepEqual(
    named(slow),
    Array.from({ length: kept }, (_, i) => `e${i}`),
  )
})

test('a reader that takes nothing for a minute loses its stream', async () => {
  const slow = await open()
  slow.response.pause()
  const payload = Buffer.alloc(48 * 1024, 'x')
  while (!world.clock.waiting().some(({ name }) => name === 'stalled stream')) {
    await keep(uplink('big', { payload, contentType: 'text/plain' }))
    await turn()
  }
  world.clock.advance(60_000)
  await until(() => streams() === 0)
  assert.deepEqual(world.clock.waiting(), [])
})

test('streams are bounded, of one app to half of all; one that ends makes room', async () => {
  const readers = [await open(), await open(), await open()]
  const refused = await open()
  assert.equal(refused.response.statusCode, 503)
  assert.equal(refused.response.headers['retry-after'], '5')
  const other = await open('/v1/events', { authorization: 'Bearer key-other' })
  assert.equal(other.response.statusCode, 200)
  other.close()
  await until(() => streams() === 3)
  readers[0]!.close()
  await until(() => streams() === 2)
  assert.equal((await open()).response.statusCode, 200)
})

test('a cursor lost in mid-stream is said, and the stream ends', async () => {
  const reader = await open()
  await reader.until(() => reader.lastId !== undefined)
  const log = world.engine.events
  log.read = async () => ({ kind: 'gone', oldest: 'x-0000000009' })
  await keep(uplink('a'))
  await reader.untilEnd()
  const last = reader.blocks.at(-1)!
  assert.equal(last.event, 'gone')
  assert.equal((JSON.parse(last.data!) as { oldest: string }).oldest, 'x-0000000009')
  assert.equal(streams(), 0)
})

test('a log that cannot be read breaks the stream off, and the reader may resume', async () => {
  const reader = await open()
  await reader.until(() => reader.lastId !== undefined)
  const log = world.engine.events
  const original = log.read
  log.read = () => Promise.reject(new Error('down'))
  await keep(uplink('a'))
  await reader.untilEnd()
  log.read = original
  const again = await open('/v1/events', { 'last-event-id': reader.lastId! })
  await again.until(() => again.events.length === 1)
  assert.deepEqual(named(again), ['a'])
})

test('a revoked key loses its stream with the next heartbeat', async () => {
  await world.key('default', 'leaving', ['events'])
  const reader = await open('/v1/events', { authorization: 'Bearer key-leaving' })
  await world.engine.names.removeKey('default', 'leaving')
  world.clock.advance(15_000)
  await reader.untilEnd()
  assert.equal(streams(), 0)
})

test('closing the server ends streams at once', async () => {
  const reader = await open()
  await world.app.close()
  await reader.untilEnd()
  assert.equal(streams(), 0)
})

test('a long poll whose caller went away is let go', async () => {
  const { port } = world.app.server.address() as AddressInfo
  const ask = request({
    port,
    host: '127.0.0.1',
    path: '/v1/events?wait=60',
    headers: { authorization: 'Bearer key-all' },
  })
  ask.on('error', () => {})
  ask.end()
  await until(() => world.app.figures().calls_held === 1)
  ask.destroy()
  await until(() => world.app.figures().calls_held === 0)
  assert.deepEqual(world.clock.waiting(), [])
})
