import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import fc from 'fast-check'
import type { Engine, ScheduledCommand } from '../../../src/contract/index.ts'
import { scheduledEpoch } from '../../../src/contract/index.ts'
import { scheduledKey } from '../../../src/engine/level/keys.ts'
import type { Store } from '../../../src/engine/level/store.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import type { Waiting } from '../../../src/engine/level/timetable.ts'
import { Timetable } from '../../../src/engine/level/timetable.ts'
import { append, command, endings, keep, roomy } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { until } from '../../support/turns.ts'
import { Disk, type OpenOptions, openOnDisk } from './subject.ts'

const main = 'shop/locker/main'
const wide = { maxCommands: 100, maxTotal: 1_000 }
const canceled = { ended: { status: 'canceled', reason: 'requested' } } as const

class World {
  readonly clock = new ManualClock()
  readonly disk = new Disk()
  readonly folder: string
  readonly #options: Partial<OpenOptions>
  engine!: Engine

  private constructor(folder: string, options: Partial<OpenOptions>) {
    this.folder = folder
    this.#options = options
  }

  static async make(t: TestContext, options: Partial<OpenOptions> = {}): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), 'pike-level-')), options)
    await world.start()
    t.after(async () => {
      await world.engine.close()
      await rm(world.folder, { recursive: true, force: true })
    })
    return world
  }

  async start(): Promise<void> {
    const { clock, disk, folder } = this
    this.engine = await openOnDisk({ folder, clock, disk, ...this.#options })
    await this.engine.flushed()
  }

  schedule(name: string, inMs = 10) {
    const notBeforeMs = this.clock.nowMs() + inMs
    return this.engine.mailbox.schedule(main, command(this.clock, { name, notBeforeMs }), wide)
  }

  async plan(name: string, inMs = 10): Promise<ScheduledCommand> {
    const scheduled = await this.schedule(name, inMs)
    assert.ok(scheduled.kind === 'kept', `not kept but ${scheduled.kind}`)
    return scheduled.command
  }

  place(waiting: ScheduledCommand, options = {}) {
    return this.engine.mailbox.append(main, waiting, { ...roomy, ...options })
  }

  /** Look into the store while no engine runs on it, or change it. */
  async aside<T>(look: (store: Store) => Promise<T>): Promise<T> {
    await this.engine.close()
    const store = makeStore(join(this.folder, 'level'))
    await store.open()
    try {
      return await look(store)
    } finally {
      await store.close()
      await this.start()
    }
  }

  keys(): Promise<string[]> {
    return this.aside((store) => store.keys().all())
  }
}

const kindsOf = (keys: readonly string[], kinds: string): readonly string[] =>
  keys.filter((key) => kinds.includes(key[0]!) && key[1] === '/')

test('one that is not durable yet is neither ripe nor the next', async (t) => {
  const world = await World.make(t)
  const { engine, disk, clock } = world
  const never = Number.POSITIVE_INFINITY
  let release = () => {}
  disk.held = new Promise((resolve) => {
    release = resolve
  })
  const before = disk.batches
  const first = world.schedule('in the batch', 5)
  await until(() => disk.batches > before)
  // While the first is written, another comes.
  const second = world.schedule('in the next', 0)
  assert.equal(engine.mailbox.nextRipeMs(), never)
  assert.deepEqual(await engine.mailbox.ripe(clock.nowMs() + 99, 9), [])
  release()
  await first
  let told = false
  second.then(() => {
    told = true
  })
  const ripe = await engine.mailbox.ripe(clock.nowMs() + 99, 9)
  if (!told)
    assert.deepEqual(
      ripe.map(({ name }) => name),
      ['in the batch'],
    )
  await second
  assert.equal(engine.mailbox.nextRipeMs(), clock.nowMs())
})

test('what waits costs two records, what has ended and is forgotten one for its channel', async (t) => {
  const world = await World.make(t)
  const a = await world.plan('a')
  await world.plan('b')
  assert.equal(kindsOf(await world.keys(), 'qy').length, 4)
  await world.place(a, canceled)
  let keys = await world.keys()
  assert.equal(kindsOf(keys, 'qy').length, 2)
  assert.equal(kindsOf(keys, 'p').length, 1)
  world.clock.advance(10)
  const [b] = await world.engine.mailbox.ripe(world.clock.nowMs(), 9)
  await world.place(b!, canceled)
  world.clock.advance(10)
  await world.engine.events.purge(world.clock.nowMs())
  keys = await world.keys()
  assert.deepEqual(kindsOf(keys, 'qypmh'), [])
  assert.deepEqual(kindsOf(keys, 'r'), [`r/${main}`])
})

test('a scheduled command found damaged ends, and others go on', async (t) => {
  const world = await World.make(t)
  const bad = await world.plan('bad', 5)
  await world.plan('good', 6)
  const gone = await world.plan('gone', 7)
  await world.aside(async (store) => {
    await store.put(scheduledKey(main, bad.scheduled), Buffer.from([9, 9]))
    await store.del(scheduledKey(main, gone.scheduled))
  })
  world.clock.advance(10)
  const { mailbox } = world.engine
  const ripe = await mailbox.ripe(world.clock.nowMs(), 9)
  assert.deepEqual(
    ripe.map(({ name }) => name),
    ['good'],
  )
  await world.engine.flushed()
  assert.deepEqual(await endings(world, 'shop'), [
    ' undeliverable(damaged)',
    ' undeliverable(damaged)',
  ])
  const found = await mailbox.find(main, scheduledEpoch, bad.scheduled)
  assert.ok(found?.kind === 'ended')
  assert.equal(found.command.id, bad.id)
  const { accepted, open } = await mailbox.counts('shop')
  assert.deepEqual([accepted, open], [3, 1])
})

test('below the reserve nothing is scheduled, while what was accepted gets its place', async (t) => {
  let free = 1_000_000
  const world = await World.make(t, { freeBytes: async () => free, reserveBytes: 1_000 })
  const waiting = await world.plan('accepted')
  free = 10
  while ((await append(world, main)).kind === 'kept') world.clock.advance(1_000)
  assert.deepEqual(await world.schedule('new'), { kind: 'unavailable', full: true })
  assert.equal((await world.place(waiting)).kind, 'kept')
})

test('a place among other commands is kept through a load of the channel', async (t) => {
  const world = await World.make(t)
  const waiting = await world.plan('later')
  await keep(world, main, { name: 'first' })
  const placed = await world.place(waiting)
  assert.ok(placed.kind === 'kept')
  await world.engine.close()
  await world.start()
  const head = await world.engine.mailbox.open(main)
  assert.deepEqual(head.open.map(({ id }) => id).at(-1), waiting.id)
  const due = await world.engine.mailbox.due(placed.command.expiresAtMs, 9)
  assert.ok(due.some(({ id, scheduled }) => id === waiting.id && scheduled === waiting.scheduled))
})

test('the timetable has what is due, earliest first, whatever is added and removed', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('add', 'remove', 'due'), fc.nat(60)), {
    maxLength: 200,
  })
  fc.assert(
    fc.property(steps, (all) => {
      const table = new Timetable()
      const model: Waiting[] = []
      for (const [step, at] of all) {
        if (step === 'add') {
          const about = { channel: main, scheduled: model.length, keptIn: 0, heapIndex: -1 }
          const waiting: Waiting = { ...about, notBeforeMs: at }
          model.push(waiting)
          table.add(waiting)
        } else if (step === 'remove' && model.length > 0) {
          const [gone] = model.splice(at % model.length, 1)
          table.remove(gone!)
          table.remove(gone!)
        }
        const due = model.filter(({ notBeforeMs }) => notBeforeMs <= at)
        const times = due.map(({ notBeforeMs }) => notBeforeMs).sort((a, b) => a - b)
        const found = table.dueBy(at, 5)
        assert.deepEqual(
          found.map(({ notBeforeMs }) => notBeforeMs),
          times.slice(0, 5),
        )
        assert.equal(new Set(found).size, found.length)
        const first = Math.min(...model.map(({ notBeforeMs }) => notBeforeMs))
        assert.equal(table.first?.notBeforeMs ?? Number.POSITIVE_INFINITY, first)
      }
    }),
  )
})
