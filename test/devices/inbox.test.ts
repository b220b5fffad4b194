import assert from 'node:assert/strict'
import test from 'node:test'
import type { CommandFrame } from '../../adapters/pike/frames.ts'
import { Inbox } from '../../devices/inbox.ts'

const [e1, e2, e3] = [111, 222, 333]

const command = (offset: number): CommandFrame => ({
  type: 'command',
  channelNumber: 0,
  offset,
  deadlineMs: 0,
  name: 'open',
  payload: new Uint8Array(0),
  binary: false,
  replyExpected: false,
  now: false,
  repeated: false,
})

/** One session that brings a backlog of several epochs; WELCOME names the newest. */
function backlog(...spans: readonly (readonly [epoch: number, ...offsets: number[]])[]) {
  const inbox = new Inbox([], 16)
  inbox.welcome(1, spans.at(-1)![0])
  for (const [epoch, ...offsets] of spans) {
    inbox.renumbered(epoch)
    for (const offset of offsets) assert.equal(inbox.take(command(offset)), undefined)
  }
  return { inbox, next: () => inbox.next()! }
}

test('a refusal that leaves after the epoch moved on stands in the way no more', () => {
  for (const spans of [
    [
      [e1, 1, 2],
      [e2, 3, 4],
    ],
    [
      [e1, 1],
      [e2, 2],
      [e3, 3, 4],
    ],
  ] as const) {
    const { inbox, next } = backlog(...spans)
    inbox.owe(next(), 0)
    const late = next()
    inbox.refuse(late)
    inbox.owe(next(), 0)
    assert.equal(inbox.acknowledge(), 1, 'nothing overtakes the refusal')
    assert.equal(inbox.acknowledge(), undefined)
    inbox.replied(late.epoch, late.frame.offset)
    inbox.owe(next(), 0)
    assert.equal(inbox.acknowledge(), 4)
    for (let offset = 5; offset < 21; offset++)
      assert.equal(inbox.take(command(offset)), undefined, 'nothing of it is open any more')
  }
})

test('a reply to another command of the same offset acknowledges nothing', () => {
  const { inbox, next } = backlog([e2, 1, 2])
  inbox.refuse(next())
  inbox.owe(next(), 0)
  inbox.replied(e1, 1)
  inbox.replied(e1, 2)
  assert.equal(inbox.acknowledge(), undefined)
  inbox.replied(e2, 1)
  assert.equal(inbox.acknowledge(), 2)
})

test('a refusal that can never be written is acknowledged in its turn', () => {
  const { inbox, next } = backlog([e1, 1, 2, 3])
  inbox.owe(next(), 0)
  inbox.refuse(next())
  inbox.owe(next(), 0)
  inbox.unrefused(e1, 2, 0)
  inbox.replied(e1, 3)
  assert.equal(inbox.acknowledge(), 2)
  assert.equal(inbox.ackDueMs, Number.POSITIVE_INFINITY)
})
