import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Outflow } from '../../../adapters/pike/outflow.ts'
import { limits } from '../../../src/contract/index.ts'
import { helloFrame } from './client.ts'
import { FakeCore, type FakeSession } from './fake-core.ts'
import { MemoryWire, settled } from './memory-wire.ts'

const noNonce = Buffer.alloc(0)
const { besideUrgentMaxBytes } = limits

interface Street {
  readonly wire: MemoryWire
  readonly main: FakeSession
  readonly urgent: FakeSession
  readonly media: FakeSession
}

/** One connection with three channels, of which `media` is not read quickly. */
async function street(): Promise<Street> {
  const core = new FakeCore()
  const wire = new MemoryWire(core)
  await wire.client.open()
  const sessions = [core.last]
  for (const [number, channel] of [
    [1, 'urgent'],
    [2, 'media'],
  ] as const) {
    wire.client.send(helloFrame({ channelNumber: number, channel, nonce: noNonce }))
    await wire.client.next('welcome')
    sessions.push(core.last)
  }
  const [main, urgent, media] = sessions
  return { wire, main: main!, urgent: urgent!, media: media! }
}

const commands = ({ client }: MemoryWire): string[] =>
  client.heard.flatMap((frame) =>
    frame.type === 'command' ? [`${frame.channelNumber} ${frame.offset}`] : [],
  )
const bytesOf = ({ client }: MemoryWire, channelNumber: number): number =>
  client.heard.reduce(
    (sum, frame) =>
      frame.type === 'command' && frame.channelNumber === channelNumber
        ? sum + frame.payload.length
        : sum,
    0,
  )
const picture = { payload: Buffer.alloc(8 * 1024, 1) }

test('what is said in one turn: urgent goes first, in whatever order it was said', async () => {
  const { wire, main, urgent, media } = await street()
  media.deliver(1, { payload: Buffer.from('1') })
  main.deliver(1, { payload: Buffer.from('1') })
  urgent.deliver(1, { payload: Buffer.from('{}') })
  urgent.deliver(2, { payload: Buffer.from('{}') })
  await settled()
  assert.deepEqual(commands(wire), ['1 1', '1 2', '0 1', '2 1'])
})

test('64 KiB of media for a slow device: at most the bound of it is before urgent, and none is lost', async () => {
  const { wire, urgent, media } = await street()
  let full = false
  for (let offset = 1; offset <= 8; offset++)
    full = media.deliver(offset, picture) === 'full' || full
  await settled()
  // The network takes everything; the device has acknowledged nothing of it.
  assert.equal(bytesOf(wire, 2), besideUrgentMaxBytes)
  urgent.deliver(1, { payload: Buffer.from('{"door":7}') })
  await settled()
  assert.deepEqual(commands(wire), ['2 1', '2 2', '1 1'])
  media.deliver(9, picture)
  assert.equal(media.drains, 0, 'the core is not asked for more')
  for (let upTo = 1; upTo <= 9; upTo++) {
    wire.client.send({ type: 'ack', channelNumber: 2, upTo })
    await settled()
    assert.ok(
      bytesOf(wire, 2) - upTo * picture.payload.length <= besideUrgentMaxBytes,
      `within the bound after ${upTo}`,
    )
  }
  assert.deepEqual(
    commands(wire).filter((one) => one.startsWith('2')),
    Array.from({ length: 9 }, (_, i) => `2 ${i + 1}`),
  )
  assert.ok(media.drains > 0, 'and then it is')
})

test('one command larger than the bound goes all the same, alone; a reply makes room as an ACK does', async () => {
  const { wire, media } = await street()
  const large = { payload: Buffer.alloc(40_000, 1) }
  media.deliver(1, large)
  media.deliver(2, large)
  await settled()
  assert.deepEqual(commands(wire), ['2 1'])
  wire.client.send({
    ...{ type: 'reply', channelNumber: 2, sequence: 1, epoch: undefined, offset: 1 },
    ...{ status: 'done', reason: undefined, payload: noNonce, binary: false },
  })
  await settled()
  assert.deepEqual(commands(wire), ['2 1', '2 2'])
})

test('without an urgent channel beside it nothing waits; and when that one leaves, what waited goes', async () => {
  const core = new FakeCore()
  const wire = new MemoryWire(core)
  await wire.client.open({ channel: 'media' })
  for (let offset = 1; offset <= 4; offset++) core.last.deliver(offset, picture)
  await settled()
  assert.equal(commands(wire).length, 4)

  const other = await street()
  for (let offset = 1; offset <= 4; offset++) other.media.deliver(offset, picture)
  await settled()
  assert.equal(commands(other.wire).length, 2)
  other.wire.client.send({
    ...{ type: 'close', channelNumber: 1, code: 0, retryAfterS: 0, text: '' },
  })
  other.wire.client.send({ type: 'ping' })
  await settled()
  assert.equal(commands(other.wire).length, 4)
})

test('whatever is added, taken and acknowledged: in order, within the bound, nothing left behind', () => {
  const maxBytes = 100
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), bytes: fc.nat(150) }),
    fc.record({ kind: fc.constant('take' as const) }),
    fc.record({ kind: fc.constant('upTo' as const), back: fc.nat(5) }),
    fc.record({ kind: fc.constant('one' as const), back: fc.nat(5) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const flow = new Outflow<{ offset: number; bytes: number }>(maxBytes)
      const taken: number[] = []
      const out = new Map<number, number>()
      let top = 0
      const take = () => {
        for (const { offset, bytes } of flow.take(true)) {
          taken.push(offset)
          out.set(offset, bytes)
        }
        const sum = [...out.values()].reduce((all, bytes) => all + bytes, 0)
        assert.equal(flow.outBytes, sum)
        assert.ok(
          sum <= maxBytes || [...out.values()].filter((bytes) => bytes > 0).length === 1,
          `${sum} are out`,
        )
      }
      for (const one of steps) {
        if (one.kind === 'add') flow.add({ offset: ++top, bytes: one.bytes })
        else if (one.kind === 'take') take()
        else {
          const offset = Math.max(1, (taken.at(-1) ?? 0) - one.back)
          if (one.kind === 'upTo') {
            flow.acknowledgedUpTo(offset)
            for (const known of [...out.keys()]) if (known <= offset) out.delete(known)
          } else {
            flow.acknowledged(offset)
            out.delete(offset)
          }
        }
      }
      while (!flow.isEmpty) {
        flow.acknowledgedUpTo(top)
        out.clear()
        take()
      }
      assert.deepEqual(
        taken,
        Array.from({ length: top }, (_, i) => i + 1),
      )
    }),
  )
})
