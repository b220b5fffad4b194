import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MqttChannel } from '../../../adapters/mqtt/channel.ts'
import { Downlinks } from '../../../adapters/mqtt/downlinks.ts'
import type { Outgoing, Wire } from '../../../adapters/mqtt/wire.ts'
import type { KeptCommand } from '../../../src/contract/index.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** A wire that writes down, and one channel on it. */
function stage(receiveMaximum = 65_535) {
  const clock = new ManualClock()
  const sent: Outgoing[] = []
  const acknowledged: number[] = []
  const wire = { receiveMaximum, publish: (one: Outgoing) => void sent.push(one) }
  const channel = {
    qos: 1,
    template: { namesCommand: true },
    session: { acknowledge: (offset: number) => void acknowledged.push(offset) },
    trail: { frame: () => {} },
  }
  const downlinks = new Downlinks(wire as unknown as Wire, clock)
  const send = (offset: number, change: Partial<KeptCommand> = {}): void => {
    const command = { id: `c${offset}`, offset, expiresAtMs: clock.nowMs() + 1_000, ...change }
    const kept = command as KeptCommand
    downlinks.send(channel as unknown as MqttChannel, 'topic', kept, false)
  }
  return { clock, sent, acknowledged, downlinks, send }
}

test('the acknowledgement of a packet id is that of its command, in any order, once', () => {
  const { sent, acknowledged, downlinks, send } = stage()
  for (const offset of [10, 11, 13]) send(offset)
  assert.deepEqual(
    sent.map(({ messageId }) => messageId),
    [1, 2, 3],
  )
  assert.deepEqual(
    [3, 1, 1, 9].map((id) => downlinks.acknowledge(id)),
    [true, true, false, false],
  )
  assert.deepEqual(acknowledged, [13, 10])
})

test('packet ids begin again at 1, never at one that is out', () => {
  const { sent, downlinks, send } = stage()
  send(1)
  for (let i = 2; i <= 65_535; i++) {
    send(i)
    downlinks.acknowledge(i)
  }
  send(70_000)
  assert.equal(sent.at(-1)!.messageId, 2, '0 is none, and 1 is out')
})

test('a client gets no more than it takes, and what waited too long not at all', () => {
  const { clock, sent, downlinks, send } = stage(2)
  send(1)
  send(2)
  send(3)
  send(4, { expiresAtMs: clock.nowMs() + 9_000 })
  assert.equal(sent.length, 2)
  clock.advance(2_000)
  downlinks.acknowledge(1)
  assert.deepEqual(
    sent.map(({ command }) => command.offset),
    [1, 2, 4],
  )
})
