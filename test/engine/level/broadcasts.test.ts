import assert from 'node:assert/strict'
import { cp, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import test from 'node:test'
import type { BroadcastCommand, CreateBroadcast, DeviceId } from '../../../src/contract/index.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { append } from '../../support/engine-words.ts'
import { until } from '../../support/turns.ts'
import { DiskWorld, makeWorld } from './disk-world.ts'

const names = (count: number): DeviceId[] =>
  Array.from({ length: count }, (_, at) => `d${String(at).padStart(5, '0')}`)

async function* inChunks(devices: readonly DeviceId[]) {
  for (let at = 0; at < devices.length; at += 500) yield devices.slice(at, at + 500)
}

class World extends DiskWorld {
  create(
    id: string,
    members: AsyncIterable<readonly DeviceId[]>,
    options: Partial<CreateBroadcast> = {},
  ) {
    const command: BroadcastCommand = {
      ...{ channel: 'main', name: 'update', payload: Buffer.alloc(100), contentType: 'text/plain' },
      ...{ delivery: 'queue', expect: 'ack' },
    }
    const about = { app: 'shop', id, tag: 'all', askedBy: 'key', createdAtMs: this.clock.nowMs() }
    const bounds = { maxDevices: 100_000, maxKept: 10, ...options }
    return this.engine.broadcasts.create({ ...about, command }, members, bounds)
  }

  async make(id: string, count: number, options: Partial<CreateBroadcast> = {}): Promise<void> {
    const made = await this.create(id, inChunks(names(count)), options)
    assert.equal(made.kind, 'kept')
  }

  place(device: DeviceId, broadcast: string) {
    return append(this, `shop/${device}/main`, { broadcast })
  }

  /** The keys of broadcasts in what a process that is killed now would leave. */
  async left(): Promise<readonly string[]> {
    const copy = join(this.home, 'copy')
    await this.leaveAt(copy)
    const store = makeStore(join(copy, 'level'))
    await store.open()
    try {
      return (await store.keys().all()).filter((key) => /^[bvju]\//.test(key))
    } finally {
      await store.close()
      await rm(copy, { recursive: true })
    }
  }
}

test('what a crash leaves of one that was not made yet is cleared by the next start', async (t) => {
  const world = await makeWorld(t, World)
  await world.make('whole', 3)
  let goOn = () => {}
  const gate = new Promise<void>((resolve) => {
    goOn = resolve
  })
  let read = false
  async function* slow(): AsyncIterable<readonly DeviceId[]> {
    yield names(5)
    read = true
    await gate
  }
  const made = world.create('half', slow())
  await until(() => read)
  const half = (key: string) => key.includes('/half')
  assert.equal((await world.left()).filter(half).length, 6)
  const copy = join(world.home, 'left')
  const filter = (file: string) => basename(file) !== 'LOCK'
  await cp(world.folder, copy, { recursive: true, filter })
  await world.engine.close()
  goOn()
  assert.equal((await made).kind, 'unavailable')
  world.folder = copy
  await world.start()
  const keys = await world.left()
  assert.deepEqual(keys.filter(half), [])
  assert.equal(keys.length, 5)
})

test('one that goes, goes with its members', async (t) => {
  const world = await makeWorld(t, World)
  await world.make('a', 1_000, { maxKept: 1 })
  await world.engine.broadcasts.stop('shop', 'a', 'enough')
  world.clock.advance(1)
  await world.make('b', 2, { maxKept: 1 })
  while ((await world.left()).some((key) => key.includes('/a'))) await world.engine.flushed()
  assert.deepEqual((await world.left()).map((key) => key[0]).join(''), 'bjjv')
  await world.engine.broadcasts.stop('shop', 'b', 'enough')
  assert.equal(await world.engine.broadcasts.purge(world.clock.nowMs() + 1), 1)
  await world.engine.flushed()
  assert.deepEqual(await world.left(), [])
})

test('too many members leave nothing behind', async (t) => {
  const world = await makeWorld(t, World)
  const made = await world.create('a', inChunks(names(1_700)), { maxDevices: 1_600 })
  assert.deepEqual(made, { kind: 'too-many', max: 1_600 })
  while ((await world.left()).length > 0) await world.engine.flushed()
})

test('who waits is found without looking at all that are placed, also after a start', async (t) => {
  const world = await makeWorld(t, World)
  const devices = names(3_000)
  await world.make('a', devices.length)
  let steps = 0
  world.disk.ranges = async () => {
    steps += 1
  }
  const next = () => world.engine.broadcasts.waiting('shop', 'a', 100)
  for (let at = 0; at < 2_500; at += 100) {
    const waiting = await next()
    assert.deepEqual(waiting, devices.slice(at, at + 100))
    await Promise.all(waiting.map((device) => world.place(device, 'a')))
  }
  assert.ok(steps <= 2 * 25, `${steps} steps for 25 times 100`)
  await world.engine.close()
  await world.start()
  steps = 0
  assert.deepEqual(await next(), devices.slice(2_500, 2_600))
  assert.ok(steps <= 2, `${steps} steps after a start`)
})

test('what is shown of it is durable', async (t) => {
  const world = await makeWorld(t, World)
  const { broadcasts } = world.engine
  await world.make('a', 3)
  const { disk } = world
  let release = () => {}
  disk.held = new Promise((resolve) => {
    release = resolve
  })
  const before = disk.batches
  const first = world.place('d00000', 'a')
  await until(() => disk.batches > before)
  // While the first is written, another comes.
  const second = world.place('d00001', 'a')
  const stopped = broadcasts.stop('shop', 'a', 'why')
  assert.equal(broadcasts.find('shop', 'a')?.open, 0)
  release()
  await first
  const shown = broadcasts.find('shop', 'a')
  assert.ok(shown !== undefined && [1, 2].includes(shown.open))
  await second
  assert.deepEqual([(await stopped)?.open, broadcasts.find('shop', 'a')?.state], [2, 'stopped'])
})
