import assert from 'node:assert/strict'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import type { Appended, Engine, EngineState, Settled } from '../../../src/contract/index.ts'
import { StoreUnavailable } from '../../../src/contract/index.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { append, keep, logEvents, readNames, settle } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { until } from '../../support/turns.ts'
import { breakage, Disk, type OpenOptions, openOnDisk } from './subject.ts'

const main = 'shop/locker/main'

interface Running {
  readonly engine: Engine
  readonly clock: ManualClock
  readonly disk: Disk
  readonly folder: string
}

async function running(t: TestContext, options: Partial<OpenOptions> = {}): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), 'pike-level-'))
  const clock = new ManualClock()
  const disk = new Disk()
  const engine = await openOnDisk({ folder, clock, disk, ...options })
  await engine.flushed()
  t.after(async () => {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  })
  return { engine, clock, disk, folder }
}

test('what changes in one turn is one batch and one sync', async (t) => {
  const world = await running(t)
  const { engine, disk } = world
  const before = disk.batches
  const appends = Array.from({ length: 200 }, (_, i) => keep(world, `shop/locker-${i % 7}/main`))
  const settled = settle(world, main, { uplinks: 'one' })
  const named = engine.names.putApp({ app: 'shop', createdAtMs: 1 })
  await Promise.all([...appends, settled, named])
  assert.equal(disk.batches, before + 1)
})

test('what comes during a sync is the next batch, and answers come in order', async (t) => {
  const world = await running(t)
  const { disk } = world
  const before = disk.batches
  const answers: string[] = []
  const told = (name: string) => () => answers.push(name)
  const first = keep(world, main, { name: 'a' }).then(told('a'))
  await until(() => disk.batches === before + 1)
  const others = ['b', 'c', 'd'].map((name) => keep(world, main, { name }).then(told(name)))
  await Promise.all([first, ...others])
  assert.equal(disk.batches, before + 2)
  assert.deepEqual(answers, ['a', 'b', 'c', 'd'])
})

test('a settlement with nothing to write is answered behind earlier writes, without a batch', async (t) => {
  const world = await running(t)
  const { engine, disk } = world
  const answers: string[] = []
  const kept = keep(world, main).then(() => answers.push('kept'))
  engine.mailbox.settle(main, { changes: [] }, () => answers.push('settled'))
  await kept
  await engine.flushed()
  assert.deepEqual(answers.sort(), ['kept', 'settled'])
  const before = disk.batches
  assert.equal(await settle(world, main, {}), 'kept')
  assert.equal(disk.batches, before)
})

test('what is not durable yet is not read', async (t) => {
  const world = await running(t)
  const { engine } = world
  await engine.mailbox.open(main)
  await keep(world, main, { name: 'durable' })
  const appended = append(world, main, { name: 'on its way' })
  const read = await engine.mailbox.read(main, 0, 10)
  assert.deepEqual(
    read.commands.map(({ name }) => name),
    ['durable'],
  )
  await appended
  assert.deepEqual(await readNames(world, main), ['durable', 'on its way'])
})

test('a channel the hub holds open answers from memory what was just kept', async (t) => {
  const world = await running(t)
  await world.engine.mailbox.open(main)
  const { offset } = await keep(world, main, { name: 'hot' })
  const read = world.engine.mailbox.read(main, offset - 1, 10)
  assert.ok(!(read instanceof Promise), 'at once')
  assert.equal(String(read.commands[0]?.payload), '{"door":7}')
  assert.equal(read.lookedUpTo, offset)
  world.engine.mailbox.release(main)
  assert.equal(world.engine.figures().payload_cache_bytes, 0)
})

test('a failed write refuses what is outstanding, and what it broke comes back by itself', async (t) => {
  const world = await running(t)
  const { engine, clock, disk } = world
  const states: EngineState[] = []
  engine.onState((state) => states.push(state))
  const kept = await keep(world, main, { name: 'before' })
  await engine.mailbox.open(main)
  disk.failing = 'full'
  const outstanding: Promise<Appended | Settled | boolean>[] = [
    append(world, main, { name: 'lost' }),
    settle(world, main, { changes: [{ kind: 'delivered', offset: kept.offset, atMs: 1 }] }),
    logEvents(world, [{ kind: 'presence', app: 'shop', device: 'd', atMs: 1, state: 'online' }]),
    engine.mailbox.intend(main, 9),
  ]
  const name = assert.rejects(engine.names.putApp({ app: 'x', createdAtMs: 1 }), StoreUnavailable)
  const refused = { kind: 'unavailable', full: true }
  assert.deepEqual(await Promise.all(outstanding), [refused, 'unavailable', 'unavailable', false])
  await name
  assert.deepEqual(await append(world, main, {}), refused)
  await assert.rejects(engine.mailbox.open(main), StoreUnavailable)
  await assert.rejects(engine.events.read('shop', { limit: 1 }), StoreUnavailable)
  await assert.rejects(async () => engine.mailbox.find(main, 1, 1), StoreUnavailable)
  await assert.rejects(async () => engine.mailbox.read(main, 0, 10), StoreUnavailable)
  assert.deepEqual(await engine.mailbox.due(clock.nowMs() + 1e9, 10), [])

  disk.failing = 'down'
  clock.advance(2_000)
  await until(() => engine.state === 'down')
  await breakage.mend(engine)
  assert.deepEqual(states, ['full', 'down', 'ready'])
  const head = await engine.mailbox.open(main)
  assert.equal(head.open.length, 1)
  assert.equal(head.open[0]?.deliveredAtMs, undefined)
  assert.notEqual(head.epochs.at(-1)?.epoch, kept.epoch, 'the tail may be lost, for all one knows')
  assert.deepEqual(await readNames(world, main), ['before'])
  assert.equal(await engine.names.app('x'), undefined)
})

test('a store whose files are gone does not come back empty', async (t) => {
  const world = await running(t)
  const { engine, clock, disk, folder } = world
  await keep(world, main, { name: 'before' })
  await breakage.break(engine, 'down')
  await rename(join(folder, 'level'), join(folder, 'elsewhere'))
  disk.failing = undefined
  clock.advance(2_000)
  await until(() => disk.opens === 2)
  await until(() => clock.waiting().some(({ name }) => name === 'store.reopen'))
  assert.equal(engine.state, 'down')
  await rm(join(folder, 'level'), { recursive: true, force: true })
  await rename(join(folder, 'elsewhere'), join(folder, 'level'))
  await breakage.mend(engine)
  assert.deepEqual(await readNames(world, main), ['before'])
})

test('an engine closed while its store is down ends, and leaves no clean mark', async (t) => {
  const world = await running(t)
  const { engine, folder, clock, disk } = world
  const { epoch } = await keep(world, main)
  await breakage.break(engine, 'down')
  clock.advance(2_000)
  await engine.close()
  assert.equal(engine.state, 'closed')
  disk.failing = undefined
  const again = await openOnDisk({ folder, clock, disk })
  assert.notEqual((await again.mailbox.open(main)).epochs.at(-1)?.epoch, epoch)
  await again.close()
})

test('below the reserve nothing new is accepted, while what was accepted can end', async (t) => {
  let free = 1e9
  const world = await running(t, { freeBytes: async () => free, reserveBytes: 1_000 })
  const { engine, clock } = world
  const once = { idempotency: { key: 'once', hash: 'h' } }
  const { offset } = await keep(world, main, {}, once)
  free = 999
  clock.advance(1_000)
  await keep(world, main)
  await engine.flushed()
  assert.deepEqual(await append(world, main), { kind: 'unavailable', full: true })
  assert.equal(engine.state, 'ready')
  assert.equal((await append(world, main, {}, once)).kind, 'repeat', 'that one is kept already')
  const changes = [{ kind: 'ended' as const, offset, status: 'delivered' as const, atMs: 1 }]
  assert.equal(await settle(world, main, { changes }), 'kept')
  free = 1_000
  clock.advance(1_000)
  await append(world, main)
  await engine.flushed()
  await keep(world, main)
})

test('too much that is not synced refuses new commands', async (t) => {
  const world = await running(t, { limits: { commitMaxPending: 50 } })
  const answers = await Promise.all(Array.from({ length: 100 }, () => append(world, main)))
  const kinds = answers.map(({ kind }) => kind)
  assert.ok(kinds.slice(0, 20).every((kind) => kind === 'kept'))
  assert.deepEqual(answers.at(-1), { kind: 'unavailable', full: false })
  await keep(world, main)
})

test('answers by idempotency key are forgotten by whole days', async (t) => {
  const world = await running(t)
  const { engine, clock } = world
  const hour = 3_600_000
  const once = { idempotency: { key: 'a key / with \ud800 anything in it', hash: 'h' } }
  await keep(world, main, {}, once)
  clock.advance(23 * hour)
  assert.equal((await append(world, main, {}, once)).kind, 'repeat')
  clock.advance(hour)
  await keep(world, main, {}, once)
  for (let at = 0; at < 72; at++) {
    clock.advance(hour)
    await engine.flushed()
  }
  await keep(world, main, {}, once)
})

test('a listener or an answer that throws stops nobody else', async (t) => {
  const surprises: object[] = []
  const log = (event: string, fields: object) => {
    if (event === 'store.surprise') surprises.push(fields)
  }
  const world = await running(t, { log })
  const { engine } = world
  engine.events.listen(() => {
    throw new Error('listener')
  })
  engine.mailbox.settle(main, { changes: [], uplinks: 'x' }, () => {
    throw new Error('answer')
  })
  const event = { kind: 'presence', app: 'shop', device: 'd', atMs: 1, state: 'online' } as const
  assert.equal(await logEvents(world, [event]), 'kept')
  await keep(world, main)
  assert.deepEqual(surprises, [{ error: 'listener' }, { error: 'answer' }])
})

test('late proof of what is forgotten in the same commit leaves nothing behind', async (t) => {
  const world = await running(t)
  const { engine, clock, folder } = world
  const { offset } = await keep(world, main)
  const atMs = clock.nowMs()
  const change = { kind: 'ended', offset, status: 'in-doubt', atMs } as const
  await settle(world, main, { changes: [change] })
  clock.advance(1_000)
  let purging = true
  const purged = engine.events.purge(clock.nowMs()).finally(() => {
    purging = false
  })
  const late = [{ offset, step: { status: 'done', late: true, atMs } }] as const
  await until(() => {
    engine.mailbox.settle(main, { changes: [], late }, () => {})
    return !purging
  })
  assert.equal(await purged, 1)
  await engine.close()
  const store = makeStore(join(folder, 'level'))
  assert.deepEqual(await store.keys({ gte: 'h/', lt: 'h0' }).all(), [])
  await store.close()
})

test('events are read alike from memory and from the store', async (t) => {
  const world = await running(t, { limits: { eventsRecentMax: 8 } })
  const { engine } = world
  for (let at = 0; at < 300; at++) {
    engine.events.append([
      { kind: 'presence', app: 'shop', device: `d${at % 3}`, atMs: at, state: 'online' },
    ])
  }
  await engine.flushed()
  for (const limit of [1, 7, 150, 1_000]) {
    const times: number[] = []
    let after: string | undefined
    for (;;) {
      const page = await engine.events.read('shop', {
        ...{ limit, device: 'd1' },
        ...(after === undefined ? {} : { after }),
      })
      assert.ok(page.kind === 'page')
      times.push(...page.items.map(({ atMs }) => atMs))
      after = page.next
      if (page.caughtUp) break
    }
    assert.deepEqual(
      times,
      Array.from({ length: 100 }, (_, i) => 3 * i + 1),
    )
  }
})
