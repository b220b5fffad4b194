import assert from 'node:assert/strict'
import { cp } from 'node:fs/promises'
import { basename, join } from 'node:path'
import test from 'node:test'
import type { Offset, Reading } from '../../../src/contract/index.ts'
import { limits, StoreUnavailable } from '../../../src/contract/index.ts'
import { commandKey } from '../../../src/engine/level/keys.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { append, end, endings, keep, linked, same, settle } from '../../support/engine-words.ts'
import { until } from '../../support/turns.ts'
import { DiskWorld, makeWorld } from './disk-world.ts'

const main = 'shop/locker/main'

/** An engine that can be started again on its folder, or on a copy of it. */
class World extends DiskWorld {
  /** Go on from what a process that is killed now would leave. */
  async crash(): Promise<void> {
    const left = `${this.folder}-left`
    await this.leaveAt(left)
    await this.engine.close()
    this.folder = left
    await this.start()
  }

  async keepAll(...names: readonly string[]): Promise<readonly Offset[]> {
    const offsets: Offset[] = []
    for (const name of names) offsets.push((await keep(this, main, { name })).offset)
    return offsets
  }

  cancel(offset: Offset): Promise<string> {
    const change = { kind: 'ended', offset, status: 'canceled', atMs: this.clock.nowMs() } as const
    return settle(this, main, { changes: [change] })
  }
}

const namesOf = ({ commands }: Reading): readonly string[] => commands.map(({ name }) => name)

/** A promise, and what resolves it. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open!: () => void
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

test('what lies before a command that was passed over is answered at once', async (t) => {
  const world = await makeWorld(t, World)
  await world.engine.mailbox.open(main)
  const [, b] = (await world.keepAll('a', 'b', 'c')) as [Offset, Offset]
  const canceled = world.cancel(b)
  const reading = world.engine.mailbox.read(main, 0, 10)
  assert.ok(!(reading instanceof Promise), 'at once')
  same([namesOf(reading), reading.lookedUpTo], [['a'], b - 1])
  await canceled
})

test('a read waits for the commit that makes an end durable, not for a later one', async (t) => {
  const world = await makeWorld(t, World)
  const { disk, engine } = world
  await engine.mailbox.open(main)
  const [a, b, , d] = (await world.keepAll('a', 'b', 'c', 'd', 'e')) as [
    number,
    number,
    number,
    number,
  ]
  const [first, second] = [gate(), gate()]
  const before = disk.batches
  disk.held = first.opened
  const canceled = [world.cancel(b)]
  await until(() => disk.batches === before + 1)
  disk.held = second.opened
  canceled.push(world.cancel(d))
  const reading = engine.mailbox.read(main, a, 10)
  first.open()
  same([namesOf(await reading), (await reading).lookedUpTo], [['c'], d - 1])
  disk.held = undefined
  second.open()
  await Promise.all(canceled)
  assert.deepEqual(namesOf(await engine.mailbox.read(main, a, 10)), ['c', 'e'])
})

test('a read that fails rejects, and the next one finds all that is there', async (t) => {
  const world = await makeWorld(t, World)
  const { disk, engine } = world
  await world.keepAll('a', 'b')
  const { values } = disk
  disk.values = () => {
    throw new Error('IO error: read')
  }
  await assert.rejects(async () => engine.mailbox.read(main, 0, 10), StoreUnavailable)
  disk.values = values
  assert.equal(engine.state, 'ready')
  assert.deepEqual(namesOf(await engine.mailbox.read(main, 0, 10)), ['a', 'b'])
})

test('a command found damaged when it is to be sent ends, and others go on', async (t) => {
  const world = await makeWorld(t, World)
  const { disk, engine } = world
  const [, b] = (await world.keepAll('a', 'b', 'c', 'd')) as [Offset, Offset]
  await engine.mailbox.intend(main, b)
  engine.mailbox.sent(main, b, world.clock.nowMs())
  const { values } = disk
  disk.values = (found) =>
    found.length === 4 ? [found[0], Buffer.from([77]), undefined, found[3]] : found
  const reading = engine.mailbox.read(main, 0, 10)
  same(namesOf(await reading), ['a'])
  await engine.flushed()
  disk.values = values
  assert.deepEqual(namesOf(await engine.mailbox.read(main, 0, 10)), ['a', 'd'])
  assert.deepEqual(await endings(world, 'shop'), [
    'b in-doubt(damaged)',
    'c undeliverable(damaged)',
  ])
})

test('all that waits is read in order, whatever of it is at hand', async (t) => {
  const world = await makeWorld(t, World)
  const payloadOf = (at: number) => Buffer.alloc([90, 0, 3_000, 17, 700][at % 5]!, `${at}.`)
  const put = (from: number, count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, index) => {
        const at = from + index
        return append(world, main, { name: `${at}`, payload: payloadOf(at) })
      }),
    )
  for (const max of [1, 7, 16, 200]) {
    await put(0, 300)
    // Out of memory; then some are read, and newer ones are at hand from the start.
    await world.engine.close()
    await world.start()
    const { mailbox } = world.engine
    const before = (await mailbox.open(main)).top - 300
    await put(300, 60)
    const read: number[] = []
    const canceled: number[] = []
    for (let after = before, reads = 0; after < before + 360; reads++) {
      const answer = mailbox.read(main, after, max)
      // Some end, or the device goes and comes back, while the answer is on its way.
      if (reads % 9 === 4) {
        canceled.push(after + 3 - before - 1)
        void world.cancel(after + 3)
      }
      if (reads % 11 === 7) {
        mailbox.release(main)
        await mailbox.open(main)
      }
      const { commands, lookedUpTo } = await answer
      assert.ok(commands.length <= max && lookedUpTo > after)
      for (const { name, payload, offset } of commands) {
        const at = offset - before - 1
        assert.equal(name, `${at}`)
        assert.deepEqual(Buffer.from(payload), payloadOf(at))
        read.push(at)
      }
      after = commands.at(-1)?.offset ?? lookedUpTo
    }
    const inOrder = read.every((at, index) => index === 0 || at > read[index - 1]!)
    assert.ok(inOrder)
    const all = new Set([...read, ...canceled.filter((at) => at < 360)])
    assert.equal(all.size, 360, 'all are read but those that ended')
    const { open } = await mailbox.open(main)
    const changes = open.map(({ offset }) => end(offset, 'delivered', world.clock.nowMs()))
    await settle(world, main, { changes })
  }
  const others = (await endings(world, 'shop')).filter((text) => !/delivered|canceled/.test(text))
  assert.deepEqual(others, [])
})

test('rule 11: a command found damaged when its channel is loaded ends too', async (t) => {
  const world = await makeWorld(t, World)
  const kept = []
  for (const name of ['a', 'b', 'c']) kept.push(await keep(world, main, { name }))
  const { epoch, offset } = kept[1]!
  await world.engine.close()
  const store = makeStore(join(world.folder, 'level'))
  await store.put(commandKey(main, offset), Buffer.from([77]))
  await store.close()
  await world.start()
  const { mailbox } = world.engine
  assert.deepEqual(
    (await mailbox.open(main)).open.map(({ name }) => name),
    ['a', 'c'],
  )
  assert.deepEqual(namesOf(await mailbox.read(main, 0, 10)), ['a', 'c'])
  same(await mailbox.counts('shop'), { accepted: 3, open: 2, ended: { undeliverable: 1 } })
  const bytes = kept[0]!.payload.length + kept[2]!.payload.length
  same(await mailbox.depth(main), {
    ...{ commands: 2, bytes, oldestAtMs: kept[0]!.acceptedAtMs },
  })
  const found = await mailbox.find(main, epoch, offset)
  assert.ok(found?.kind === 'ended', 'it has ended')
  assert.equal(found.command.reason, 'damaged')
})

test('of those who wait for a channel to be loaded, one that cannot be served stops nobody', async (t) => {
  const world = await makeWorld(t, World)
  const once = { idempotency: { key: 'k', hash: 'h' } }
  await keep(world, main, {}, once)
  await world.engine.close()
  await world.start()
  const { disk, engine } = world
  disk.lookUp = () => {
    throw new Error('Corruption: block checksum mismatch')
  }
  const collapse = 'door'
  const broken = append(world, main, { collapse }, once)
  const whole = append(world, main, { collapse })
  const opened = engine.mailbox.open(main)
  same(await broken, { kind: 'unavailable', full: false })
  assert.equal((await whole).kind, 'kept')
  assert.equal((await opened).open.length, 2)
  assert.equal((await append(world, main)).kind, 'kept')
})

test('rule 4: what this process sent is not taken for sent before, though its channel was let go', async (t) => {
  const world = await makeWorld(t, World)
  const { engine, clock } = world
  const now = await keep(world, main, { delivery: 'now' }, linked)
  engine.mailbox.sent(main, now.offset, clock.nowMs())
  const others = Array.from({ length: 10_001 }, (_, i) => keep(world, `shop/other-${i}/main`))
  await Promise.all(others)
  const graceOverMs = now.expiresAtMs + limits.inDoubtGraceMs
  const isMine = ({ channel }: { readonly channel: string }) => channel === main
  assert.equal((await engine.mailbox.due(graceOverMs - 1, 1e5)).some(isMine), false)
  const { open } = await engine.mailbox.open(main)
  assert.equal(open[0]?.sentAtMs, clock.nowMs())
  assert.equal((await engine.mailbox.due(graceOverMs, 1e5)).some(isMine), true)
})

test('a record written while deadlines are looked at keeps the deadline of older commands', async (t) => {
  const world = await makeWorld(t, World)
  const { clock, disk } = world
  const { expiresAtMs } = await keep(world, main, { name: 'old' })
  await keep(world, 'shop/other/main', { expiresAtMs: expiresAtMs + 1 })
  clock.set(expiresAtMs + 1)
  await world.crash()
  const { ranges } = disk
  const blocked = gate()
  let loads = 0
  disk.ranges = async () => {
    loads += 1
    // Of the first a range and its end are read.
    if (loads > 2) await blocked.opened
  }
  const due = world.engine.mailbox.due(clock.nowMs(), 10)
  await until(() => loads === 3)
  await keep(world, main, { name: 'new', expiresAtMs: expiresAtMs + 1e6 })
  await world.engine.flushed()
  const left = world.folder
  await cp(left, `${left}-then`, { recursive: true, filter: (file) => basename(file) !== 'LOCK' })
  blocked.open()
  disk.ranges = ranges
  assert.equal((await due).length, 2)
  await world.engine.close()
  world.folder = `${left}-then`
  await world.start()
  assert.ok(world.engine.mailbox.nextDueMs() <= expiresAtMs, 'the next deadline is not overlooked')
  const names = (await world.engine.mailbox.due(clock.nowMs(), 10)).map(({ name }) => name)
  assert.deepEqual(names.sort(), ['old', 'open'])
})
