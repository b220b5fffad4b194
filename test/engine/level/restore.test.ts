import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Command } from '../../../src/contract/index.ts'
import { BackupRefused, BackupWriter } from '../../../src/engine/level/backup-format.ts'
import { checkStore } from '../../../src/engine/level/check/index.ts'
import { restoreStore } from '../../../src/engine/level/index.ts'
import { decodeRecord } from '../../../src/engine/level/record.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { append, command, end, keep, settle } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { randomBy } from '../../support/random.ts'
import {
  backedUp,
  findings,
  open,
  recordsIn,
  refuses,
  seed,
  taken,
  temporary,
} from './backup-world.ts'
import { Disk } from './subject.ts'

const main = 'shop/locker-1/main'
const fixtures = fileURLToPath(new URL('./fixtures/', import.meta.url))

test(`a restored store holds every record, and nothing is to be found in it (seed ${seed})`, async (t) => {
  const { file, folder, workload } = await backedUp(t)
  await workload.engine.close()
  const before = await recordsIn(workload.folder)
  const done = await restoreStore({ file, folder, wallMs: () => 7 })
  assert.equal(done.records, before.size)
  assert.deepEqual([done.head.version, done.head.format, done.aside], [1, 2, undefined])
  const now = await recordsIn(folder)
  assert.match(Buffer.from(now.get('s/restored')!, 'hex').toString(), /"restoredAtMs":7/)
  now.delete('s/restored')
  // A time mark follows at the close.
  for (const records of [before, now]) records.delete('s/time')
  for (const [key, value] of before) {
    const there = now.get(key)!
    if (key.startsWith('c/')) assert.deepEqual(channelIn(there), channelIn(value), key)
    else assert.equal(there, value, key)
  }
  assert.equal(now.size, before.size)
  assert.deepEqual(await findings(folder), [])
})

/** All that is kept of a channel but up to where it was sent: that nobody knows any more. */
function channelIn(hex: string): object {
  const channel = decodeRecord('a/b/c', Buffer.from(hex, 'hex'))
  // A close writes the channels that were sent to since, and looks anew what is due.
  return { ...channel, sentUpTo: 0, sentKept: 0, dueAtMs: 0 }
}

test('rule 3: after a restore nothing that was open then counts as certainly never sent', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await open(join(home, 'old'), clock)
  const queued = await keep({ engine, clock }, main, { name: 'queued' })
  await keep({ engine, clock }, main, { name: 'now', delivery: 'now' })
  const file = join(home, 'a.backup')
  await writeFile(file, await taken(engine))
  await engine.close()
  const folder = join(home, 'new')
  await restoreStore({ file, folder })
  // Also when that start is cut before anything was written.
  await (await open(folder, clock)).close()
  const restored = await open(folder, clock)
  const world = { engine: restored, clock }
  const { open: all } = await restored.mailbox.open(main)
  assert.deepEqual(
    all.map(({ name, maybeSent }) => [name, maybeSent]),
    [
      ['queued', true],
      ['now', true],
    ],
  )
  const [due] = await restored.mailbox.due(clock.nowMs(), 9)
  assert.equal(due?.name, 'now', 'a start ends it in doubt (rule 5)')
  await settle(world, main, { changes: [end(queued.offset, 'expired', clock.nowMs())] })
  assert.equal((await restored.mailbox.counts('shop')).open, 2, 'that would be a lie')
  await restored.close()
})

test('rule 3: what was scheduled and due before the restore may have been sent since; what is due later was not', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await open(join(home, 'old'), clock)
  const world = { engine, clock }
  const room = { maxCommands: 9, maxTotal: 99 }
  const at = clock.nowMs()
  const later = async (name: string, afterMs: number, parts: Partial<Command> = {}) => {
    const scheduled = await engine.mailbox.schedule(
      main,
      command(clock, { name, notBeforeMs: at + afterMs, expiresAtMs: at + 1e6, ...parts }),
      room,
    )
    assert.ok(scheduled.kind === 'kept', `not kept but ${scheduled.kind}`)
    return scheduled.command
  }
  await keep(world, main, { name: 'open', collapse: 'c', expiresAtMs: at + 1e6 })
  await later('second', 2_000, { collapse: 'c' })
  const first = await later('first', 1_000)
  await later('now', 3_000, { delivery: 'now' })
  const third = await later('after', 10_001)
  await engine.mailbox.schedule(
    'shop/locker-2/main',
    command(clock, { name: 'alone', notBeforeMs: at + 1, expiresAtMs: at + 1e6 }),
    room,
  )
  const file = join(home, 'a.backup')
  await writeFile(file, await taken(engine))
  await engine.close()
  const folder = join(home, 'new')
  await restoreStore({ file, folder, wallMs: () => at + 10_000 })
  // That time has come since says nothing: it is the moment of the restore that counts.
  clock.advance(20_000)
  for (const start of ['first', 'second'] as const) {
    const restored = await open(folder, clock)
    const { mailbox } = restored
    const head = await mailbox.open(main)
    assert.deepEqual(
      head.open.map(({ name, maybeSent, sentAtMs }) => [name, maybeSent, sentAtMs]),
      ['open', 'first', 'second', 'now'].map((name) => [name, true, undefined]),
      start,
    )
    assert.notEqual(head.open[1]!.epoch, head.open[0]!.epoch, 'numbered anew (rule 13)')
    assert.equal((await mailbox.open('shop/locker-2/main')).open[0]?.maybeSent, true)
    const found = await mailbox.find(main, 0, first.scheduled)
    assert.ok(found?.kind === 'open' && found.command.maybeSent, 'found by its id of then')
    const due = await mailbox.due(clock.nowMs(), 9)
    assert.deepEqual([due[0]?.name, due.length], ['now', 1], 'a start ends it in doubt (rule 5)')
    assert.ok(mailbox.nextDueMs() <= clock.nowMs(), 'nobody would look')
    const waits = await mailbox.ripe(clock.nowMs(), 9)
    assert.deepEqual([waits.length, waits[0]?.id], [1, third.id])
    const counts = await mailbox.counts('shop')
    assert.deepEqual([counts.accepted, counts.open], [6, 6])
    const changes = [end(2, 'expired', clock.nowMs()), end(3, 'canceled', clock.nowMs())]
    await settle({ engine: restored, clock }, main, { changes })
    assert.equal((await mailbox.counts('shop')).open, 6, 'that would be a lie')
    await restored.close()
    assert.deepEqual(await findings(folder), [])
  }
})

test('rule 27: a broadcast that was under way at the backup hands nobody a second command after the restore', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await open(join(home, 'old'), clock)
  const members = async function* () {
    yield ['locker-1', 'locker-2']
  }
  const { kind } = await engine.broadcasts.create(
    {
      ...{ app: 'shop', id: 'b1', tag: 'all', askedBy: 'ops', createdAtMs: clock.nowMs() },
      command: {
        ...{ channel: 'main', name: 'open', payload: Buffer.from('1'), contentType: 'text/plain' },
        ...{ delivery: 'queue', expect: 'ack' },
      },
    },
    members(),
    { maxDevices: 9, maxKept: 9 },
  )
  assert.equal(kind, 'kept')
  await keep({ engine, clock }, main, { name: 'open', broadcast: 'b1' })
  const file = join(home, 'a.backup')
  await writeFile(file, await taken(engine))
  await engine.close()
  const folder = join(home, 'new')
  await restoreStore({ file, folder, wallMs: () => clock.nowMs() })
  for (const start of ['first', 'second'] as const) {
    const restored = await open(folder, clock)
    const broadcast = restored.broadcasts.find('shop', 'b1')
    assert.deepEqual([broadcast?.state, broadcast?.open], ['stopped', 1], start)
    assert.match(broadcast?.why ?? '', /restored from a backup/)
    assert.deepEqual(restored.broadcasts.running(), [])
    await restored.close()
    assert.deepEqual(await findings(folder), [])
  }
})

test('rule 13: a restored store begins new epochs, says so once, and knows no position of what came since', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await open(join(home, 'old'), clock)
  const world = { engine, clock }
  const intended = { intendUpTo: Number.MAX_SAFE_INTEGER }
  const first = await keep(world, main, { name: 'sent', expiresAtMs: 1e15 }, intended)
  const once = { idempotency: { key: 'once', hash: 'h' } }
  await keep(world, main, { name: 'waits', expiresAtMs: 1e15 }, once)
  const file = join(home, 'a.backup')
  await writeFile(file, await taken(engine))
  const lost = await keep(world, main, { name: 'accepted since' })
  const latest = await engine.events.latest('shop')
  await settle(world, main, { changes: [end(first.offset, 'delivered', clock.nowMs())] })
  await engine.close()

  const folder = join(home, 'new')
  await restoreStore({ file, folder })
  const said: string[] = []
  const log = (event: string) => said.push(event)
  const restored = await open(folder, clock, { log })
  const head = await restored.mailbox.open(main)
  assert.deepEqual(head.epochs.slice(0, -1), [{ epoch: first.epoch, last: 2 }])
  assert.notEqual(head.epochs.at(-1)!.epoch, first.epoch)
  assert.ok(lost.epoch === first.epoch && lost.offset > 2, 'a position of then is unknown now')
  assert.equal(head.sentUpTo, 2, 'what was open then may have been sent since (rule 4)')
  assert.equal((await append({ engine: restored, clock }, main, {}, once)).kind, 'repeat')
  const next = await keep({ engine: restored, clock }, main)
  assert.notEqual(next.id, lost.id)
  const page = await restored.events.read('shop', { after: latest, limit: 9 })
  assert.equal(page.kind, 'page', 'nothing had happened yet')
  await restored.close()
  const again = await open(folder, clock, { log })
  await again.close()
  assert.equal(said.filter((event) => event === 'store.restored').length, 1)
})

test('a file that is cut, changed, longer or something else is refused, and nothing is made', async (t) => {
  const { file, folder, bytes, home } = await backedUp(t)
  const random = randomBy(seed)
  const broken: [what: string, Buffer][] = [
    ['empty', Buffer.alloc(0)],
    ['something else', Buffer.from('{"something": "else"}')],
    ['longer', Buffer.concat([bytes, Buffer.alloc(1)])],
    ['twice', Buffer.concat([bytes, bytes])],
  ]
  for (let times = 0; times < 60; times++) {
    broken.push(['cut', bytes.subarray(0, random(bytes.length))])
    const changed = Buffer.from(bytes)
    const at = random(changed.length)
    changed[at]! ^= 1 << random(8)
    broken.push([`byte ${at}`, changed])
  }
  for (const [what, other] of broken) {
    await writeFile(file, other)
    await assert.rejects(restoreStore({ file, folder }), BackupRefused, what)
  }
  assert.deepEqual(await readdir(home), ['a.backup'])
})

test('a backup of an older format is restored and brought to this one at the first start; a newer one is refused', async (t) => {
  const home = await temporary(t)
  const old = join(home, 'old')
  await cp(join(fixtures, 'format-1'), old, { recursive: true })
  const store = makeStore(join(old, 'level'))
  const entries = await store.iterator().all()
  await store.close()
  const file = join(home, 'a.backup')
  const made = { version: 1, store: 'x', takenAtMs: 1, madeBy: 'older', node: 'v20' }
  const write = async (format: number, version = 1) => {
    const writer = new BackupWriter()
    const records = entries.map(([key, value]) => [Buffer.from(key), value] as const)
    const head = writer.begin({ ...made, format, version })
    await writeFile(file, Buffer.concat([head, writer.records(records), writer.end()]))
  }
  await write(1)
  const folder = join(home, 'new')
  await restoreStore({ file, folder })
  const said: string[] = []
  const engine = await open(folder, new ManualClock(), { log: (event) => said.push(event) })
  assert.equal((await engine.names.tagged('shop', 'all', { limit: 1_000 })).items.length, 600)
  await engine.close()
  assert.ok(said.includes('store.restored') && said.includes('store.upgraded'))

  await write(3)
  await refuses(restoreStore({ file, folder: join(home, 'no') }), /format 3; this version knows 2/)
  await write(2, 2)
  await refuses(restoreStore({ file, folder: join(home, 'no') }), /version 2.*knows 1/)
  await write(2)
  await refuses(restoreStore({ file, folder: join(home, 'no') }), /damaged/)
})

test('where a store is, nothing is restored; with force it is put aside whole', async (t) => {
  const { file, folder, workload } = await backedUp(t)
  const clock = new ManualClock()
  const engine = await open(folder, clock)
  await keep({ engine, clock }, main, { name: 'of before' })
  await engine.close()
  await refuses(restoreStore({ file, folder }), /there already/)
  const { aside } = await restoreStore({ file, folder, force: true })
  assert.ok(aside !== undefined)
  const restored = await open(folder, clock)
  assert.deepEqual(
    await restored.mailbox.counts('sho'),
    await workload.engine.mailbox.counts('sho'),
  )
  await restored.close()
  // The way back.
  await rm(join(folder, 'level'), { recursive: true })
  await rename(aside, join(folder, 'level'))
  const before = await open(folder, clock)
  const { commands } = await before.mailbox.read(main, 0, 9)
  assert.deepEqual(
    commands.map(({ name }) => name),
    ['of before'],
  )
  await before.close()
})

const holder = `
  import { openLevelEngine } from '${new URL('../../../src/engine/level/index.ts', import.meta.url)}'
  const clock = { nowMs: Date.now, at: () => ({ cancel() {} }) }
  await openLevelEngine({ folder: process.argv[1], clock })
  console.log('open')
  setInterval(() => {}, 1e6)
`

test('a data folder that another process has open is neither restored into nor looked at', async (t) => {
  const { file, folder } = await backedUp(t)
  const args = ['--import', 'tsx', '--input-type=module', '--eval', holder, folder]
  const other = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => other.kill('SIGKILL'))
  await new Promise((resolve) => other.stdout!.once('data', resolve))
  const before = (await readdir(folder)).sort()
  await refuses(restoreStore({ file, folder }), /in use by another process/)
  await refuses(restoreStore({ file, folder, force: true }), /in use by another process/)
  await assert.rejects(checkStore({ folder, found: () => {} }), /in use by another process/)
  assert.deepEqual((await readdir(folder)).sort(), before)
  const gone = new Promise((resolve) => other.once('exit', resolve))
  other.kill('SIGKILL')
  await gone
  assert.deepEqual(await findings(folder), [], 'a killed one holds nothing')
  await restoreStore({ file, folder, force: true })
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

test('a restore that is cut leaves nothing that starts, and the same again finishes it', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await open(join(home, 'old'), clock)
  const payload = Buffer.alloc(1_000_000, 'x')
  for (let at = 0; at < 14; at++) {
    await keep({ engine, clock }, `shop/locker-${at}/main`, { payload })
  }
  const file = join(home, 'a.backup')
  await writeFile(file, await taken(engine))
  await engine.close()
  const folder = join(home, 'new')
  for (const batch of [0, 1, 2]) {
    const { makeStore: cut } = new CutDisk(batch)
    await assert.rejects(restoreStore({ file, folder, makeStore: cut }), /cut/)
    await refuses(open(folder, clock), /has lost files/)
    await assert.rejects(checkStore({ folder, found: () => {} }), /has lost files/)
  }
  await restoreStore({ file, folder })
  assert.deepEqual((await readdir(folder)).sort(), ['level', 'level.made'])
  const restored = await open(folder, clock)
  assert.equal((await restored.mailbox.counts('shop')).open, 14)
  await restored.close()
  // What is cut beside a store leaves the store.
  const { makeStore: cut } = new CutDisk(0)
  await assert.rejects(restoreStore({ file, folder, force: true, makeStore: cut }), /cut/)
  const still = await open(folder, clock)
  assert.equal((await still.mailbox.counts('shop')).open, 14)
  await still.close()
})

test('no space for a restore is said, and what was written is removed', async (t) => {
  const { file, folder } = await backedUp(t)
  const disk = new Disk()
  disk.failing = 'full'
  await refuses(restoreStore({ file, folder, makeStore: disk.makeStore }), /no space left/)
  assert.deepEqual(await readdir(folder), ['level.made'])
  await restoreStore({ file, folder })
  assert.ok((await stat(join(folder, 'level'))).isDirectory())
})
