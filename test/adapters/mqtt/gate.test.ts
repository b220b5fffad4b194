import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemOf, problemOfConnect } from '../../../adapters/mqtt/aedes/strict.ts'
import { PacketGate, sniff } from '../../../adapters/mqtt/gate.ts'
import { limits } from '../../../src/contract/index.ts'

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex')

const unexpected = { take: (): void => assert.fail('a packet came out') }

/** What comes out of a gate, piece by piece. */
function cut(pieces: readonly Buffer[], maxBytes = 64): { packets: string[]; problem: unknown } {
  const gate = new PacketGate(maxBytes)
  const packets: string[] = []
  let problem: unknown
  for (const piece of pieces) {
    problem ??= gate.push(piece, { take: (packet) => void packets.push(packet.toString('hex')) })
  }
  return { packets, problem }
}

const ping = 'c000'
const publish = '300700056576732f61'
const long = `30${'8001'}${'0003612f62'}${'00'.repeat(123)}`

test('packets come out whole, wherever the stream was cut', () => {
  const stream = hex(ping + publish + ping + long + ping)
  const whole = cut([stream], 200)
  assert.deepEqual(whole, { packets: [ping, publish, ping, long, ping], problem: undefined })
  for (let at = 0; at <= stream.length; at++) {
    assert.deepEqual(cut([stream.subarray(0, at), stream.subarray(at)], 200), whole, `cut at ${at}`)
  }
  const single = [...stream].map((byte) => Buffer.from([byte]))
  assert.deepEqual(cut(single, 200), whole)
})

test('a length is a claim: what is too long is refused by its header, and nothing is held for it', () => {
  const gate = new PacketGate(64)
  assert.equal(gate.push(hex('30 ff ff ff 7f'), unexpected), 'too-large')
  assert.equal(gate.heldBytes, 0)
  assert.equal(cut([hex('30'), hex('80'), hex('01')]).problem, 'too-large')
  assert.equal(cut([hex('303f')]).problem, 'too-large', '65 bytes with its header')
  assert.equal(cut([hex('303e')]).problem, undefined, '64 bytes with its header')
  assert.equal(cut([hex('30 80 80 80 80 01')]).problem, 'malformed', 'a fifth byte of length')
  const slow = new PacketGate(60_000)
  slow.push(hex('30 ff ff 01'), unexpected)
  for (let i = 0; i < 100; i++) slow.push(Buffer.alloc(1), unexpected)
  assert.equal(slow.heldBytes, 104, 'what came, not what was claimed')
})

test('after a problem nothing is looked at any more', () => {
  const gate = new PacketGate(64)
  assert.equal(gate.push(hex(`f1${ping}`), unexpected), 'malformed')
  assert.equal(gate.push(hex(ping), unexpected), undefined)
})

const heads: readonly (readonly [head: string, problem: string | undefined])[] = [
  ['00', 'malformed'],
  ['20', 'protocol-error'],
  ['90', 'protocol-error'],
  ['b0', 'protocol-error'],
  ['d0', 'protocol-error'],
  ['c1', 'malformed'],
  ['e8', 'malformed'],
  ['11', 'malformed'],
  ['60', 'malformed'],
  ['63', 'malformed'],
  ['80', 'malformed'],
  ['a0', 'malformed'],
  ['42', 'malformed'],
  ['36', 'malformed'],
  ['38', 'malformed'],
  ['c0', undefined],
  ['62', undefined],
  ['3d', undefined],
]

test('reserved flags, QoS 3 and what only servers send are refused by the first byte', () => {
  for (const [head, problem] of heads) assert.equal(cut([hex(head)]).problem, problem, head)
})

const openings: readonly (readonly [packet: string, kind: string])[] = [
  ['10 06 0004 4d515454 04'.replace('06', '07'), 'connect 4'],
  ['10 07 0004 4d515454 05', 'connect 5'],
  ['10 09 0006 4d5149736470 03', 'connect 3'],
  ['10 07 0004 4d515454 03', 'unsupported'],
  ['10 07 0004 4d515454 06', 'unsupported'],
  ['10 07 0004 4d515454 84', 'unsupported'],
  ['10 09 0006 4d5149736470 04', 'unsupported'],
  ['10 07 0004 6d717474 04', 'malformed'],
  ['10 06 0004 4d515454', 'malformed'],
  ['10 02 ffff', 'malformed'],
  ['10 00', 'malformed'],
  ['c0 00', 'malformed'],
]

test('the version is told by the level of CONNECT, and by nothing else', () => {
  for (const [packet, kind] of openings) {
    const opening = sniff(hex(packet))
    const said = opening.kind === 'connect' ? `connect ${opening.level}` : opening.kind
    assert.equal(said, kind, packet)
  }
})

const text = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value as string)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}
const packet = (head: number, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  const length = body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7]
  return Buffer.concat([Buffer.from([head, ...length]), body])
}
const id = hex('0001')
const none = hex('0000')
const one = Buffer.from([1])

const packets: readonly (readonly [what: string, packet: Buffer, problem: string | undefined])[] = [
  ['a publish', packet(0x30, text('events/a'), hex('01')), undefined],
  ['a publish at QoS 1', packet(0x32, text('events/a'), id), undefined],
  ['packet id 0', packet(0x32, text('events/a'), none), 'protocol-error'],
  ['no packet id', packet(0x32, text('events/a')), 'malformed'],
  ['no topic', packet(0x30, text('')), 'malformed'],
  ['a topic that ends behind the packet', packet(0x30, hex('0009 65')), 'malformed'],
  ['half a length', packet(0x30, hex('00')), 'malformed'],
  ['a wildcard', packet(0x30, text('events/+')), 'malformed'],
  ['the other wildcard', packet(0x30, text('events/#')), 'malformed'],
  ['U+0000', packet(0x30, text('events/\u0000')), 'malformed'],
  ['no UTF-8', packet(0x30, text(hex('6576c328'))), 'malformed'],
  ['a surrogate', packet(0x30, text(hex('eda080'))), 'malformed'],
  ['too long a topic', packet(0x30, text('e'.repeat(limits.mqttTopicMaxBytes + 1))), 'too-large'],
  ['too deep a topic', packet(0x30, text('/'.repeat(limits.mqttTopicMaxLevels))), 'too-large'],
  ['PUBACK', packet(0x40, id), undefined],
  ['PUBACK of 0', packet(0x40, none), 'protocol-error'],
  ['a long PUBACK', packet(0x40, id, none), 'malformed'],
  ['a short PUBREL', packet(0x62, one), 'malformed'],
  ['PUBREC of what was never sent', packet(0x50, id), 'protocol-error'],
  ['PUBCOMP of what was never sent', packet(0x70, id), 'protocol-error'],
  ['a second CONNECT', packet(0x10, text('MQTT')), 'protocol-error'],
  ['AUTH', packet(0xf0), 'protocol-error'],
  ['a long PINGREQ', packet(0xc0, one), 'malformed'],
  ['a long DISCONNECT', packet(0xe0, one), 'malformed'],
  ['SUBSCRIBE', packet(0x82, id, text('commands/#'), one), undefined],
  ['SUBSCRIBE to nothing', packet(0x82, id), 'protocol-error'],
  ['SUBSCRIBE 0', packet(0x82, none, text('a'), one), 'protocol-error'],
  ['SUBSCRIBE at QoS 3', packet(0x82, id, text('a'), Buffer.from([3])), 'malformed'],
  ['SUBSCRIBE with reserved bits', packet(0x82, id, text('a'), Buffer.from([5])), 'malformed'],
  ['SUBSCRIBE without QoS', packet(0x82, id, text('a')), 'malformed'],
  ['SUBSCRIBE to an empty filter', packet(0x82, id, text(''), one), 'malformed'],
  ['SUBSCRIBE to a+', packet(0x82, id, text('a+'), one), 'malformed'],
  ['SUBSCRIBE to a/#/b', packet(0x82, id, text('a/#/b'), one), 'malformed'],
  ['SUBSCRIBE twice to one', packet(0x82, id, text('a'), one, text('a'), one), 'protocol-error'],
  ['UNSUBSCRIBE', packet(0xa2, id, text('commands/#')), undefined],
  ['UNSUBSCRIBE from nothing', packet(0xa2, id), 'protocol-error'],
  [
    'more filters than there may be',
    packet(0xa2, id, ...Array.from({ length: 17 }, (_, i) => text(`f${i}`))),
    'too-large',
  ],
]

test('what aedes does not look at is looked at before', () => {
  for (const [what, bytes, problem] of packets) {
    assert.equal(problemOf(bytes, limits), problem, what)
  }
})

test('no packet cut short or lengthened trips anything', () => {
  for (const [, bytes] of packets) {
    for (let end = 2; end <= bytes.length; end++) {
      const body = bytes.subarray(2, end)
      const shorter = Buffer.concat([Buffer.from([bytes[0]!, body.length & 0x7f]), body])
      problemOf(shorter, limits)
      problemOfConnect(shorter, 4, limits)
    }
  }
})

test('QoS 2 of a subscription is read as 1, which is then what is granted', () => {
  const bytes = packet(0x82, id, text('a'), Buffer.from([2]), text('b'), Buffer.from([0]))
  assert.equal(problemOf(bytes, limits), undefined)
  assert.equal(bytes.at(-5), 1)
  assert.equal(bytes.at(-1), 0)
})

const head = (flags: number): Buffer =>
  Buffer.concat([text('MQTT'), Buffer.from([4, flags]), hex('003c')])

const connects: readonly (readonly [what: string, packet: Buffer, problem: string | undefined])[] =
  [
    ['plain', packet(0x10, head(0x02), text('c')), undefined],
    [
      'with everything',
      packet(0x10, head(0xee), text('c'), text('w'), text('p'), text('u'), text('s')),
      undefined,
    ],
    ['the reserved flag', packet(0x10, head(0x03), text('c')), 'malformed'],
    ['will QoS 3', packet(0x10, head(0x1e), text('c'), text('w'), text('p')), 'malformed'],
    ['will QoS without a will', packet(0x10, head(0x0a), text('c')), 'malformed'],
    ['will retain without a will', packet(0x10, head(0x22), text('c')), 'malformed'],
    ['a password without a user', packet(0x10, head(0x42), text('c'), text('s')), 'malformed'],
    ['bytes behind the end', packet(0x10, head(0x02), text('c'), one), 'malformed'],
    ['a user that does not come', packet(0x10, head(0x82), text('c')), 'malformed'],
    [
      'a will to a wildcard',
      packet(0x10, head(0x06), text('c'), text('w/+'), text('p')),
      'malformed',
    ],
    ['a will to nothing', packet(0x10, head(0x06), text('c'), text(''), text('p')), 'malformed'],
    ['no UTF-8 in the client id', packet(0x10, head(0x02), text(hex('ff'))), 'malformed'],
    ['U+0000 in the user', packet(0x10, head(0x82), text('c'), text('\u0000')), 'malformed'],
    ['no client id, clean', packet(0x10, head(0x02), text('')), undefined],
    ['no client id, to come back to', packet(0x10, head(0x00), text('')), 'identifier-rejected'],
    ['a long client id', packet(0x10, head(0x02), text('c'.repeat(129))), 'identifier-rejected'],
  ]

test('a CONNECT is read with care before anybody acts on it', () => {
  for (const [what, bytes, problem] of connects) {
    assert.equal(problemOfConnect(bytes, 4, limits), problem, what)
  }
  const nameless = packet(0x10, text('MQIsdp'), Buffer.from([3, 2]), hex('003c'), text(''))
  assert.equal(problemOfConnect(nameless, 3, limits), 'identifier-rejected', 'in 3.1 there is none')
})
