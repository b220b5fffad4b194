import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import fc from 'fast-check'
import type { AliasRecord, DeviceRecord, Engine } from '../../../src/contract/index.ts'
import { StoreUnavailable } from '../../../src/contract/index.ts'
import { Pending } from '../../../src/engine/level/pending.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { turn, until } from '../../support/turns.ts'
import { breakage, Disk, openOnDisk } from './subject.ts'

interface Running {
  readonly engine: Engine
  readonly disk: Disk
  readonly folder: string
  readonly clock: ManualClock
}

async function running(t: TestContext): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'pike-level-'))
  const [clock, disk] = [new ManualClock(), new Disk()]
  const engine = await openOnDisk({ folder, clock, disk })
  await engine.flushed()
  t.after(async () => {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  })
  return { engine, disk, folder, clock }
}

test('an alias that is in use is answered at once, also right after it was bound anew', async (t) => {
  const { engine } = await running(t)
  const { names } = engine
  await names.putAlias(alias('order', 'a'))
  const first = names.alias('shop', 'order')
  assert.ok(!(first instanceof Promise))
  assert.equal(first?.device, 'a')
  const rebound = names.putAlias(alias('order', 'b'))
  assert.equal((await names.alias('shop', 'order'))?.device, 'a', 'until it is durable')
  await rebound
  const second = names.alias('shop', 'order')
  assert.ok(!(second instanceof Promise))
  assert.equal(second?.device, 'b')
})

test('what was read before a change became durable is not held after it', async (t) => {
  const world = await running(t)
  await world.engine.names.putAlias(alias('order', 'a'))
  await world.engine.close()
  const engine = await openOnDisk(world)
  const read = engine.names.alias('shop', 'order')
  assert.ok(read instanceof Promise, 'nothing is held after a start')
  await Promise.all([engine.names.putAlias(alias('order', 'b')), read])
  assert.equal((await engine.names.alias('shop', 'order'))?.device, 'b')
  await engine.close()
})

test('a thousand devices at once are one batch, with their tags and their count', async (t) => {
  const { engine, disk } = await running(t)
  const before = disk.batches
  const many = Array.from({ length: 1_000 }, (_, at) => device(`d-${at}`, ['all', `t-${at % 9}`]))
  await engine.names.putDevices(many)
  assert.equal(disk.batches, before + 1)
  assert.equal(await engine.names.deviceCount('shop'), 1_000)
})

test('expired aliases are forgotten so many a commit', async (t) => {
  const { engine, disk } = await running(t)
  const put = Array.from({ length: 2_500 }, (_, at) =>
    engine.names.putAlias({ ...alias(`order-${at}`, 'a'), expiresAtMs: at }),
  )
  await Promise.all(put)
  const before = disk.batches
  assert.equal(await engine.names.purgeAliases(2_400), 2_400)
  assert.ok(disk.batches >= before + 3)
  assert.equal(await engine.names.aliasCount('shop'), 100)
})

test('an app whose removal is cut in the midst of it is still there, to be removed again', async (t) => {
  const { engine, disk, folder } = await running(t)
  const { names } = engine
  await names.putApp({ app: 'shop', createdAtMs: 1 })
  const hash = 'a'.repeat(64)
  await names.putKey({ app: 'shop', name: 'k', hash, scopes: ['admin'], createdAtMs: 1 })
  await Promise.all(
    Array.from({ length: 2_500 }, (_, at) => names.putAlias(alias(`order-${at}`, 'a'))),
  )
  const before = disk.batches
  // Heard from the first: it may be refused while the store is still breaking.
  const refused = assert.rejects(names.removeApp('shop'), StoreUnavailable)
  await until(() => disk.batches > before)
  await breakage.break(engine, 'down')
  await refused
  await breakage.mend(engine)
  assert.ok((await names.app('shop')) !== undefined)
  assert.ok(names.keyByHash(hash) !== undefined)
  const left = await names.aliasCount('shop')
  assert.ok(left > 0 && left < 2_500, `${left} aliases are left`)
  assert.equal(await names.removeApp('shop'), true)
  assert.equal(names.keyByHash(hash), undefined)
  await engine.close()
  const store = makeStore(join(folder, 'level'))
  for (const range of ['a', 'k', 'o', 'w', 'x']) {
    const keys = await store.keys({ gte: `${range}/shop`, lt: `${range}/shop0` }).all()
    assert.deepEqual(keys, [])
  }
  await store.close()
})

test('the index of tags is what the records say, whatever was put and removed at once', async (t) => {
  const { engine, folder } = await running(t)
  const id = fc.constantFrom('a', 'b', 'c')
  const tags = fc.uniqueArray(fc.constantFrom('x', 'y', 'z', 'xy'))
  const step = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), id, tags }),
    fc.record({ kind: fc.constant('remove' as const), id }),
    fc.record({ kind: fc.constant('turn' as const) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const model = new Map<string, readonly string[]>()
      for (const each of ['a', 'b', 'c']) await engine.names.removeDevice('shop', each)
      const changes: Promise<unknown>[] = []
      for (const each of steps) {
        if (each.kind === 'put') {
          model.set(each.id, each.tags)
          changes.push(engine.names.putDevice(device(each.id, each.tags)))
        } else if (each.kind === 'remove') {
          changes.push(engine.names.removeDevice('shop', each.id))
          model.delete(each.id)
        } else await turn()
      }
      await Promise.all(changes)
      for (const tag of ['x', 'y', 'z', 'xy']) {
        const { items } = await engine.names.tagged('shop', tag, { limit: 9 })
        const expected = [...model].filter(([, having]) => having.includes(tag))
        assert.deepEqual(items, expected.map(([name]) => name).sort())
      }
      assert.equal(await engine.names.deviceCount('shop'), model.size)
    }),
    { numRuns: 60 },
  )
  for (const each of ['a', 'b', 'c']) await engine.names.removeDevice('shop', each)
  await engine.close()
  const store = makeStore(join(folder, 'level'))
  assert.deepEqual(await store.keys({ gte: 't/', lt: 't0' }).all(), [], 'no tag without its device')
  await store.close()
})

test('of what is pending, the latest counts, and is told once it is durable', () => {
  const told: string[] = []
  const pending = new Pending<string>((at, value) => told.push(`${at}=${value}`))
  pending.set('a', '1')
  pending.set('a', '2')
  pending.encode()
  pending.set('a', '3')
  pending.set('b', '4')
  assert.equal(pending.get('a'), '3')
  assert.deepEqual([...pending.values()], ['3', '4'])
  assert.equal(pending.synced(), true)
  assert.deepEqual(told, ['a=2'])
  assert.equal(pending.synced(), false)
  pending.encode()
  assert.equal(pending.get('b'), '4')
  assert.equal(pending.synced(), true)
  // A commit with nothing of ours is under way: what comes now is of the next one.
  pending.encode()
  pending.set('a', '5')
  assert.equal(pending.synced(), false)
  assert.deepEqual(told, ['a=2', 'a=3', 'b=4'])
  pending.drop()
  assert.equal(pending.get('a'), undefined)
  assert.equal(pending.synced(), false)
})

const alias = (name: string, to: string): AliasRecord => ({
  ...{ app: 'shop', alias: name, device: to, createdAtMs: 1, changedAtMs: 1, history: [] },
})

const device = (id: string, tags: readonly string[]): DeviceRecord => ({
  ...{ app: 'shop', device: id, tags, disabled: false, attributes: {}, channels: {} },
  ...{ credentials: [], createdAtMs: 1, changedAtMs: 1 },
})
