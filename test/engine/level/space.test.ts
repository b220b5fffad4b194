import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import type { Engine, KeptCommand } from '../../../src/contract/index.ts'
import type { LevelEngineOptions } from '../../../src/engine/level/index.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import { Space } from '../../../src/engine/level/space.ts'
import { Hub } from '../../../src/hub/hub.ts'
import { append, end, logEvents, roomy, settle } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { turns, until } from '../../support/turns.ts'
import { replyTo, World } from '../../support/world.ts'

const mebibyte = 1_048_576

async function running(
  t: TestContext,
  storeMaxBytes: number,
  more: Partial<LevelEngineOptions> = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'pike-level-'))
  const clock = new ManualClock()
  const options = { folder, clock, limits: { storeMaxBytes }, sync: false, ...more }
  const engine: Engine = await openLevelEngine(options)
  t.after(async () => {
    await engine.close()
    await rm(folder, { recursive: true, force: true })
  })
  return { engine, clock }
}

/** Time goes on, a second at a time, until it holds. */
async function within(clock: ManualClock, seconds: number, holds: () => Promise<boolean>) {
  for (let second = 0; second < seconds; second++) {
    if (await holds()) return
    clock.advance(1_000)
    await turns(50)
  }
  assert.ok(await holds(), `not within ${seconds} s`)
}

test('rule 33: at storeMaxBytes new commands are refused as full, what was accepted ends, and it comes back by itself', async (t) => {
  const world = await running(t, 24 * mebibyte)
  const { engine, clock } = world
  const kept: KeptCommand[] = []
  const big = { maxBytes: 1e9, maxCommands: 1e6 }
  const fill = async (): Promise<boolean> => {
    const appended = await append(
      world,
      'shop/locker/main',
      { payload: randomBytes(400_000), expiresAtMs: Number.MAX_SAFE_INTEGER },
      { ...roomy, ...big },
    )
    if (appended.kind === 'kept') kept.push(appended.command)
    else assert.deepEqual(appended, { kind: 'unavailable', full: true })
    return appended.kind === 'unavailable'
  }
  await within(clock, 600, fill)
  assert.ok(kept.length > 30 && kept.length < 200, `${kept.length} fitted`)
  assert.equal(engine.state, 'ready')
  const later = { ...kept[0]!, notBeforeMs: clock.nowMs() + 1 }
  const bounds = { maxCommands: 9, maxTotal: 9 }
  const scheduled = await engine.mailbox.schedule('shop/locker/main', later, bounds)
  assert.deepEqual(scheduled, { kind: 'unavailable', full: true })

  // What devices say is kept, in logs that have a bound of their own.
  const about = { app: 'shop', device: 'locker', atMs: clock.nowMs() }
  const presence = { kind: 'presence', ...about, state: 'online' } as const
  assert.equal(await logEvents(world, [presence]), 'kept')
  const changes = kept.map(({ offset }) => end(offset, 'delivered', clock.nowMs()))
  assert.equal(await settle(world, 'shop/locker/main', { changes }), 'kept')
  await within(clock, 900, async () => !(await fill()))
  assert.ok(engine.figures().store_bytes! < 24 * mebibyte)
})

test('rule 33: with no free space a device is told that its event is not kept, and its reply is taken', async (t) => {
  let free = Number.MAX_SAFE_INTEGER
  const { engine, clock } = await running(t, 1e12, {
    freeBytes: async () => free,
    reserveBytes: 1_000,
  })
  const world = new World(clock, engine as never, new Hub({ engine, clock }))
  await world.hub.start()
  t.after(() => world.hub.stop())
  await world.register()
  const { link, session } = await world.attach()
  const submitted = await world.submit({ expect: 'reply' })
  assert.equal(submitted.kind, 'accepted')
  await until(() => link.got.length === 1)
  const about = { name: 'opened', payload: Buffer.from('{}'), contentType: 'application/json' }
  const say = (sequence: number) =>
    new Promise((told) => session.receive([{ ...about, stamp: { epoch: 7, sequence } }], told))
  assert.equal(await say(1), 'kept')
  free = 0
  await within(clock, 60, async () => engine.mailbox.full)
  assert.deepEqual(await world.submit(), { kind: 'unavailable', full: true })
  assert.equal(await say(2), 'unavailable')
  assert.equal(await new Promise((told) => session.reply(replyTo(link.got[0]!), told)), 'kept')
  free = Number.MAX_SAFE_INTEGER
  await within(clock, 60, async () => !engine.mailbox.full)
  assert.equal(await say(2), 'kept')
  const page = await engine.events.read('default', { limit: 9, kinds: ['event'] })
  assert.equal(page.kind === 'page' && page.items.length, 2)
})

test('the files of a store are looked at only when it can have grown to its bound', async () => {
  const clock = new ManualClock()
  let free = 1_000
  let bytes = 100
  let looks = 0
  const space = new Space({
    ...{ folder: '/', clock, reserveBytes: 10, storeMaxBytes: 300 },
    freeBytes: async () => free,
    storeBytes: async () => {
      looks += 1
      return bytes
    },
  })
  const later = async () => {
    clock.advance(1_000)
    void space.full
    await turns(10)
    return space.full
  }
  await space.look()
  for (let times = 0; times < 10; times++) assert.equal(await later(), false)
  free = 900
  assert.equal(await later(), false)
  assert.equal(looks, 1, 'a hundred more are still within it')
  free = 800
  assert.equal(await later(), false)
  assert.equal(looks, 2, 'it could have been us: it was not')
  free = 590
  bytes = 310
  assert.equal(await later(), true)
  bytes = 200
  assert.equal(await later(), false)
  free = 9
  assert.equal(await later(), true, 'the reserve')
})
