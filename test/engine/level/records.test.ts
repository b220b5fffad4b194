import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { NewEvent } from '../../../src/contract/index.ts'
import { endStatuses, eventKinds } from '../../../src/contract/index.ts'
import { Channel } from '../../../src/engine/level/channel.ts'
import type { Entry } from '../../../src/engine/level/command-record.ts'
import { decodeCommand, encodeCommand } from '../../../src/engine/level/command-record.ts'
import {
  decodeEvent,
  decodePointer,
  encodeEvent,
  encodePointer,
  eventAtMs,
} from '../../../src/engine/level/event-record.ts'
import { commandKey, under } from '../../../src/engine/level/keys.ts'
import { decodeRecord, encodeRecord } from '../../../src/engine/level/record.ts'
import { same } from '../../support/engine-words.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const time = fc.integer({ min: 0, max: 4e12 })
const offset = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const epoch = fc.integer({ min: 1, max: 0xffff_ffff })
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const bytes = fc.uint8Array({ maxLength: 200 })

test('an open command is read as it was written', () => {
  const entries = fc.record({
    ...{ offset, epoch, name: text, contentType: fc.oneof(text, fc.constant('application/json')) },
    delivery: fc.constantFrom('queue' as const, 'now' as const),
    expect: fc.constantFrom('ack' as const, 'reply' as const),
    ...{ acceptedAtMs: time, expiresAtMs: time, replyTimeoutMs: time, askedBy: text },
    ...{ collapse: maybe(text), sentAtMs: maybe(time), deliveredAtMs: maybe(time) },
    more: maybe(
      fc.record({
        ...{ notBeforeMs: maybe(time), scheduled: maybe(offset) },
        ...{ callback: maybe(text), broadcast: maybe(text), traceparent: maybe(text) },
      }),
    ),
  })
  fc.assert(
    fc.property(entries, bytes, (parts, payload) => {
      const entry: Entry = {
        ...parts,
        id: undefined,
        bytes: payload.length,
        payload,
        deliveredIn: 0,
        damaged: false,
      }
      same(decodeCommand(entry.offset, Buffer.from(encodeCommand(entry, payload))), entry)
    }),
  )
})

test('an open command that is cut or of an unknown version is refused', () => {
  assert.throws(() => decodeCommand(1, Buffer.alloc(0)), RangeError)
  assert.throws(() => decodeCommand(1, Buffer.from([1, 0, 0])), RangeError)
  assert.throws(() => decodeCommand(1, Buffer.alloc(200, 9)), RangeError)
})

test('a channel record is read as it was written', () => {
  const records = fc.record({
    ...{ top: offset, count: fc.nat(), bytes: fc.nat(), sentUpTo: offset },
    floor: offset.map((one) => Math.max(1, one)),
    intended: offset,
    dueAtMs: fc.oneof(fc.integer({ min: 1, max: 4e12 }), fc.constant(Number.POSITIVE_INFINITY)),
    ...{ oldestAtMs: time, epoch, older: fc.array(fc.nat(), { maxLength: 30 }) },
    uplinks: maybe(text),
    attempts: maybe(fc.record({ offset, sessions: fc.nat() })),
  })
  fc.assert(
    fc.property(records, (parts) => {
      const channel = Object.assign(new Channel('shop/locker/main'), parts)
      const read = decodeRecord(channel.id, Buffer.from(encodeRecord(channel)))
      const { durableTop, sentKept, ...rest } = read
      const { durableTop: _top, sentKept: _sent, ...expected } = channel
      same(rest, expected)
      assert.equal(durableTop, channel.top)
      assert.equal(sentKept, channel.sentUpTo)
    }),
  )
})

test('rule 4: the record of a channel with an open `now` is looked at once, start after start', () => {
  const channel = Object.assign(new Channel('shop/locker/main'), {
    top: 9,
    floor: 7,
    dueAtMs: 5_000,
  })
  const dueAtMs = (nowUpTo: number): number => {
    channel.nowUpTo = nowUpTo
    const read = decodeRecord(channel.id, Buffer.from(encodeRecord(channel)))
    return decodeRecord(channel.id, Buffer.from(encodeRecord(read))).dueAtMs
  }
  assert.equal(dueAtMs(6), 5_000)
  assert.equal(dueAtMs(7), 0)
})

test('a channel record with any bit changed is refused, for a position must not go back unnoticed', () => {
  const channel = new Channel('shop/locker/main')
  channel.top = 77
  channel.epoch = 5
  channel.uplinks = 'state'
  const whole = Buffer.from(encodeRecord(channel))
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bent = Buffer.from(whole)
    bent[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => decodeRecord(channel.id, bent), /damaged/)
  }
  assert.throws(() => decodeRecord(channel.id, Buffer.alloc(0)), /damaged/)
})

const about = { app: 'shop', device: 'locker', channel: 'main', atMs: 1_767_225_600_123 }
const reply = {
  ...{ status: 'failed' as const, reason: 'jammed', payload: Buffer.from([0, 255, 1]) },
  contentType: 'application/octet-stream',
}
const events: readonly NewEvent[] = [
  {
    ...{ ...about, kind: 'event', name: 'door-opened', payload: Buffer.from('{"door":7}') },
    ...{ contentType: 'application/json', stamp: { epoch: 7, sequence: 9 }, maybeRepeat: true },
  },
  { ...about, kind: 'reply', command: 'locker:main:1:1', reply },
  { ...about, kind: 'presence', state: 'online', protocol: 'pike' },
  {
    ...{ ...about, kind: 'command.ended' },
    ended: {
      ...{ id: 'locker:main:z:12', channel: 'shop/locker/main', epoch: 35, offset: 12, name: 'x' },
      ...{
        delivery: 'now',
        expect: 'reply',
        acceptedAtMs: 1,
        expiresAtMs: 2,
        askedBy: '__proto__',
      },
      ...{ status: 'failed', reason: 'jammed', reply },
      timeline: [{ status: 'queued', atMs: 1 }],
    },
  },
  {
    ...{ ...about, kind: 'command.ended' },
    ended: {
      ...{ id: 'locker:main:0:1767225600123', channel: 'shop/locker/main', epoch: 35, offset: 12 },
      ...{ name: 'x', delivery: 'queue', expect: 'ack', acceptedAtMs: 1, expiresAtMs: 9 },
      ...{ notBeforeMs: 2, callback: 'https://shop.example/hook?a=ü', broadcast: 'b-1' },
      ...{ askedBy: 'key', status: 'delivered', timeline: [{ status: 'queued', atMs: 1 }] },
    },
  },
  {
    ...{ ...about, kind: 'command.ended' },
    ended: {
      ...{ id: 'locker:main:z:12', channel: 'shop/locker/main', epoch: 35, offset: 12 },
      ...{ name: 'x', delivery: 'queue', expect: 'ack', acceptedAtMs: 1, expiresAtMs: 9 },
      ...{ notBeforeMs: 2, askedBy: 'key', status: 'failed', reply },
      timeline: [{ status: 'queued', atMs: 1 }],
    },
  },
  { ...about, kind: 'command.late', command: 'locker:main:1:1', proof: 'acknowledged' },
  { ...about, kind: 'command.late', command: 'locker:main:1:1', proof: 'reply', reply },
  { ...about, kind: 'session.conflict', holdMs: 60_000 },
  { ...about, kind: 'position.unknown', claimed: { epoch: 1, offset: 2 } },
]

for (const event of events) {
  test(`an event of kind ${event.kind} is read as it was written`, () => {
    const value = Buffer.from(encodeEvent(event))
    same(decodeEvent('shop', 'z-0000000001', value), { ...event, id: 'z-0000000001' })
    assert.equal(eventAtMs(value), event.atMs)
  })
}

test('every kind of event is among them', () => {
  assert.deepEqual([...new Set(events.map(({ kind }) => kind))].sort(), [...eventKinds].sort())
})

test('the way to an outcome is read as it was written', () => {
  for (const status of endStatuses) {
    const pointer = { sequence: 2 ** 50, acceptedAtMs: 1_767_225_600_123, status }
    assert.deepEqual(decodePointer(Buffer.from(encodePointer(pointer))), pointer)
    const late = [
      { status: 'delivered' as const, atMs: 1_767_225_600_124, late: true as const },
      { status: 'failed' as const, atMs: 2, reason: 'jämmed', late: true as const },
    ]
    const more = { ...pointer, late }
    assert.deepEqual(decodePointer(Buffer.from(encodePointer(more))), more)
    for (const way of [pointer, more]) {
      const scheduled = { ...way, scheduled: true as const }
      assert.deepEqual(decodePointer(Buffer.from(encodePointer(scheduled))), scheduled)
    }
  }
})

test('the way to an outcome is read as it was written before there was late proof', () => {
  const bytes = Buffer.alloc(8 + 8 + 4 + 'done'.length)
  bytes.writeDoubleLE(77, 0)
  bytes.writeDoubleLE(1_767_225_600_123, 8)
  bytes.writeUInt32LE('done'.length, 16)
  bytes.write('done', 20)
  const pointer = { sequence: 77, acceptedAtMs: 1_767_225_600_123, status: 'done' }
  assert.deepEqual(decodePointer(bytes), pointer)
})

test('keys of offsets sort as the offsets do, and stay with their channel', () => {
  fc.assert(
    fc.property(offset, offset, (a, b) => {
      const [first, second] = [a, b].map((each) => commandKey('shop/ab/main', each))
      assert.equal(first! < second!, a < b)
      const { gte, lt } = under('m/shop/ab/main')
      assert.ok(first! >= gte && first! < lt)
      for (const other of ['shop/abc/main', 'shop/ab/main2', 'shop/ab/mai', 'shop/ab/main.x']) {
        const key = commandKey(other, a)
        assert.ok(key < gte || key >= lt, `${key} lies in ${gte}…`)
      }
    }),
  )
})
