import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeCore } from './fake-core.ts'
import { MemoryWire } from './memory-wire.ts'

test('a PONG tells a new keep-alive once, and nothing while it is the same', async () => {
  const core = new FakeCore()
  const wire = new MemoryWire(core)
  const welcome = await wire.client.open({})
  assert.equal(welcome.keepaliveS, 240)
  const ping = async () => {
    wire.client.send({ type: 'ping' })
    return (await wire.client.next('pong')).keepaliveS
  }
  assert.equal(await ping(), undefined)
  core.last.nextKeepaliveMs = 300_900
  assert.equal(await ping(), 300)
  assert.equal(await ping(), undefined)
  core.last.nextKeepaliveMs = 60_000
  assert.equal(await ping(), 60)
})

test('of several channels the least is told: the client takes the least of what WELCOME granted', async () => {
  const core = new FakeCore()
  const wire = new MemoryWire(core)
  await wire.client.open({})
  const main = core.last
  await wire.client.open({ channelNumber: 1, channel: 'urgent', nonce: Buffer.alloc(0) })
  const urgent = core.last
  main.nextKeepaliveMs = 300_000
  urgent.nextKeepaliveMs = 181_000
  wire.client.send({ type: 'ping' })
  assert.equal((await wire.client.next('pong')).keepaliveS, 181)
})
