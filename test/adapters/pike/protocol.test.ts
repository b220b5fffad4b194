import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  closeCode,
  type EventFrame,
  type Frame,
  type ReplyFrame,
} from '../../../adapters/pike/frames.ts'
import { bindingsMax } from '../../../adapters/pike/protocol.ts'
import { type Reason, reasons } from '../../../src/contract/index.ts'
import { helloFrame } from './client.ts'
import { FakeCore, type FakeSession } from './fake-core.ts'
import { MemoryWire, settled } from './memory-wire.ts'
import { valid } from './vectors.ts'

const event = (sequence: number | undefined, change: Partial<EventFrame> = {}): EventFrame => ({
  type: 'event',
  channelNumber: 0,
  sequence,
  name: 'door-opened',
  payload: Buffer.from('{"door":7}'),
  binary: false,
  ...change,
})

const reply = (sequence: number, offset: number, change: Partial<ReplyFrame> = {}): ReplyFrame => ({
  type: 'reply',
  channelNumber: 0,
  sequence,
  epoch: undefined,
  offset,
  status: 'done',
  reason: undefined,
  payload: Buffer.from('{}'),
  binary: false,
  ...change,
})

async function opened(
  core = new FakeCore(),
  change: Parameters<typeof helloFrame>[0] = {},
): Promise<MemoryWire> {
  const wire = new MemoryWire(core)
  await wire.client.open(change)
  return wire
}

/** One more channel of the same device. */
async function openMore(wire: MemoryWire, channelNumber: number, channel: string): Promise<void> {
  wire.client.send(helloFrame({ channelNumber, channel, nonce: Buffer.alloc(0) }))
  await wire.client.next('welcome')
}

test('a command goes down with its deadline counted from WELCOME', async () => {
  const core = new FakeCore()
  const { client } = await opened(core)
  core.clock.advance(2_000)
  const expiresAtMs = core.clock.nowMs() + 30_000
  assert.equal(core.last.deliver(5, { expiresAtMs, delivery: 'now', expect: 'reply' }), 'open')
  core.last.deliver(6, { expiresAtMs: core.clock.nowMs() - 60_000 }, true)
  core.last.deliver(7, {
    expiresAtMs,
    contentType: 'application/octet-stream',
    payload: Buffer.from([0, 255]),
  })
  const first = await client.next('command')
  assert.equal(first.deadlineMs, 32_000)
  assert.deepEqual([first.now, first.replyExpected, first.repeated], [true, true, false])
  const second = await client.next('command')
  assert.equal(second.deadlineMs, 0, 'what is over is over')
  assert.deepEqual([second.now, second.replyExpected, second.repeated], [false, false, true])
  const third = await client.next('command')
  assert.equal(third.binary, true)
  assert.deepEqual([...third.payload], [0, 255])
})

test('what one turn brings leaves in one write', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  const { writes } = wire
  for (let offset = 1; offset <= 10; offset++) core.last.deliver(offset)
  await settled()
  assert.equal(wire.client.heard.length, 10)
  assert.equal(wire.writes, writes + 1)
})

test('rule 13: a change of epoch is said before the command it is about', async () => {
  const core = new FakeCore()
  const { client } = await opened(core)
  core.last.deliver(1)
  core.last.deliver(2, { epoch: 8 })
  core.last.deliver(3, { epoch: 8 })
  core.last.deliver(4, { epoch: 7 })
  await settled()
  assert.deepEqual(
    client.heard.map((frame) => (frame.type === 'epoch' ? frame.epoch : frame.type)),
    ['command', 8, 'command', 'command', 7, 'command'],
  )
})

test('names of commands are sent once where the device remembers them', async () => {
  const core = new FakeCore()
  const wire = await opened(core, { bindingsMax: 1 })
  const sizes: number[] = []
  for (const name of ['open', 'open', 'light', 'light']) {
    const before = wire.client.bytesIn
    core.last.deliver(sizes.length + 1, { name })
    await settled()
    sizes.push(wire.client.bytesIn - before)
    assert.equal((await wire.client.next('command')).name, name)
  }
  assert.equal(sizes[0]! - sizes[1]!, 4)
  assert.equal(sizes[2], sizes[3])
})

test('a command larger than the device takes is not written', async () => {
  const core = new FakeCore()
  const wire = await opened(core, { frameMaxBytes: 300 })
  assert.equal(core.last.carries(1, { payload: Buffer.alloc(300) }), false)
  assert.equal(core.last.carries(2, { payload: Buffer.alloc(270) }), true)
  assert.equal(core.last.deliver(2, { payload: Buffer.alloc(270) }), 'open')
  await settled()
  assert.deepEqual(
    wire.client.heard.map((frame) => frame.type === 'command' && frame.offset),
    [2],
  )
})

test('a device that does not read stops its own pump, and is served on when it does', async () => {
  const core = new FakeCore({ linkMaxBytes: 1_000 })
  const wire = await opened(core)
  wire.stuck = true
  assert.equal(core.last.deliver(1, { payload: Buffer.alloc(500) }), 'open')
  assert.equal(core.last.deliver(2, { payload: Buffer.alloc(500) }), 'full')
  await settled()
  assert.equal(core.last.drains, 0)
  wire.unstick()
  assert.equal(core.last.drains, 1)
  wire.unstick()
  assert.equal(core.last.drains, 1, 'said once')
  assert.equal(core.last.deliver(3), 'open')
})

test('what is already on its way when the link is full is taken too', async () => {
  const core = new FakeCore({ linkMaxBytes: 1_000 })
  const wire = await opened(core)
  wire.stuck = true
  const offsets = [1, 2, 3, 4, 5, 6]
  const answers = offsets.map((n) => core.last.deliver(n, { payload: Buffer.alloc(300) }))
  assert.deepEqual(answers, ['open', 'open', 'open', 'full', 'full', 'full'])
  wire.unstick()
  assert.equal(core.last.drains, 1)
  assert.deepEqual(
    wire.client.heard.map((frame) => frame.type === 'command' && frame.offset),
    offsets,
  )
})

test('an event is acknowledged once it is kept, not before', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.answer = undefined
  wire.client.send(event(1), event(2, { binary: true }))
  await settled()
  assert.deepEqual(wire.client.heard, [])
  assert.deepEqual(core.last.calls, [2], 'what came together is handed over together')
  const uplinks = core.last.uplinks.map((one) => ({ ...one, payload: Buffer.from(one.payload) }))
  assert.deepEqual(uplinks, [
    {
      name: 'door-opened',
      payload: Buffer.from('{"door":7}'),
      contentType: 'application/json',
      stamp: { epoch: 9, sequence: 1 },
    },
    {
      name: 'door-opened',
      payload: Buffer.from('{"door":7}'),
      contentType: 'application/octet-stream',
      stamp: { epoch: 9, sequence: 2 },
    },
  ])
  core.last.settle()
  const ack = await wire.client.next('ack')
  assert.equal(ack.upTo, 2)
})

test('acknowledgements of one turn leave as one, and speak for all before', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.answer = undefined
  for (let sequence = 1; sequence <= 5; sequence++) wire.client.send(event(sequence))
  const [first, second, ...others] = core.last.waiting.splice(0)
  second!('kept')
  await settled()
  assert.deepEqual(wire.client.heard, [], 'the second waits for the first')
  first!('kept')
  for (const settled of others) settled('kept')
  await settled()
  assert.deepEqual(wire.client.heard, [{ type: 'ack', channelNumber: 0, upTo: 5 }])
})

test('an unreliable event is handed over without a stamp and never acknowledged', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  wire.client.send(event(undefined))
  await settled()
  assert.equal(core.last.uplinks[0]?.stamp, undefined)
  assert.deepEqual(wire.client.heard, [])
})

test('a batch is its events, numbered', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  const payloads = ['1', '2', '3'].map((text) => Buffer.from(text))
  wire.client.send({
    type: 'batch',
    channelNumber: 0,
    sequence: 40,
    name: 't',
    binary: false,
    payloads,
  })
  assert.equal((await wire.client.next('ack')).upTo, 42)
  assert.deepEqual(
    core.last.uplinks.map(({ stamp, payload }) => [
      stamp?.sequence,
      Buffer.from(payload).toString(),
    ]),
    [
      [40, '1'],
      [41, '2'],
      [42, '3'],
    ].map(([sequence, text]) => [sequence, text]),
  )
})

test('rule 16: a reply is handed over with its stamp, and acknowledged once kept', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.answer = undefined
  wire.client.send(event(1), reply(2, 5, { status: 'failed', reason: 'jammed' }))
  wire.client.send(reply(3, 4, { epoch: 6 }))
  assert.deepEqual(core.last.calls, [1], 'the event before it has been handed over')
  const [first, second] = core.last.replies
  assert.deepEqual(
    [first?.epoch, first?.offset, first?.status, first?.reason, first?.stamp],
    [7, 5, 'failed', 'jammed', { epoch: 9, sequence: 2 }],
  )
  assert.deepEqual([second?.epoch, second?.offset], [6, 4])
  core.last.settle()
  assert.equal((await wire.client.next('ack')).upTo, 3)
})

test('a reply after EPOCH means the epoch of WELCOME unless it says another', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.deliver(1, { epoch: 8 })
  wire.client.send(reply(1, 1))
  assert.equal(core.last.replies[0]?.epoch, 7)
})

test('a reply to a command nobody knows is acknowledged, so that it is not sent for ever', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.answer = 'unknown'
  wire.client.send(reply(1, 5))
  assert.equal((await wire.client.next('ack')).upTo, 1)
})

test('what cannot be kept is not acknowledged, and the device is asked to come back', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.answer = 'unavailable'
  wire.client.send(event(1))
  const close = await wire.client.next('close')
  assert.deepEqual([close.code, close.retryAfterS], [closeCode.unavailable, 2])
  assert.deepEqual(core.last.detached, [false])
  assert.deepEqual(wire.client.heard, [])
})

test('rule 12: an acknowledgement moves the cursor; one of what was not sent is an error', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.deliver(3)
  wire.client.send({ type: 'ack', channelNumber: 0, upTo: 3 })
  assert.deepEqual(core.last.acks, [3])
  wire.client.send({ type: 'ack', channelNumber: 0, upTo: 4 })
  assert.equal((await wire.client.next('close')).code, closeCode['protocol-error'])
})

test('every chunk is one sign of life, for each channel', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  await openMore(wire, 1, 'urgent')
  const [main, urgent] = core.sessions
  const before = [main!.touched, urgent!.touched]
  wire.client.send({ type: 'ping' }, { type: 'ping' }, event(1))
  wire.client.sendBytes(Buffer.from('40', 'hex'))
  assert.deepEqual([main!.touched - before[0]!, urgent!.touched - before[1]!], [2, 2])
  await settled()
  assert.deepEqual(
    wire.client.heard.map(({ type }) => type),
    ['pong', 'ack'],
    'pings that came together are answered together',
  )
})

test('a probe is a ping', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  assert.equal(core.last.link.probe(), true)
  await wire.client.next('ping')
  wire.client.send({ type: 'pong', keepaliveS: undefined })
  assert.equal(wire.ended, undefined)
})

test('reading pauses over 64 uplinks not yet kept, and goes on below half', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.answer = undefined
  for (let sequence = 1; sequence <= 64; sequence++) wire.client.send(event(sequence))
  assert.equal(wire.held, false)
  assert.equal(core.last.link.reads?.(), true)
  wire.client.send(event(65))
  assert.equal(wire.held, true)
  assert.equal(core.last.link.reads?.(), false)
  core.last.settle('kept', 33)
  assert.equal(wire.held, true)
  core.last.settle('kept', 1)
  assert.equal(wire.held, false)
  assert.equal(core.last.link.reads?.(), true)
})

test('while we do not read, the silence is ours: each settling is a sign of life', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  await openMore(wire, 1, 'urgent')
  const [main, urgent] = core.sessions as [FakeSession, FakeSession]
  main.answer = undefined
  for (let sequence = 1; sequence <= 65; sequence++) wire.client.send(event(sequence))
  assert.equal(wire.held, true)
  let before = [main.touched, urgent.touched]
  const touches = () => [main.touched - before[0]!, urgent.touched - before[1]!]
  main.settle('kept', 1)
  assert.deepEqual(touches(), [1, 1])
  main.settle('kept', 33)
  assert.equal(wire.held, false)
  assert.deepEqual(touches(), [34, 34], 'the last when reading goes on')
  before = [main.touched, urgent.touched]
  main.settle()
  assert.deepEqual(touches(), [0, 0], 'then only what arrives counts')
})

test('a small payload does not keep a large chunk alive', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  const many = Array.from({ length: 3_000 }, (_, n) => event(n + 1))
  wire.client.send(...many)
  const { payload } = core.last.uplinks[0]!
  assert.ok(payload.buffer.byteLength < 5_000, `${payload.buffer.byteLength}`)
})

const afterWelcome: readonly [string, Frame | string, Reason][] = [
  ['a sequence that does not grow', event(5), 'protocol-error'],
  ['an event on a channel never opened', event(9, { channelNumber: 3 }), 'protocol-error'],
  [
    'an ack on a channel never opened',
    { type: 'ack', channelNumber: 3, upTo: 0 },
    'protocol-error',
  ],
  [
    'AUTH without HELLO',
    { type: 'auth', channelNumber: 0, method: 'proof', proof: Buffer.alloc(32) },
    'protocol-error',
  ],
  [
    'AUTH for a channel never opened',
    { type: 'auth', channelNumber: 4, method: 'proof', proof: Buffer.alloc(32) },
    'protocol-error',
  ],
  [
    'a challenge',
    { type: 'auth', channelNumber: 0, method: 'challenge', kdf: 'hkdf', nonce: Buffer.alloc(12) },
    'protocol-error',
  ],
  ['a second HELLO for channel 0', helloFrame(), 'protocol-error'],
  [
    'WELCOME',
    valid.find(({ frame }) => (frame as Frame).type === 'welcome')!.hex,
    'protocol-error',
  ],
  ['EPOCH', { type: 'epoch', channelNumber: 0, epoch: 1 }, 'protocol-error'],
  ['COMMAND', '6003010004', 'malformed'],
  ['COMMAND, well formed', '600401000461', 'protocol-error'],
  ['GOAWAY', { type: 'goaway', code: 0, spreadMs: 0, endpoints: [] }, 'protocol-error'],
  ['a reserved type, critical', 'd100', 'unsupported'],
  ['frame type 0', '0000', 'malformed'],
  ['a frame over its limit', '70818004', 'too-large'],
  ['a payload over its limit', event(9, { payload: Buffer.alloc(49_153) }), 'too-large'],
  ['a name over its limit', event(9, { name: 'n'.repeat(129) }), 'protocol-error'],
  ['a name never taught', '70020905', 'malformed'],
]

for (const [what, frame, reason] of afterWelcome) {
  test(`after WELCOME: ${what} closes with ${reason}`, async () => {
    const core = new FakeCore()
    const wire = await opened(core)
    wire.client.send(event(5, { name: 'first' }))
    await wire.client.next('ack')
    if (typeof frame === 'string') wire.client.sendBytes(Buffer.from(frame, 'hex'))
    else wire.client.send(frame)
    const close = await wire.client.next('close')
    assert.equal(close.code, closeCode[reason], close.text)
    assert.equal(wire.ended, 'end')
    assert.deepEqual(core.last.detached, [false])
    // Dead is dead.
    wire.client.send(event(10))
    assert.equal(core.last.uplinks.length, 1)
  })
}

test('what stands before an error in the same chunk is handed over still', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  const good = wire.client.encoder.encode(event(1))
  wire.client.sendBytes(Buffer.concat([good, Buffer.from('0000', 'hex')]))
  assert.equal(core.last.uplinks.length, 1)
  assert.equal((await wire.client.next('close')).code, closeCode.malformed)
})

test('a reserved type that is not critical is passed over', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  wire.client.sendBytes(Buffer.from('d003aabbcc', 'hex'))
  wire.client.send(event(1))
  assert.equal((await wire.client.next('ack')).upTo, 1)
})

test('a reliable uplink needs an uplink epoch; an unreliable one does not', async () => {
  for (const frame of [event(1), reply(1, 1)]) {
    const core = new FakeCore()
    const wire = await opened(core, { uplinkEpoch: 0 })
    assert.equal(core.last.hello.uplinkEpoch, undefined)
    wire.client.send(event(undefined))
    assert.equal(core.last.uplinks.length, 1)
    wire.client.send(frame)
    assert.equal((await wire.client.next('close')).code, closeCode['protocol-error'])
  }
})

test('what was not agreed on is refused', async () => {
  const core = new FakeCore()
  const wire = await opened(core, { capabilities: 0 })
  wire.client.send(event(1, { name: 'a' }))
  await wire.client.next('ack')
  wire.client.send({
    type: 'batch',
    channelNumber: 0,
    sequence: 2,
    name: 'a',
    binary: false,
    payloads: [Buffer.alloc(1)],
  })
  assert.equal((await wire.client.next('close')).code, closeCode['protocol-error'])

  const other = await opened(new FakeCore(), { capabilities: 1 })
  other.client.send(event(1, { name: 'a' }))
  await other.client.next('ack')
  other.client.sendBytes(Buffer.from('70020201', 'hex'))
  assert.equal((await other.client.next('close')).code, closeCode.malformed)
})

test('names the device teaches are remembered up to the bound', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  assert.equal(wire.client.encoder.bindingsMax, bindingsMax)
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < bindingsMax + 10; n++) {
      wire.client.send(event(round * 1_000 + n + 1, { name: `n${n}` }))
    }
  }
  assert.deepEqual(
    core.last.uplinks.map(({ name }) => name),
    [0, 1].flatMap(() => Array.from({ length: bindingsMax + 10 }, (_, n) => `n${n}`)),
  )
})

for (const [reason, { reset }] of Object.entries(reasons)) {
  test(`the core closes with ${reason}: ${reset ? 'reset, and nothing more is written (rule 20)' : 'said, then ended'}`, async () => {
    const core = new FakeCore()
    const wire = await opened(core)
    wire.stuck = reset
    core.last.deliver(1)
    core.last.link.close(reason as Reason, 1_500)
    core.last.link.close('normal')
    if (reset) {
      assert.equal(wire.ended, 'reset')
      assert.equal(wire.waitingBytes, 0)
      assert.deepEqual(wire.client.heard, [])
    } else {
      const close = await wire.client.next('close')
      assert.deepEqual([close.code, close.retryAfterS], [closeCode[reason as Reason], 2])
      assert.equal(close.text, reasons[reason as Reason].text)
      assert.equal(wire.ended, 'end')
    }
    assert.equal(core.last.deliver(2), 'full', 'nothing is written to a closed link')
    assert.equal(wire.gate.counts.channels, 0)
  })
}

test('a goodbye of the device is a graceful end; silence is not', async () => {
  const core = new FakeCore()
  const polite = await opened(core)
  polite.client.send(event(1), {
    type: 'close',
    channelNumber: undefined,
    code: 0,
    retryAfterS: 0,
    text: '',
  })
  assert.deepEqual(core.last.detached, [true])
  assert.equal(core.last.uplinks.length, 1, 'what it said before is taken')
  assert.equal(polite.ended, 'end')

  const gone = await opened(core)
  gone.protocol.lost()
  assert.deepEqual(core.last.detached, [false])
})

test('channels of one device share a connection, each with its own order', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  const asked = core.asked.length
  await openMore(wire, 1, 'urgent')
  const [main, urgent] = core.sessions
  assert.equal(core.asked.length, asked, 'it proved itself once')
  assert.equal(urgent!.link.id, `${main!.link.id}.1`)
  wire.client.send(event(1), event(1, { channelNumber: 1 }), event(2))
  await settled()
  assert.deepEqual(wire.client.heard, [
    { type: 'ack', channelNumber: 0, upTo: 2 },
    { type: 'ack', channelNumber: 1, upTo: 1 },
  ])
  urgent!.deliver(1)
  await settled()
  assert.equal((await wire.client.next('command')).channelNumber, 1)
  wire.client.send({ type: 'ack', channelNumber: 1, upTo: 1 })
  assert.deepEqual([main!.acks, urgent!.acks], [[], [1]])
})

test('the end of one channel leaves the others; the end of the last ends the connection', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  await openMore(wire, 1, 'urgent')
  const [main, urgent] = core.sessions
  main!.link.close('taken-over')
  const close = await wire.client.next('close')
  assert.deepEqual([close.channelNumber, close.code], [0, closeCode['taken-over']])
  assert.equal(wire.ended, undefined)
  // On its way before the device heard of it.
  wire.client.send(event(1), { type: 'ack', channelNumber: 0, upTo: 1 })
  wire.client.send(event(1, { channelNumber: 1 }))
  assert.equal((await wire.client.next('ack')).channelNumber, 1)
  assert.equal(main!.uplinks.length, 0)
  urgent!.link.close('device-removed')
  const last = await wire.client.next('close')
  assert.deepEqual([last.channelNumber, last.code], [undefined, closeCode['device-removed']])
  assert.equal(wire.ended, 'end')
})

test('a device may close one channel and open it again', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  await openMore(wire, 1, 'urgent')
  wire.client.send({ type: 'close', channelNumber: 1, code: 0, retryAfterS: 0, text: '' })
  assert.deepEqual(core.last.detached, [true])
  await openMore(wire, 1, 'media')
  assert.equal(core.last.channel, 'default/SZ-0042/media')
  const ids = new Set(core.sessions.map(({ link }) => link.id))
  assert.equal(ids.size, 3, 'a link id is never used twice')
})

test('a reset for one channel resets the connection: its bytes are in the same buffer', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  await openMore(wire, 1, 'urgent')
  const [main, urgent] = core.sessions
  urgent!.link.close('unresponsive')
  assert.equal(wire.ended, 'reset')
  assert.deepEqual(main!.detached, [false])
})

test('another device on the same connection proves itself', async () => {
  const core = new FakeCore()
  const other = 'another-secret-of-enough-length'
  core.add('SZ-0043', { secret: other })
  const wire = await opened(core)
  const welcome = await wire.client.open({ channelNumber: 2, device: 'SZ-0043' }, { secret: other })
  assert.equal(welcome.channelNumber, 2)
  assert.equal(core.last.channel, 'default/SZ-0043/main')
  await openMore(wire, 3, 'urgent')
})

test('another device without a proof, or with a wrong one, is refused on its channel alone', async () => {
  const core = new FakeCore()
  core.add('SZ-0043', { secret: 'another-secret-of-enough-length' })
  const wire = await opened(core)
  wire.client.send(helloFrame({ channelNumber: 2, device: 'SZ-0043', nonce: Buffer.alloc(0) }))
  const close = await wire.client.next('close')
  assert.deepEqual([close.channelNumber, close.code], [2, closeCode.unauthorized])
  const wrong = { proof: Buffer.alloc(32) }
  wire.client.send(helloFrame({ channelNumber: 3, device: 'SZ-0043' }))
  await wire.client.next('auth')
  wire.client.send({ type: 'auth', channelNumber: 3, method: 'proof', ...wrong })
  const second = await wire.client.next('close')
  assert.deepEqual([second.channelNumber, second.code], [3, closeCode.unauthorized])
  assert.deepEqual(core.wrong, ['default/SZ-0043'])
  wire.client.send(event(1))
  await wire.client.next('ack')
})

test('a further channel has 5 s too, and its end is its own', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  wire.client.send(helloFrame({ channelNumber: 2, device: 'SZ-0043' }))
  await wire.client.next('auth')
  core.clock.advance(5_000)
  const close = await wire.client.next('close')
  assert.deepEqual([close.channelNumber, close.code], [2, closeCode['handshake-timeout']])
  // Its proof was on the way.
  wire.client.send({ type: 'auth', channelNumber: 2, method: 'proof', proof: Buffer.alloc(32) })
  wire.client.send(event(1))
  await wire.client.next('ack')
})

test('no more than 64 channels, and no more openings at once', async () => {
  const core = new FakeCore({ connectionMaxChannels: 3 })
  const wire = await opened(core)
  await openMore(wire, 1, 'urgent')
  await openMore(wire, 2, 'media')
  wire.client.send(helloFrame({ channelNumber: 3, channel: 'more', nonce: Buffer.alloc(0) }))
  const close = await wire.client.next('close')
  assert.deepEqual([close.channelNumber, close.code], [3, closeCode.overloaded])

  // Openings given up still cost until their work is done.
  for (let n = 0; n < 4; n++) {
    wire.client.send(helloFrame({ channelNumber: 9, device: `d${n}` }))
    wire.client.send({ type: 'close', channelNumber: 9, code: 0, retryAfterS: 0, text: '' })
  }
  const end = await wire.client.next('close')
  assert.deepEqual([end.channelNumber, end.code], [undefined, closeCode.overloaded])
})

test('going away: what was taken is acknowledged, what comes then stays with the device', async () => {
  const core = new FakeCore()
  const wire = await opened(core)
  core.last.answer = undefined
  wire.client.send(event(1))
  wire.protocol.goAway(1_000)
  wire.client.send(event(2))
  const goaway = await wire.client.next('goaway')
  assert.deepEqual([goaway.code, goaway.spreadMs], [closeCode['going-away'], 1_000])
  assert.equal(core.last.uplinks.length, 1)
  assert.equal(wire.ended, undefined)
  core.last.settle()
  assert.deepEqual(
    wire.client.heard.map((frame) => [frame.type, frame.type === 'ack' && frame.upTo]),
    [
      ['ack', 1],
      ['close', false],
    ],
  )
  assert.equal(wire.ended, 'end')
  assert.deepEqual(core.last.detached, [false])
})

test('going away from an idle device is said at once', async () => {
  const wire = await opened()
  wire.protocol.goAway(1_000)
  assert.equal((await wire.client.next('close')).code, closeCode['going-away'])
})
