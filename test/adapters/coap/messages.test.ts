import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generate, type Packet, parse } from 'coap-packet'
import { code } from '../../../adapters/coap/codes.ts'
import { type Datagrams, type Peer, peerAt } from '../../../adapters/coap/datagrams.ts'
import type { Exchange } from '../../../adapters/coap/exchange.ts'
import { Messages, type MessageUser } from '../../../adapters/coap/messages.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const here = peerAt('192.0.2.1', 4_000)
const there = peerAt('192.0.2.2', 4_000)
const nothing = Buffer.alloc(0)
const question = { code: code.get, token: Buffer.from([1]), options: [], payload: nothing }

class Desk implements Datagrams, MessageUser {
  readonly clock = new ManualClock()
  readonly sent: { readonly bytes: Buffer; readonly to: Peer; readonly atMs: number }[] = []
  readonly requests: Exchange[] = []
  readonly responses: Buffer[] = []
  answer = true
  readonly messages = new Messages(this.clock, this, this, {
    dedupeMax: 100,
    peersMax: 100,
    piggybackMs: 500,
  })

  async open(): Promise<{ host: string; port: number }> {
    return { host: '', port: 0 }
  }
  async close(): Promise<void> {}
  send(bytes: Buffer, to: Peer): void {
    this.sent.push({ bytes, to, atMs: this.clock.nowMs() })
  }
  request(exchange: Exchange): void {
    this.requests.push(exchange)
    if (this.answer) exchange.respond({ code: code.changed })
  }
  response(_peer: Peer, message: { payload: Buffer }, acknowledge: () => void): boolean {
    this.responses.push(message.payload)
    acknowledge()
    return true
  }
  heard(): void {}

  take(packet: Packet, from = here): void {
    this.messages.receive(generate(packet), from)
  }
  raw(bytes: readonly number[], from = here): void {
    this.messages.receive(Buffer.from(bytes), from)
  }
  get last() {
    return parse(this.sent.at(-1)!.bytes)
  }
}

const post = (messageId: number, confirmable = true): Packet => ({
  code: '0.02',
  messageId,
  confirmable,
  token: Buffer.from([7]),
})

test('a confirmable request is answered in its acknowledgement, an unconfirmed one by itself', () => {
  const desk = new Desk()
  desk.take(post(5))
  assert.deepEqual([desk.last.ack, desk.last.messageId, desk.last.code], [true, 5, '2.04'])
  desk.take(post(6, false))
  assert.deepEqual([desk.last.ack, desk.last.confirmable, desk.last.code], [false, false, '2.04'])
  assert.deepEqual(desk.last.token, Buffer.from([7]))
})

test('a request that comes again is answered again and acted on once', () => {
  const desk = new Desk()
  for (let i = 0; i < 3; i++) desk.take(post(5))
  assert.equal(desk.requests.length, 1)
  assert.deepEqual(new Set(desk.sent.map(({ bytes }) => bytes.toString('hex'))).size, 1)
  assert.equal(desk.sent.length, 3)
  desk.take(post(5), there)
  assert.equal(desk.requests.length, 2, 'the same number from elsewhere is another request')
})

test('a repeat while the request is under way starts nothing and is not answered twice', () => {
  const desk = new Desk()
  desk.answer = false
  desk.take(post(5))
  desk.take(post(5))
  assert.equal(desk.requests.length, 1)
  assert.equal(desk.sent.length, 0)
  desk.requests[0]!.respond({ code: code.changed })
  desk.requests[0]!.respond({ code: code.badRequest })
  assert.equal(desk.sent.length, 1)
})

test('what takes longer is acknowledged first and answered by a message of its own, until that arrived', () => {
  const desk = new Desk()
  desk.answer = false
  desk.take(post(5))
  desk.clock.advance(500)
  assert.deepEqual([desk.last.ack, desk.last.code, desk.last.messageId], [true, '0.00', 5])
  desk.take(post(5))
  assert.equal(desk.sent.length, 2, 'acknowledged again')
  desk.requests[0]!.respond({ code: code.changed })
  const { last } = desk
  assert.deepEqual([last.confirmable, last.code, last.token], [true, '2.04', Buffer.from([7])])
  desk.clock.advance(3_000)
  assert.equal(desk.sent.length, 4, 'and sent again')
  desk.take({ code: '0.00', ack: true, messageId: last.messageId })
  desk.clock.advance(100_000)
  assert.equal(desk.sent.length, 4)
})

test('repeats are remembered in bounded memory, and not for ever', () => {
  const desk = new Desk()
  for (let id = 0; id < 10_000; id++) desk.take(post(id))
  assert.ok(desk.messages.figures.remembered! <= 100, `${desk.messages.figures.remembered} kept`)
  desk.clock.advance(247_000)
  desk.messages.sweep(desk.clock.nowMs())
  desk.clock.advance(247_000)
  desk.messages.sweep(desk.clock.nowMs())
  assert.equal(desk.messages.figures.remembered, 0)
})

test('a message is sent five times in 45 s and given up after 93', () => {
  const desk = new Desk()
  const fates: string[] = []
  desk.messages.confirm(here, question, {}, (fate) => fates.push(fate))
  const startMs = desk.clock.nowMs()
  desk.clock.advance(92_999)
  assert.deepEqual(fates, [])
  desk.clock.advance(1)
  assert.deepEqual(fates, ['timeout'])
  assert.equal(new Set(desk.sent.map(({ bytes }) => bytes.toString('hex'))).size, 1)
  const times = desk.sent.map(({ atMs }) => (atMs - startMs) / 1_000)
  const bounds = [
    [0, 0],
    [2, 3],
    [6, 9],
    [14, 21],
    [30, 45],
  ] as const
  assert.equal(times.length, 5)
  for (const [i, [from, to]] of bounds.entries()) {
    assert.ok(times[i]! >= from && times[i]! <= to, `${times[i]} s`)
  }
})

test('an acknowledgement or a reset ends a message, only from its peer', () => {
  for (const kind of ['ack', 'reset'] as const) {
    const desk = new Desk()
    const fates: string[] = []
    desk.messages.confirm(here, question, {}, (fate) => fates.push(fate))
    const { messageId } = desk.last
    desk.take({ code: '0.00', [kind]: true, messageId }, there)
    assert.deepEqual(fates, [])
    desk.take({ code: '0.00', [kind]: true, messageId })
    assert.deepEqual(fates, [kind === 'ack' ? 'ack' : 'rst'])
    desk.clock.advance(100_000)
    assert.equal(desk.sent.length, 1)
  }
})

test('a message whose time has passed is not sent again, but may still be acknowledged', () => {
  const desk = new Desk()
  const fates: string[] = []
  const careful = { untilMs: desk.clock.nowMs() + 1_000 }
  desk.messages.confirm(here, question, careful, (fate) => fates.push(fate))
  desk.clock.advance(40_000)
  assert.equal(desk.sent.length, 1)
  desk.take({ code: '0.00', ack: true, messageId: desk.last.messageId })
  assert.deepEqual(fates, ['ack'])
})

test('whoever sends is told once that its time has passed, when an acknowledgement is overdue', () => {
  const desk = new Desk()
  for (const [ttlMs, soonestMs, latestMs] of [
    [100, 2_000, 3_000],
    // Sent again after 2 to 3 s.
    [4_000, 4_000, 6_000],
    // After the last time, 30 to 45 s.
    [60_000, 60_000, 60_000],
  ] as const) {
    const lapsed: number[] = []
    const fates: string[] = []
    const beganMs = desk.clock.nowMs()
    const untilMs = beganMs + ttlMs
    const careful = { untilMs, lapsed: () => lapsed.push(desk.clock.nowMs() - beganMs) }
    desk.messages.confirm(here, question, careful, (fate) => fates.push(fate))
    desk.clock.advance(92_999)
    assert.equal(lapsed.length, 1)
    assert.ok(lapsed[0]! >= soonestMs && lapsed[0]! <= latestMs, `${ttlMs}: after ${lapsed[0]}`)
    assert.deepEqual(fates, [])
    desk.clock.advance(1)
    assert.deepEqual(fates, ['timeout'])
  }
})

test('a message follows its peer to another address under its own number', () => {
  const desk = new Desk()
  const fates: string[] = []
  const one = desk.messages.confirm(here, question, {}, (fate) => fates.push(fate))
  const { messageId } = desk.last
  desk.messages.move(one, there)
  desk.clock.advance(3_000)
  assert.equal(desk.sent.at(-1)!.to.key, there.key)
  desk.take({ code: '0.00', ack: true, messageId }, there)
  assert.deepEqual(fates, ['ack'])
})

test('message ids are counted for each peer, and one that is out is not used twice', () => {
  const desk = new Desk()
  const ids = new Set<number>()
  for (let i = 0; i < 200; i++) {
    desk.messages.confirm(here, question, {}, () => {})
    ids.add(desk.last.messageId)
    if (i % 3 === 0) desk.messages.confirm(there, question, {}, () => {})
  }
  assert.equal(ids.size, 200)
  const [first] = ids
  assert.ok(ids.has((first! + 199) & 0xffff), 'one after the other')
})

test('a ping is reset, and a datagram that is no message is reset if it asked to be acknowledged', () => {
  const cases: readonly (readonly [what: string, bytes: number[], reset: boolean])[] = [
    ['ping', [0x40, 0, 0, 9], true],
    ['token of 9', [0x49, 1, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9], true],
    ['token of 14', [0x4e, 1, 0, 9], true],
    ['token of 15', [0x4f, 1, 0, 9], true],
    ['half a token', [0x44, 1, 0, 9, 1], true],
    ['half an option', [0x40, 1, 0, 9, 0xb5, 1], true],
    ['option delta 15', [0x40, 1, 0, 9, 0xf0], true],
    ['option length 15', [0x40, 1, 0, 9, 0x0f], true],
    ['option number over 65,535', [0x40, 1, 0, 9, 0xe0, 0xff, 0xff, 0xe0, 0xff, 0xff], true],
    ['a marker without payload', [0x40, 1, 0, 9, 0xff], true],
    ['an empty message that is not', [0x40, 0, 0, 9, 1], true],
    ['an empty message with a token', [0x41, 0, 0, 9, 1], true],
    ['code class 1', [0x40, 0x20, 0, 9], true],
    ['code class 7', [0x40, 0xe0, 0, 9], true],
    ['the same, not confirmable', [0x50, 0xe0, 0, 9], false],
    ['version 0', [0x00, 1, 0, 9], false],
    ['version 2', [0x80, 1, 0, 9], false],
    ['version 3', [0xc0, 0, 0, 9], false],
    ['three bytes', [0x40, 1, 0], false],
    ['nothing', [], false],
    ['empty, not confirmable', [0x50, 0, 0, 9], false],
    ['a stray acknowledgement', [0x60, 0, 0, 9], false],
    ['a stray reset', [0x70, 0, 0, 9], false],
    ['an acknowledgement with a request', [0x60, 1, 0, 9], false],
    ['a reset with a request', [0x70, 1, 0, 9], false],
  ]
  for (const [what, bytes, reset] of cases) {
    const desk = new Desk()
    desk.raw(bytes)
    assert.equal(desk.requests.length, 0, what)
    const sent = desk.sent.map((one) => [...one.bytes])
    assert.deepEqual(sent, reset ? [[0x70, 0, 0, 9]] : [], what)
  }
})

test('an answer in an acknowledgement is heard before that, one of its own is acknowledged once kept', () => {
  const desk = new Desk()
  const order: string[] = []
  desk.messages.confirm(here, question, {}, (fate) => order.push(fate))
  desk.response = (_peer, message, acknowledge) => {
    order.push(String(message.payload))
    acknowledge()
    return true
  }
  const token = Buffer.from([1])
  const payload = Buffer.from('yes')
  desk.take({ code: '2.04', ack: true, messageId: desk.last.messageId, token, payload })
  assert.deepEqual(order, ['yes', 'ack'])
  desk.take({ code: '2.04', confirmable: true, messageId: 77, token, payload })
  assert.deepEqual([desk.last.ack, desk.last.code, desk.last.messageId], [true, '0.00', 77])
  desk.take({ code: '2.04', confirmable: true, messageId: 77, token, payload })
  assert.deepEqual(order, ['yes', 'ack', 'yes'], 'its repeat is acknowledged and not heard')
})

test('a response nobody asked for is reset', () => {
  const desk = new Desk()
  desk.response = () => false
  desk.take({ code: '2.05', confirmable: true, messageId: 9, token: Buffer.from([3]) })
  assert.deepEqual([...desk.sent[0]!.bytes], [0x70, 0, 0, 9])
  desk.take({ code: '2.05', confirmable: false, messageId: 10, token: Buffer.from([3]) })
  assert.equal(desk.sent.length, 1)
})
