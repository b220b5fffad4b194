import assert from 'node:assert/strict'
import { test } from 'node:test'
import { locateCommand } from '../../src/contract/index.ts'
import { bytes, World } from '../support/world.ts'

const second = 1_000

async function withTwo(): Promise<World> {
  const world = await World.open()
  await world.register('old')
  await world.register('new')
  await world.alias('order-77', 'old')
  return world
}

test('rule 27: an alias is resolved at accept, and rebinding never moves a command', async () => {
  const world = await withTwo()
  const before = await world.accepted({ to: { alias: 'order-77' } })
  await world.alias('order-77', 'new')
  const after = await world.accepted({ to: { alias: 'order-77' } })
  assert.equal(before.command.channel, 'default/old/main')
  assert.equal(after.command.channel, 'default/new/main')
  const old = await world.attach({ device: 'old' })
  const fresh = await world.attach({ device: 'new' })
  assert.deepEqual(
    [old.link, fresh.link].map(({ got }) => got.map(({ command }) => command.id)),
    [[before.command.id], [after.command.id]],
  )
})

test('rule 27: rebinding does not move a command that waits for its time either', async () => {
  const world = await withTwo()
  const notBeforeMs = world.clock.nowMs() + 60 * second
  const id = await world.command({ to: { alias: 'order-77' }, notBeforeMs })
  await world.alias('order-77', 'new')
  const old = await world.attach({ device: 'old' })
  const fresh = await world.attach({ device: 'new' })
  await world.pass(60 * second)
  assert.deepEqual(
    old.link.got.map(({ command }) => command.id),
    [id],
  )
  assert.deepEqual(fresh.link.got, [])
})

test('rule 27: an alias that nobody has, or that has expired, is unknown', async () => {
  const world = await withTwo()
  assert.equal((await world.submit({ to: { alias: 'order-78' } })).kind, 'unknown-alias')
  await world.alias('order-78', 'old', world.clock.nowMs() + 5 * second)
  assert.equal((await world.submit({ to: { alias: 'order-78' } })).kind, 'accepted')
  await world.pass(5 * second)
  assert.equal((await world.submit({ to: { alias: 'order-78' } })).kind, 'unknown-alias')
  assert.equal((await world.submit({ to: { alias: 'constructor' } })).kind, 'unknown-alias')
})

test('rule 27: an alias of a device that is gone says so', async () => {
  const world = await withTwo()
  await world.hub.removeDevice('default', 'old')
  assert.equal((await world.submit({ to: { alias: 'order-77' } })).kind, 'unknown-device')
})

test('rule 27: an alias reaches only into its own app', async () => {
  const world = await withTwo()
  await world.register('old', 'other')
  const submitted = await world.submit({ app: 'other', to: { alias: 'order-77' } })
  assert.equal(submitted.kind, 'unknown-alias')
})

test('rule 28: a repeated call is the same command, though its alias, its device or its quota is gone', async () => {
  const world = await withTwo()
  const request = { to: { alias: 'order-77' }, idempotency: { key: 'k1', hash: 'h1' } }
  const first = await world.accepted(request)
  await world.engine.names.removeAlias('default', 'order-77')
  assert.equal((await world.accepted(request)).command.id, first.command.id)
  assert.equal((await world.submit({ ...request, idempotency: undefined })).kind, 'unknown-alias')
  const other = await world.submit({ ...request, idempotency: { key: 'k1', hash: 'h2' } })
  assert.equal(other.kind, 'conflict')
  const { device } = locateCommand('default', first.command.id)!
  const direct = { to: { device }, idempotency: { key: 'k2', hash: 'h1' } }
  const second = await world.accepted(direct)
  await world.hub.removeDevice('default', device)
  const again = await world.accepted(direct)
  assert.equal(again.command.id, second.command.id)
  assert.equal(again.kind, 'ended')
  assert.equal((await world.counts()).accepted, 2)
})

test('rule 28: a repeated call by alias is the same command, though the alias has moved', async () => {
  const world = await withTwo()
  const request = {
    to: { alias: 'order-77' },
    payload: bytes('{"door":7}'),
    idempotency: { key: 'k1', hash: 'h1' },
  }
  const first = await world.accepted(request)
  await world.alias('order-77', 'new')
  const again = await world.accepted(request)
  assert.equal(again.command.id, first.command.id)
  assert.equal((await world.counts()).accepted, 1)
})
