import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FlightRecorder } from '../../src/hub/recorder/recorder.ts'
import { ManualClock } from '../support/manual-clock.ts'

const clock = new ManualClock()
const make = (change: { recorderMaxBytes?: number; recorderPayloadMaxBytes?: number } = {}) =>
  new FlightRecorder(clock, {
    recorderMaxBytes: 1_048_576,
    recorderPayloadMaxBytes: 8,
    ...change,
  })
const bytes = (text: string) => new TextEncoder().encode(text)

test('what a device and the gateway said is told in order, by device', () => {
  const recorder = make()
  const one = recorder.connect('t-1', 'pike', '10.0.0.1').as('default', 'L-1', 'main')
  const two = recorder.connect('t-2', 'mqtt', '10.0.0.2').as('default', 'L-2', 'main')
  one.frame('out', 'COMMAND', 20, { offset: 7, name: 'open', payload: bytes('{"door":7}') })
  two.frame('in', 'PUBACK', 4)
  one.frame('in', 'ACK', 3, { offset: 7 })
  const { items, caughtUp, next } = recorder.trace('default', 'L-1', { limit: 10 })
  assert.deepEqual(
    items.map(({ type, way, offset, connection, channel }) => [
      type,
      way,
      offset,
      connection,
      channel,
    ]),
    [
      ['COMMAND', 'out', 7, 't-1', 'main'],
      ['ACK', 'in', 7, 't-1', 'main'],
    ],
  )
  // Of a payload the beginning is kept, and how long it was.
  assert.equal(items[0]!.payload?.bytes, 10)
  assert.equal(new TextDecoder().decode(items[0]!.payload?.head), '{"door":')
  assert.equal(caughtUp, true)
  one.note('detached', { reason: 'lost' })
  const more = recorder.trace('default', 'L-1', { after: next, limit: 10 })
  assert.deepEqual(
    more.items.map(({ type, reason }) => [type, reason]),
    [['detached', 'lost']],
  )
  assert.equal(recorder.trace('other', 'L-1', { limit: 10 }).items.length, 0)
})

test('a page from an entry on goes on where the last one ended', () => {
  const recorder = make()
  const trail = recorder.connect('t-1', 'pike', '10.0.0.1').as('default', 'L-1')
  for (let sequence = 1; sequence <= 25; sequence++) trail.frame('in', 'EVENT', 9, { sequence })
  const seen: number[] = []
  for (let after = 0, more = true; more; ) {
    const page = recorder.trace('default', 'L-1', { after, limit: 10 })
    seen.push(...page.items.map(({ sequence }) => sequence!))
    after = page.next
    more = !page.caughtUp
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 25 }, (_, i) => i + 1),
  )
  const last = recorder.trace('default', 'L-1', { limit: 3 })
  assert.deepEqual(
    last.items.map(({ sequence }) => sequence),
    [23, 24, 25],
  )
})

test('the ring is bounded: old entries go, and with them who is not there any more', () => {
  const recorder = make({ recorderMaxBytes: 300_000 })
  const gone = recorder.connect('gone', 'pike', '10.0.0.1')
  gone.as('default', 'L-1').note('attached')
  gone.end('lost')
  const there = recorder.connect('there', 'pike', '10.0.0.2')
  there.as('default', 'L-2').note('attached')
  assert.equal(recorder.connection('default', 'gone', 10)?.reason, 'lost')
  const busy = recorder.connect('busy', 'pike', '10.0.0.3').as('default', 'L-3')
  for (let i = 1; i <= 5_000; i++) busy.frame('in', 'PING', 2, { sequence: i })
  // Nobody may keep an ended connection alive for long; one that is there is found for as long.
  assert.equal(recorder.connection('default', 'gone', 10), undefined)
  assert.equal(recorder.connection('default', 'there', 10)?.peer, '10.0.0.2')
  assert.equal(recorder.trace('default', 'L-1', { limit: 10 }).items.length, 0)
  const kept = recorder.trace('default', 'L-3', { limit: 10_000 }).items
  assert.ok(kept.length > 500 && kept.length < 1_200, `kept ${kept.length}`)
  assert.equal(kept.at(-1)!.sequence, 5_000)
  // What comes after all of a device went is told again.
  there.as('default', 'L-2').note('probe')
  assert.equal(recorder.trace('default', 'L-2', { limit: 10 }).items.length, 1)
})

test('devices and connections that come and go are forgotten with what they said, though nobody asks', () => {
  const recorder = make({ recorderMaxBytes: 300_000 })
  for (let i = 0; i < 20_000; i++) {
    const connection = recorder.connect(`t-${i}`, 'pike', '10.0.0.1')
    connection.as('default', `L-${i}`, 'main').note('attached')
    recorder.device('default', `L-${i}`, 'accepted', { channel: 'main' })
    connection.end('lost')
  }
  const { devices, connections } = recorder.register
  assert.ok(devices < 3_000, `${devices} devices are known`)
  assert.ok(connections < 1_200, `${connections} connections are known`)
  const { items } = recorder.trace('default', 'L-19999', { limit: 10 })
  assert.deepEqual(
    items.map(({ type }) => type),
    ['attached', 'accepted', 'closed'],
  )
})

test('a trail goes on after all its device had was written over', () => {
  const recorder = make({ recorderMaxBytes: 100_000 })
  const quiet = recorder.connect('quiet', 'pike', '10.0.0.1').as('default', 'L-1')
  quiet.note('attached')
  const busy = recorder.connect('busy', 'pike', '10.0.0.2').as('default', 'L-2')
  for (let i = 0; i < 2_000; i++) busy.frame('in', 'PING', 2)
  recorder.device('default', 'L-1', 'accepted', undefined)
  quiet.frame('out', 'COMMAND', 9)
  const types = recorder.trace('default', 'L-1', { limit: 9 }).items.map(({ type }) => type)
  assert.deepEqual(types, ['accepted', 'COMMAND'])
})

test('strangers cannot wash away what is known of devices, nor say much', () => {
  const recorder = make({ recorderMaxBytes: 300_000 })
  recorder.connect('t-1', 'pike', '10.0.0.1').as('default', 'L-1').note('attached')
  for (let i = 0; i < 1_000; i++) {
    const stranger = recorder.connect(`s-${i}`, 'pike', '10.6.6.6')
    for (let j = 0; j < 100; j++) stranger.frame('in', 'HELLO', 60)
    stranger.end('unauthorized')
  }
  assert.equal(recorder.trace('default', 'L-1', { limit: 10 }).items.length, 1)
  assert.ok(recorder.figures().recorder_connections! < 100, 'connections of strangers go')
  // Nobody's app: nobody sees it.
  assert.equal(recorder.connection('default', 's-999', 10), undefined)
})

test('who said to be a device and did not prove it is in its trace, and washes nothing away', async () => {
  const recorder = make({ recorderMaxBytes: 300_000 })
  const trail = recorder.connect('t-1', 'pike', '10.0.0.1').as('default', 'L-1')
  trail.note('attached')
  let told = 0
  recorder.follow('default', 'L-1', () => told++)
  const wrong = { reason: 'wrong-secret', about: '10.6.6.6' }
  recorder.stranger('default', 'L-1', 'refused', wrong)
  recorder.stranger('other', 'L-1', 'refused', wrong)
  trail.note('probe')
  await Promise.resolve()
  assert.equal(told, 1)
  const types = (query: object): string[] =>
    recorder.trace('default', 'L-1', { limit: 10, ...query }).items.map(({ type }) => type)
  assert.deepEqual(types({}), ['attached', 'refused', 'probe'])
  assert.deepEqual(types({ limit: 2 }), ['refused', 'probe'])
  assert.deepEqual(types({ connection: 't-1' }), ['attached', 'probe'])
  // Page by page.
  const seen: string[] = []
  for (let after = 0, more = true; more; ) {
    const page = recorder.trace('default', 'L-1', { after, limit: 1 })
    seen.push(...page.items.map(({ type }) => type))
    after = page.next
    more = !page.caughtUp
  }
  assert.deepEqual(seen, ['attached', 'refused', 'probe'])
  for (let i = 0; i < 5_000; i++) recorder.stranger('default', 'L-2', 'refused', wrong)
  assert.deepEqual(types({}), ['attached', 'probe'])
})

test("a connection is shown to its devices' app only, with what came before its proof", () => {
  const recorder = make()
  const connection = recorder.connect('t-1', 'pike', '10.0.0.1')
  connection.frame('in', 'HELLO', 60)
  const trail = connection.as('default', 'L-1', 'main')
  trail.note('attached')
  assert.equal(recorder.connection('other', 't-1', 10), undefined)
  const found = recorder.connection('default', 't-1', 10)
  assert.deepEqual(
    found?.entries.map(({ type }) => type),
    ['HELLO', 'attached'],
  )
  assert.deepEqual(found?.devices, ['L-1'])
  // A cabinet: its second device is of another app.
  connection.as('other', 'M-1', 'main').note('attached')
  const shared = recorder.connection('default', 't-1', 10)
  assert.deepEqual(
    shared?.entries.map(({ type }) => type),
    ['attached'],
  )
  trail.end('lost')
  assert.equal(recorder.connection('other', 't-1', 10)?.entries.at(-1)?.type, 'closed')
})

test('whoever follows a device is told once a turn, until it stops', async () => {
  const recorder = make()
  let told = 0
  const stop = recorder.follow('default', 'L-1', () => told++)
  const trail = recorder.connect('t-1', 'pike', '10.0.0.1').as('default', 'L-1')
  trail.note('attached')
  trail.frame('out', 'COMMAND', 9)
  recorder.device('default', 'L-2', 'accepted', undefined)
  await Promise.resolve()
  assert.equal(told, 1)
  stop()
  trail.note('detached')
  await Promise.resolve()
  assert.equal(told, 1)
})

test('nothing is recorded where it is switched off', () => {
  const recorder = make({ recorderMaxBytes: 0 })
  const trail = recorder.connect('t-1', 'pike', '10.0.0.1').as('default', 'L-1')
  trail.frame('in', 'PING', 2)
  trail.note('attached')
  recorder.device('default', 'L-1', 'accepted', undefined)
  assert.equal(trail.token, 't-1')
  assert.equal(recorder.trace('default', 'L-1', { limit: 10 }).items.length, 0)
  assert.equal(recorder.connection('default', 't-1', 10), undefined)
})
