import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { StoreUnavailable } from '../../../src/contract/index.ts'
import { BackupReader } from '../../../src/engine/level/backup-format.ts'
import { restoreStore } from '../../../src/engine/level/index.ts'
import { end, keep, settle } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { randomBy } from '../../support/random.ts'
import { backedUp, findings, open, seed, taken, temporary } from './backup-world.ts'
import { breakage, openOnDisk } from './subject.ts'

test('a backup is of one moment, whatever is accepted and ends while it is taken', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await open(join(home, 'old'), clock)
  t.after(() => engine.close())
  const world = { engine, clock }
  const roomy = { maxCommands: 1e6, maxBytes: 1e9 }
  const before = await Promise.all(
    Array.from({ length: 3_000 }, (_, at) =>
      keep(world, `shop/locker-${at % 50}/main`, { payload: Buffer.alloc(200, at) }, roomy),
    ),
  )
  const chunks: Uint8Array[] = []
  let since = 0
  for await (const chunk of engine.backup!()) {
    chunks.push(chunk)
    const { channel, offset } = before[since * 7]!
    await settle(world, channel, { changes: [end(offset, 'delivered', clock.nowMs())] })
    await keep(world, 'shop/after/main')
    since += 1
  }
  assert.ok(since > 5, 'it came in many pieces')
  assert.ok(chunks.every(({ length }) => length < 256 * 1_024))
  const file = join(home, 'a.backup')
  await writeFile(file, Buffer.concat(chunks))
  const folder = join(home, 'new')
  await restoreStore({ file, folder })
  assert.deepEqual(await findings(folder), [])
  const restored = await open(folder, clock)
  const counts = await restored.mailbox.counts('shop')
  assert.deepEqual(counts, { accepted: 3_000, open: 3_000, ended: {} })
  await restored.close()
})

test('a backup is read in pieces of any size', async (t) => {
  const { bytes } = await backedUp(t)
  const random = randomBy(seed)
  for (const size of [1, 7, 1_000]) {
    const reader = new BackupReader(() => {})
    for (let at = 0; at < bytes.length; ) {
      const next = at + 1 + random(size)
      reader.push(bytes.subarray(at, next))
      at = next
    }
    reader.end()
    assert.ok(reader.count > 50)
  }
})

test('a backup of a store that cannot be read rejects at its first step; one that stops midway breaks off', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await openOnDisk({ folder: join(home, 'old'), clock })
  t.after(() => engine.close())
  const payload = Buffer.alloc(30_000)
  for (let at = 0; at < 20; at++) {
    await keep({ engine, clock }, `shop/locker-${at}/main`, { payload })
  }
  const begun = engine.backup!()[Symbol.asyncIterator]()
  await begun.next()
  await breakage.break(engine, 'down')
  await assert.rejects(engine.backup!()[Symbol.asyncIterator]().next(), StoreUnavailable)
  await assert.rejects(begun.next(), StoreUnavailable)
  await breakage.mend(engine)
  assert.ok((await taken(engine)).length > 20 * 30_000)
})

test('who takes nothing of a backup for a minute, has it no more; who leaves it, leaves nothing', async (t) => {
  const home = await temporary(t)
  const clock = new ManualClock()
  const engine = await open(join(home, 'old'), clock)
  t.after(() => engine.close())
  const payload = Buffer.alloc(30_000)
  for (let at = 0; at < 20; at++) {
    await keep({ engine, clock }, `shop/locker-${at}/main`, { payload })
  }
  const stalling = () => clock.waiting().filter(({ name }) => name === 'backup.stalled').length
  const slow = engine.backup!()[Symbol.asyncIterator]()
  for (let pieces = 0; pieces < 4; pieces++) {
    await slow.next()
    clock.advance(59_000)
  }
  clock.advance(1_000)
  await assert.rejects(slow.next(), /not taken for a minute/)
  const left = engine.backup!()[Symbol.asyncIterator]()
  await left.next()
  await left.next()
  assert.equal(stalling(), 1)
  await left.return!()
  assert.equal(stalling(), 0)
})

test('what a backup says of itself can be read by a person', async (t) => {
  const { bytes, file } = await backedUp(t)
  assert.equal(bytes.subarray(0, 8).toString(), 'PIKEBAK\n')
  const length = bytes.readUInt32LE(8)
  const head = JSON.parse(bytes.subarray(12, 12 + length).toString())
  assert.deepEqual(Object.keys(head).sort(), [
    ...['format', 'madeBy', 'node', 'store', 'takenAtMs', 'version'],
  ])
  assert.equal((await readFile(file)).length, bytes.length)
})
