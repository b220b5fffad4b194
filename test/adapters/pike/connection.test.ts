import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeCore } from './fake-core.ts'
import { dial, listen } from './sockets.ts'

test('a device proves itself, gets a command, acknowledges it and reports', async (t) => {
  const core = new FakeCore()
  const { port } = await listen(t, core)
  const { client } = dial(t, port)
  const welcome = await client.open()
  assert.equal(welcome.epoch, 7)
  assert.equal(core.last.started, 1)
  core.last.deliver(1, { expiresAtMs: core.clock.nowMs() + 30_000, expect: 'reply' })
  const command = await client.next('command')
  assert.equal(command.deadlineMs, 30_000)
  client.send(
    {
      type: 'event',
      channelNumber: 0,
      sequence: 1,
      name: 'door-opened',
      payload: Buffer.from('{}'),
      binary: false,
    },
    {
      type: 'reply',
      channelNumber: 0,
      sequence: 2,
      epoch: undefined,
      offset: 1,
      status: 'done',
      reason: undefined,
      payload: Buffer.from('{}'),
      binary: false,
    },
  )
  const ack = await client.next('ack')
  assert.equal(ack.upTo, 2)
  assert.equal(core.last.uplinks[0]?.name, 'door-opened')
  assert.deepEqual(core.last.replies[0]?.stamp, { epoch: 9, sequence: 2 })
})
