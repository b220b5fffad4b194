import assert from 'node:assert/strict'
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test from 'node:test'
import type { Engine } from '../../../src/contract/index.ts'
import { StoreCannotOpen } from '../../../src/contract/index.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { keep, readNames, settle } from '../../support/engine-words.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const main = 'shop/locker/main'
const clock = new ManualClock()

async function home(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'pike-level-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

const open = (folder: string) => openLevelEngine({ folder, clock })

/** A store with one command in it, closed in order. */
async function used(folder: string): Promise<void> {
  const engine = await open(folder)
  await keep({ engine, clock }, main, { name: 'before' })
  await engine.close()
}

const epochOf = async (engine: Engine) => (await engine.mailbox.open(main)).epochs.at(-1)!.epoch

async function refuses(folder: string, message: RegExp): Promise<void> {
  await assert.rejects(open(folder), (error) => {
    assert.ok(error instanceof StoreCannotOpen, String(error))
    assert.match(error.message, message)
    assert.ok(error.advice.length > 10)
    return true
  })
}

test('a data folder in use by another process is refused, and nothing happens to it', async (t) => {
  const folder = await home(t)
  const engine = await open(folder)
  await refuses(folder, /in use by another process/)
  const kept = await keep({ engine, clock }, main, { name: 'still works' })
  await engine.close()
  const again = await open(folder)
  assert.equal(await epochOf(again), kept.epoch, 'the clean mark was left alone')
  await again.close()
})

test('a path that is no folder is refused', async (t) => {
  const path = join(await home(t), 'file')
  await writeFile(path, 'not a folder')
  await refuses(path, /is not a folder/)
})

test('a file where the store would lie is named, not the folder it lies in', async (t) => {
  const folder = await home(t)
  await writeFile(join(folder, 'level'), 'not a store')
  await refuses(folder, /level is not a folder/)
})

test('a store of a newer format is refused and left as it is', async (t) => {
  const folder = await home(t)
  await used(folder)
  const store = makeStore(join(folder, 'level'))
  await store.put('s/format', Buffer.from('{"format":3}'))
  await store.close()
  await refuses(folder, /has format 3; this version knows 2/)
  await refuses(folder, /has format 3/)
})

test('a LevelDB that is not ours is refused and left as it is', async (t) => {
  const folder = await home(t)
  const store = makeStore(join(folder, 'level'))
  await store.put('theirs', Buffer.from('value'))
  await store.close()
  await refuses(folder, /no store of this gateway/)
  const again = makeStore(join(folder, 'level'))
  assert.equal(String(await again.get('theirs')), 'value')
  await again.close()
})

test('a store that lost its CURRENT is refused, not made anew over what it held', async (t) => {
  const folder = await home(t)
  await used(folder)
  await rm(join(folder, 'level', 'CURRENT'))
  const before = (await readdir(join(folder, 'level'))).sort()
  await refuses(folder, /lost files/)
  assert.deepEqual((await readdir(join(folder, 'level'))).sort(), before)
})

test('a store whose manifest is damaged is refused', async (t) => {
  const folder = await home(t)
  await used(folder)
  const names = await readdir(join(folder, 'level'))
  const manifest = names.find((name) => name.startsWith('MANIFEST'))!
  await writeFile(join(folder, 'level', manifest), 'nonsense')
  await refuses(folder, /cannot be read/)
})

test('a damaged channel record is refused, for its positions would be given twice', async (t) => {
  const folder = await home(t)
  await used(folder)
  const store = makeStore(join(folder, 'level'))
  const record = (await store.get(`c/${main}`))!
  record[3]! ^= 1
  await store.put(`c/${main}`, record)
  await store.close()
  await refuses(folder, /record of channel shop\/locker\/main is damaged/)
})

for (const cut of ['an empty folder', 'a log without CURRENT', 'an unreadable manifest']) {
  test(`a store cut while it was made (${cut}) is started over`, async (t) => {
    const folder = await home(t)
    const store = join(folder, 'level')
    await mkdir(store)
    if (cut !== 'an empty folder') await writeFile(join(store, '000003.log'), '')
    if (cut === 'an unreadable manifest') {
      await writeFile(join(store, 'CURRENT'), 'MANIFEST-000002\n')
      await writeFile(join(store, 'MANIFEST-000002'), '')
    }
    const engine = await open(folder)
    await keep({ engine, clock }, main)
    await engine.close()
  })
}

test('a new store is findable on the disk before anything is accepted', async (t) => {
  const folder = await home(t)
  const engine = await open(join(folder, 'deep', 'er'))
  assert.ok((await readdir(join(folder, 'deep', 'er'))).includes('level.made'))
  await engine.close()
})

test('rule 13: closed in order, the numbering goes on; moving the folder changes nothing', async (t) => {
  const path = await home(t)
  await used(join(path, 'one'))
  await rename(join(path, 'one'), join(path, 'two'))
  const first = await open(join(path, 'two'))
  const epoch = await epochOf(first)
  assert.equal((await first.mailbox.open(main)).epochs.length, 1)
  await first.close()
  const second = await open(join(path, 'two'))
  assert.equal(await epochOf(second), epoch)
  await second.close()
})

test('rule 13: a copy of a folder that was closed in order begins a new epoch', async (t) => {
  const path = await home(t)
  await used(join(path, 'one'))
  await cp(join(path, 'one'), join(path, 'two'), { recursive: true, preserveTimestamps: true })
  const original = await open(join(path, 'one'))
  const copy = await open(join(path, 'two'))
  assert.notEqual(await epochOf(copy), await epochOf(original))
  assert.equal((await copy.mailbox.open(main)).epochs.length, 2)
  await original.close()
  await copy.close()
})

test('rule 13: a store changed by somebody after its clean end begins a new epoch', async (t) => {
  const folder = await home(t)
  await used(folder)
  const name = (await readdir(join(folder, 'level'))).find((each) => each.endsWith('.log'))!
  const log = join(folder, 'level', name)
  await truncate(log, (await stat(log)).size - 10)
  const engine = await open(folder)
  assert.equal((await engine.mailbox.open(main)).epochs.length, 2)
  await engine.close()
})

test('rule 13: a clean mark of an earlier end is worth nothing after a crash', async (t) => {
  const path = await home(t)
  const folder = join(path, 'one')
  await used(folder)
  const engine = await open(folder)
  assert.ok(!(await readdir(folder)).includes('level.clean'), 'taken as soon as it is open')
  await engine.close()
  assert.ok((await readdir(folder)).includes('level.clean'))
})

test('how a store was left is said at its start', async (t) => {
  const path = await home(t)
  const folder = join(path, 'one')
  const said: unknown[] = []
  const start = async (from: string) => {
    const log = (event: string, fields: object) => {
      if (event === 'store.opened') said.push((fields as { left: string }).left)
    }
    return openLevelEngine({ folder: from, clock, log })
  }
  const first = await start(folder)
  await first.flushed()
  await cp(folder, join(path, 'killed'), { recursive: true })
  await first.close()
  await cp(folder, join(path, 'copied'), { recursive: true })
  for (const name of ['killed', 'copied', 'one']) await (await start(join(path, name))).close()
  const log = (await readdir(join(folder, 'level'))).find((name) => name.endsWith('.log'))!
  await rm(join(folder, 'level', log))
  await (await start(folder)).close()
  assert.deepEqual(said, ['new', 'unclean', 'copied', 'clean', 'changed'])
})

test('rule 34: whoever makes the clock learns the last time mark first', async (t) => {
  const folder = await home(t)
  const marks: (number | undefined)[] = []
  const time = new ManualClock()
  const openWith = () =>
    openLevelEngine({
      folder,
      clock: (timeMarkMs) => {
        marks.push(timeMarkMs)
        return time
      },
    })
  const first = await openWith()
  time.advance(3 * 60_000)
  const atMs = time.nowMs()
  await first.close()
  const second = await openWith()
  assert.deepEqual(marks, [undefined, atMs])
  assert.equal(second.timeMarkMs, atMs)
  time.advance(61_000)
  await second.flushed()
  // Killed now: the mark of the last full minute is there.
  const copy = join(await home(t), 'copy')
  await cp(folder, copy, { recursive: true })
  const third = await openLevelEngine({ folder: copy, clock: time })
  assert.equal(third.timeMarkMs, atMs + 60_000)
  await third.close()
  await second.close()
})

test('rule 19: terms grow across restarts', async (t) => {
  const folder = await home(t)
  const terms: number[] = []
  for (let start = 0; start < 3; start++) {
    const engine = await open(folder)
    for (const link of ['a', 'b']) terms.push((await engine.directory.claim(main, link)).term)
    await engine.close()
  }
  for (let at = 1; at < terms.length; at++) assert.ok(terms[at]! > terms[at - 1]!)
})

test('waiting commands are there after a start, for who asks', async (t) => {
  const folder = await home(t)
  const engine = await open(folder)
  const names = Array.from({ length: 100 }, (_, i) => `step-${i}`)
  await Promise.all(names.map((name) => keep({ engine, clock }, main, { name })))
  await engine.close()
  const again = await open(folder)
  assert.deepEqual(await again.mailbox.depth(main), {
    ...{ commands: 100, bytes: 1_000, oldestAtMs: clock.nowMs() },
  })
  assert.deepEqual(await readNames({ engine: again, clock }, main), names)
  await again.close()
})

test('a channel that was empty at a start has deadlines again', async (t) => {
  const folder = await home(t)
  const time = new ManualClock()
  const first = await openLevelEngine({ folder, clock: time })
  const { offset } = await keep({ engine: first, clock: time }, main)
  const changes = [{ kind: 'ended', offset, status: 'delivered', atMs: time.nowMs() }] as const
  await settle({ engine: first, clock: time }, main, { changes })
  await first.close()
  const engine = await openLevelEngine({ folder, clock: time })
  time.advance(30_000)
  assert.equal(engine.mailbox.nextDueMs(), Number.POSITIVE_INFINITY)
  const kept = await keep({ engine, clock: time }, main)
  assert.equal(engine.mailbox.nextDueMs(), kept.expiresAtMs)
  time.advance(60_000)
  const due = await engine.mailbox.due(time.nowMs(), 10)
  assert.deepEqual(
    due.map((command) => command.id),
    [kept.id],
  )
  await engine.close()
})
