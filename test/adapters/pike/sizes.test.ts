import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameEncoder } from '../../../adapters/pike/codec.ts'
import type { CommandFrame, EventFrame, ReplyFrame } from '../../../adapters/pike/frames.ts'
import { session } from './vectors.ts'

// Numbers of two bytes: a channel in the midst of its life, not at its flattering start.
const sequence = 1_000

const event = (name: string, payload: Uint8Array): EventFrame => ({
  type: 'event',
  channelNumber: 0,
  sequence,
  name,
  payload,
  binary: false,
})

const command: CommandFrame = {
  type: 'command',
  channelNumber: 0,
  offset: 100,
  deadlineMs: 7 * 24 * 3_600_000,
  name: 'open',
  payload: Buffer.alloc(53, 0x20),
  binary: false,
  replyExpected: true,
  now: false,
  repeated: false,
}

const reply: ReplyFrame = {
  type: 'reply',
  channelNumber: 0,
  sequence,
  epoch: undefined,
  offset: 100,
  status: 'done',
  reason: undefined,
  payload: Buffer.alloc(18, 0x20),
  binary: false,
}

test('a reliable message costs 10 bytes with its name, 6 by its number', () => {
  const encoder = new FrameEncoder()
  encoder.bindingsMax = 8
  const payload = Buffer.alloc(53, 0x20)
  assert.equal(encoder.encode(event('open', payload)).length - payload.length, 9)
  assert.equal(encoder.encode(event('open', payload)).length - payload.length, 5)
})

test('an acknowledgement costs 4 bytes, for as many as it covers', () => {
  const ack = new FrameEncoder().encode({ type: 'ack', channelNumber: 0, upTo: sequence })
  assert.equal(ack.length, 4)
})

test('a heartbeat costs 4 bytes both ways', () => {
  const encoder = new FrameEncoder()
  const both = Buffer.concat([
    encoder.encode({ type: 'ping' }),
    encoder.encode({ type: 'pong', keepaliveS: undefined }),
  ])
  assert.equal(both.length, 4)
})

test('a command of 53 bytes and its reply of 18 cost 90, with deadline and correlation', () => {
  const encoder = new FrameEncoder()
  const both = encoder.encode(command).length + encoder.encode(reply).length
  assert.ok(both <= 90, `${both}`)
})

test('a first connect, both ends proved, costs 190', () => {
  const bytes = session.frames.slice(0, 4).reduce((sum, { hex }) => sum + hex.length / 2, 0)
  assert.ok(bytes <= 190, `${bytes}`)
})

test('ten reliable events of 54 bytes cost 580, with their acknowledgement', () => {
  const encoder = new FrameEncoder()
  const batch = encoder.encode({
    type: 'batch',
    channelNumber: 0,
    sequence,
    name: 'telemetry',
    binary: false,
    payloads: Array.from({ length: 10 }, () => Buffer.alloc(54, 0x20)),
  })
  const ack = encoder.encode({ type: 'ack', channelNumber: 0, upTo: sequence + 9 })
  assert.equal(batch.length + ack.length, 569)
})
