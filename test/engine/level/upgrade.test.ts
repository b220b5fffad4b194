import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Engine } from '../../../src/contract/index.ts'
import { locateCommand, StoreCannotOpen } from '../../../src/contract/index.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { same } from '../../support/engine-words.ts'
import {
  apps,
  clock,
  command,
  devices,
  events,
  idempotency,
  keys,
  main,
  names,
  urgent,
} from './fixtures/content.ts'
import { Disk } from './subject.ts'

const fixtures = fileURLToPath(new URL('./fixtures/', import.meta.url))

/** A store as a version before this one left it. */
async function old(t: TestContext): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'pike-level-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const folder = join(home, 'store')
  await cp(join(fixtures, 'format-1'), folder, { recursive: true })
  return folder
}

test('a store of format 1 opens with all it held, and what is new since works', async (t) => {
  const folder = await old(t)
  const said: object[] = []
  const log = (event: string, fields: object) => {
    if (/upgrad/.test(event)) said.push({ event, ...fields })
  }
  const engine = await openLevelEngine({ folder, clock, log })
  assert.deepEqual(said, [
    { event: 'store.upgrading', from: 1, to: 2, done: 0 },
    { event: 'store.upgraded', from: 1, to: 2, done: devices.length },
  ])
  await holdsAll(engine)
  await engine.close()
  const again = await openLevelEngine({ folder, clock, log })
  assert.equal(said.length, 2, 'it is brought to this format once')
  await holdsAll(again)
  await works(again)
  await again.close()
})

for (let batch = 0; batch < 6; batch++) {
  test(`cut before batch ${batch} of its upgrade, an old store is as good as before`, async (t) => {
    const folder = await old(t)
    const disk = new CutDisk(batch)
    const opening = openLevelEngine({ folder, clock, makeStore: disk.makeStore })
    const cut = await opening.then(
      (engine) => engine.close(),
      (error) => error,
    )
    // The last one is that of the start, which comes when the store has its format.
    const isUpgrade = batch < 5
    assert.ok(cut instanceof StoreCannotOpen, `batch ${batch} was never written`)
    assert.equal(/brought to format 2/.test(cut.message), isUpgrade, cut.message)
    const engine = await openLevelEngine({ folder, clock })
    await holdsAll(engine)
    await works(engine)
    await engine.close()
  })
}

test('no space for an upgrade is said as that, and it goes on when there is some', async (t) => {
  const folder = await old(t)
  const disk = new Disk()
  disk.failing = 'full'
  await assert.rejects(openLevelEngine({ folder, clock, makeStore: disk.makeStore }), /no space/)
  const engine = await openLevelEngine({ folder, clock })
  await holdsAll(engine)
  await engine.close()
})

test('what the version before changed after an upgrade that was cut is not overlooked', async (t) => {
  const folder = await old(t)
  const disk = new CutDisk(4)
  await assert.rejects(openLevelEngine({ folder, clock, makeStore: disk.makeStore }))
  const store = makeStore(join(folder, 'level'))
  const { app, device, tags } = devices[0]!
  assert.ok((await store.get(`t/${app}/${tags[0]}/${device}`)) !== undefined, 'cut late enough')
  const text = JSON.stringify({ ...devices[0], tags: ['site-0'] })
  await store.put(`d/${app}/${device}`, Buffer.from(text))
  await store.close()
  const engine = await openLevelEngine({ folder, clock })
  const all = await engine.names.tagged(app, 'all', { limit: 1_000 })
  assert.equal(all.items.length, 599)
  assert.ok(!all.items.includes(device))
  await engine.close()
})

test('a store that an upgrade finds damaged is left at its format', async (t) => {
  const folder = await old(t)
  const store = makeStore(join(folder, 'level'))
  const { app, device } = devices[0]!
  await store.put(`d/${app}/${device}`, Buffer.from('{nonsense'))
  await store.close()
  const opening = openLevelEngine({ folder, clock })
  await assert.rejects(opening, /could not be brought to format 2/)
  const again = makeStore(join(folder, 'level'))
  assert.match(String(await again.get('s/format')), /"format":1,/)
  await again.close()
})

/** Fails with one batch; those before it are there. */
class CutDisk extends Disk {
  readonly #before: number

  constructor(before: number) {
    super()
    this.#before = before
  }

  override check(): void {
    if (this.batches > this.#before) throw new Error('IO error: cut')
  }
}

async function holdsAll(engine: Engine): Promise<void> {
  const known = await engine.names.apps()
  for (const record of apps) same(await engine.names.app(record.app), record)
  assert.equal(known.length, apps.length + 1, 'and the default')
  for (const record of keys) same(engine.names.keyByHash(record.hash), record)
  for (const record of devices) same(await engine.names.device(record.app, record.device), record)
  for (const { app } of apps) {
    const ofApp = devices.filter((record) => record.app === app)
    assert.equal(await engine.names.deviceCount(app), ofApp.length)
    for (const tag of new Set(ofApp.flatMap(({ tags }) => tags))) {
      const tagged = ofApp.filter(({ tags }) => tags.includes(tag)).map(({ device }) => device)
      const { items } = await engine.names.tagged(app, tag, { limit: 10_000 })
      assert.deepEqual(items, tagged.sort(), `${app} ${tag}`)
    }
    const logged = await engine.events.read(app, { limit: 1_000 })
    assert.ok(logged.kind === 'page')
    const uplinks = logged.items.filter(({ kind }) => kind === 'event')
    const expected = events.filter((event) => event.app === app)
    same(
      uplinks.map(({ id: _, ...event }) => event),
      expected,
    )
    for (const event of logged.items) same(await engine.events.find(app, event.id), event)
  }
  await holdsCommands(engine)
}

async function holdsCommands(engine: Engine): Promise<void> {
  const head = await engine.mailbox.open(main)
  assert.equal(head.open.length, names.length - 1)
  assert.equal(head.uplinks, 'stamps of uplinks')
  assert.equal(head.attempts?.sessions, 2)
  const { commands } = await engine.mailbox.read(main, 0, 100)
  for (const { name, payload, askedBy } of commands) {
    assert.ok(names.includes(name))
    assert.deepEqual([String(payload), askedBy], ['{"door":7}', 'first'])
  }
  const history = await engine.mailbox.history('shop/locker-000', { limit: 100 })
  assert.deepEqual(
    history.items.map((found) => [found.command.name, found.kind]).reverse(),
    ['urgent', ...names].map((name) => [name, name === 'ended' ? 'ended' : 'open']),
  )
  for (const { command: each, kind } of history.items) {
    const { channel, epoch, offset } = locateCommand('shop', each.id)!
    assert.equal((await engine.mailbox.find(channel, epoch, offset))?.kind, kind)
  }
  const { accepted, open, ended } = await engine.mailbox.counts('shop')
  assert.deepEqual([accepted, open, ended.delivered], [names.length + 1, names.length, 1])
  assert.equal((await engine.mailbox.depth(urgent)).commands, 1)
}

/** What came with the newer formats. */
async function works(engine: Engine): Promise<void> {
  const options = { maxCommands: 1_000, maxBytes: 1e6, overflow: 'reject', intendUpTo: 0 } as const
  const repeated = await engine.mailbox.append(main, command('waiting'), {
    ...options,
    idempotency,
  })
  assert.equal(repeated.kind, 'repeat')
  const kept = await engine.mailbox.append(main, command('new'), options)
  assert.equal(kept.kind, 'kept')

  await engine.names.putDevice({ ...devices[0]!, tags: ['new'] })
  const all = await engine.names.tagged('shop', 'all', { limit: 1_000 })
  assert.equal(all.items.length, 599)
  assert.deepEqual((await engine.names.tagged('shop', 'new', { limit: 9 })).items, ['locker-000'])
  const times = { createdAtMs: 1, changedAtMs: 1 }
  const alias = { app: 'shop', alias: 'order', device: 'locker-001', history: [], ...times }
  await engine.names.putAlias(alias)
  assert.equal(await engine.names.aliasCount('shop'), 1)

  // 41 events of more than 200 bytes: their size is about known.
  assert.equal(await engine.events.purge(0, { maxBytes: 41 * 512 }), 0)
  const purged = await engine.events.purge(0, { maxBytes: 20 * 256 })
  assert.ok(purged > 10 && purged < 35, `${purged} of 41 are gone`)
  assert.equal(await engine.events.purge(0, { maxBytes: 0 }), 41 - purged)
}
