import assert from 'node:assert/strict'
import { cp, link, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import test, { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { CheckReport, Code, Finding } from '../../../src/engine/level/check/index.ts'
import { CheckRefused, checkStore, meanings } from '../../../src/engine/level/check/index.ts'
import { tablesOf } from '../../../src/engine/level/check/manifest.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import type { Store } from '../../../src/engine/level/store.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { randomBy } from '../../support/random.ts'
import { Workload } from './workload.ts'

const fixtures = fileURLToPath(new URL('./fixtures/', import.meta.url))
const runs = Number(process.env.PIKE_RUNS ?? 12)
const seed = Number(process.env.PIKE_SEED ?? Math.trunc(Math.random() * 2 ** 31))

interface Looked {
  readonly report: CheckReport
  readonly findings: readonly Finding[]
}

async function look(folder: string): Promise<Looked> {
  const findings: Finding[] = []
  const report = await checkStore({ folder, found: (finding) => findings.push(finding) })
  return { report, findings }
}

async function temporary(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'pike-check-test-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

let made: Promise<Workload> | undefined
after(async () => (await made)?.remove())

async function make(): Promise<Workload> {
  const workload = await Workload.begin(7)
  await workload.run(700)
  await workload.engine.close()
  return workload
}

/** A store in which there is something of everything, left in order. */
async function full(t: TestContext): Promise<string> {
  made ??= make()
  const folder = join(await temporary(t), 'full')
  await cp((await made).folder, folder, { recursive: true })
  return folder
}

async function recordsOf(folder: string): Promise<[string, Buffer][]> {
  const store = makeStore(join(folder, 'level'))
  const records = await store.iterator().all()
  await store.close()
  return records
}

/** What a copy of the store looks like after this was done to its records. */
async function lookAfter(folder: string, damage: (store: Store) => Promise<void>): Promise<Looked> {
  const copy = await mkdtemp(join(tmpdir(), 'pike-check-test-'))
  try {
    await cp(folder, copy, { recursive: true })
    const store = makeStore(join(copy, 'level'))
    await store.open()
    await damage(store)
    await store.close()
    return await look(copy)
  } finally {
    await rm(copy, { recursive: true, force: true })
  }
}

test(`whatever an engine does, restarts and crashes too, it leaves nothing to find (seed ${seed})`, async () => {
  for (let run = 0; run < runs; run++) {
    const workload = await Workload.begin(seed + run)
    try {
      await workload.run(250)
      if (run % 2 === 0) await workload.crash()
      await workload.engine.close()
      const { findings, report } = await look(workload.folder)
      assert.deepEqual(findings, [], `seed ${seed + run}`)
      assert.ok(report.kinds.every(({ kind }) => kind.length > 0))
    } finally {
      await workload.remove()
    }
  }
})

/** Kinds of records whose loss shows in others. The rest belongs to nothing: keys, webhooks, answers … */
const missed = 'amcehnldtoqypbvj'

test('a record that is gone is found, whichever it is', async (t) => {
  const folder = await full(t)
  const records = await recordsOf(folder)
  const random = randomBy(seed)
  for (const letter of missed) {
    const keys = records.map(([key]) => key).filter((key) => key.startsWith(`${letter}/`))
    assert.ok(keys.length > 0, `the store has nothing under ${letter}`)
    for (let times = 0; times < 4; times++) {
      const key = keys[random(keys.length)]!
      // A channel in which nothing is open or has ended has nothing that misses it.
      if (letter === 'c' && !records.some(([other]) => isOfChannel(other, key))) continue
      const { findings } = await lookAfter(folder, (store) => store.del(key))
      assert.ok(findings.length > 0, `${key} is gone, and nothing is found`)
    }
  }
})

const isOfChannel = (key: string, channel: string): boolean =>
  /^[mh]/.test(key) && key.slice(1).startsWith(`${channel.slice(1)}/`)

test('a record too many is found, whichever it is', async (t) => {
  const folder = await full(t)
  const records = await recordsOf(folder)
  for (const letter of 'mehdtoqypbvj') {
    const [key, value] = records.findLast(([each]) => each.startsWith(`${letter}/`))!
    // Of the same form, elsewhere.
    const other = /[0-9a-z]{11}$/.test(key)
      ? `${key.slice(0, -11)}${'z'.repeat(11)}`
      : `${key}-other`
    const { findings } = await lookAfter(folder, (store) => store.put(other, value))
    assert.ok(findings.length > 0, `${other} is there, and nothing is found`)
  }
})

test('a bit that is not as it was is found, where a record is held against others', async (t) => {
  const folder = await full(t)
  const records = await recordsOf(folder)
  const random = randomBy(seed)
  for (const letter of 'cqph') {
    const some = records.filter(([key]) => key.startsWith(`${letter}/`))
    for (let times = 0; times < 6; times++) {
      const [key, before] = some[random(some.length)]!
      const value = Buffer.from(before)
      // Of the way to an outcome: where it leads and when it was accepted.
      const bytes = letter === 'h' ? 16 : value.length
      const at = random(bytes)
      value[at]! ^= 1 << random(8)
      const { findings } = await lookAfter(folder, (store) => store.put(key, value))
      assert.ok(findings.length > 0, `${key} has another byte ${at}, and nothing is found`)
    }
  }
})

const damages: readonly [what: string, code: Code, damage: (store: Store) => Promise<void>][] = [
  ['a key of nobody', 'unknown-key', (store) => store.put('z/what', Buffer.from('?'))],
  ['a key that is none of ours', 'unknown-key', (store) => store.put('mm', Buffer.from('?'))],
  ['a half key', 'unknown-key', (store) => store.put('m/shop', Buffer.from('?'))],
  ['no format', 'self-missing', (store) => store.del('s/format')],
  ['an app that counts one too many', 'unaccounted', (store) => counters(store, { accepted: 1 })],
  ['an open one too many', 'open-count', (store) => counters(store, { accepted: 1, open: 1 })],
  ['devices miscounted', 'names-count', (store) => counters(store, { devices: 1 })],
  ['a log that ends later', 'event-missing', (store) => counters(store, { top: 2 })],
  ['a log that ends sooner', 'event-outside', (store) => counters(store, { top: -1 })],
  ['an unreadable command', 'unreadable', (store) => first(store, 'm', () => Buffer.from('?'))],
  ['an unreadable event', 'unreadable', (store) => first(store, 'e', () => Buffer.alloc(9))],
  ['an unreadable device', 'unreadable', (store) => first(store, 'd', () => Buffer.from('{'))],
  [
    'a device under the name of another',
    'wrong-place',
    (store) =>
      first(store, 'd', (value) => Buffer.from(String(value).replace(/"ab[^"]*"/, '"zz"'))),
  ],
  [
    'a command that is open and has ended',
    'open-and-ended',
    async (store) => {
      const [key, value] = await at(store, 'h')
      assert.ok(value !== undefined)
      const [, command] = await at(store, 'm')
      await store.put(`m${key.slice(1)}`, command)
    },
  ],
  [
    'a tag of a device that does not have it',
    'tag-stray',
    (store) => store.put('t/shop/nobody/locker-1', Buffer.alloc(0)),
  ],
  [
    'a broadcast that waits for fewer',
    'broadcast-count',
    (store) =>
      first(store, 'v', (value) => {
        const standing = JSON.parse(String(value)) as { devices: number }
        return Buffer.from(JSON.stringify({ ...standing, devices: standing.devices + 1 }))
      }),
  ],
  [
    'an answer of another day',
    'unreadable',
    async (store) => {
      const [key, value] = await at(store, 'i')
      await store.put(key.replace(/^i\/....../, 'i/000001'), value)
    },
  ],
]

for (const [what, code, damage] of damages) {
  test(`${what}: ${code}`, async (t) => {
    const { findings } = await lookAfter(await full(t), damage)
    const codes = findings.map((finding) => finding.code)
    assert.ok(codes.includes(code), JSON.stringify(findings))
    for (const each of codes) assert.ok(meanings[each].length > 10)
  })
}

async function at(store: Store, letter: string): Promise<[string, Buffer]> {
  const range = { gte: `${letter}/`, lt: `${letter}0`, limit: 1 }
  const [entry] = await store.iterator(range).all()
  assert.ok(entry !== undefined, `nothing under ${letter}`)
  return entry
}

async function first(store: Store, letter: string, change: (value: Buffer) => Buffer) {
  const [key, value] = await at(store, letter)
  await store.put(key, change(value))
}

async function counters(store: Store, more: Record<string, number>): Promise<void> {
  const kept = JSON.parse(String(await store.get('n/shop'))) as Record<string, number>
  for (const [name, by] of Object.entries(more)) kept[name]! += by
  await store.put('n/shop', Buffer.from(JSON.stringify(kept)))
}

test('a byte that changed in a file of the store is found, or the store cannot be opened', async (t) => {
  const folder = await full(t)
  // What was only logged is in a table now, what comes next in a log.
  const clock = new ManualClock()
  const engine = await openLevelEngine({ folder, clock, sync: false })
  for (let record = 0; record < 90; record++)
    await engine.names.putApp({ app: `a-${record}`, createdAtMs: 1 })
  await engine.close()
  const files: { name: string; size: number }[] = []
  const tables = await namedTables(join(folder, 'level'))
  for (const name of await readdir(join(folder, 'level'))) {
    const bytes = await readFile(join(folder, 'level', name))
    // Behind the last block of a table comes its end, in a log what may be torn.
    const isTable = /\.ldb$/.test(name) && tables.has(Number.parseInt(name, 10))
    if (isTable) files.push({ name, size: bytes.length - 48 })
    if (/\.log$/.test(name)) files.push({ name, size: lastRecordOf(bytes) })
  }
  assert.ok(files.some(({ name }) => name.endsWith('.ldb')))
  assert.ok(files.some(({ name }) => name.endsWith('.log')))
  const random = randomBy(seed)
  for (let run = 0; run < 4 * runs; run++) {
    const copy = await mkdtemp(join(tmpdir(), 'pike-check-test-'))
    try {
      await cp(folder, copy, { recursive: true })
      const { name, size } = files[random(files.length)]!
      const path = join(copy, 'level', name)
      const bytes = await readFile(path)
      const at = random(size)
      bytes[at]! ^= 1 << random(8)
      await writeFile(path, bytes)
      const looked = await look(copy).catch((error: unknown) => error)
      if (looked instanceof CheckRefused) continue
      assert.ok(!(looked instanceof Error), looked as Error)
      const { findings } = looked as Looked
      const damaged = findings.filter(({ code }) => code === 'file-damaged')
      const what = `byte ${at} of ${name}, ${bytes.length} bytes long`
      assert.ok(
        damaged.some(({ where }) => where === name),
        `${what}: ${JSON.stringify(findings)}`,
      )
    } finally {
      await rm(copy, { recursive: true, force: true })
    }
  }
})

/** Where the last record of a log begins that is no longer than a block. */
function lastRecordOf(bytes: Buffer): number {
  let last = 0
  for (let at = 0; at + 7 <= Math.min(bytes.length, 32_768); at += 7 + bytes.readUInt16LE(at + 4)) {
    last = at
  }
  return last
}

test('a table that a cut compaction left behind is no part of the store; one that is part of it is', async (t) => {
  const folder = await full(t)
  const level = join(folder, 'level')
  // What was only logged is in a table from the next start on.
  await (await openLevelEngine({ folder, clock: new ManualClock() })).close()
  const before = (await look(folder)).findings
  const [live] = await namedTables(level)
  const name = `${String(live).padStart(6, '0')}.ldb`
  const bytes = await readFile(join(level, name))
  await writeFile(join(level, '999999.ldb'), bytes.subarray(0, -60))
  assert.deepEqual((await look(folder)).findings, before)
  await writeFile(join(level, name), bytes.subarray(0, -60))
  const { findings } = await look(folder)
  assert.deepEqual(
    findings.map(({ code, where }) => [code, where]),
    [['file-damaged', name]],
  )
})

/** Numbers of the tables a store is made of. */
async function namedTables(level: string): Promise<ReadonlySet<number>> {
  const manifest = (await readFile(join(level, 'CURRENT'), 'latin1')).trim()
  const tables = tablesOf(await readFile(join(level, manifest)))
  assert.ok(tables !== undefined && tables.size > 0, 'the manifest names tables')
  return tables
}

test('a log that was torn at its end by a power cut is no damage', async (t) => {
  const folder = await full(t)
  const logs = (await readdir(join(folder, 'level'))).filter((name) => name.endsWith('.log'))
  const path = join(folder, 'level', logs.at(-1)!)
  const bytes = await readFile(path)
  for (const torn of [bytes.subarray(0, -3), Buffer.concat([bytes, Buffer.alloc(500)])]) {
    await writeFile(path, torn)
    const { findings } = await look(folder)
    assert.ok(!findings.some(({ code }) => code === 'file-damaged'))
  }
})

test('looking at a store changes nothing in it, and leaves nothing beside it', async (t) => {
  const folder = await full(t)
  const engine = await openLevelEngine({ folder, clock: new ManualClock() })
  const { epochs } = await engine.mailbox.open('shop/locker-1/main')
  await engine.close()
  const before = await filesUnder(folder)
  const { findings, report } = await look(folder)
  assert.deepEqual(findings, [])
  assert.ok(report.files > 0 && report.kinds.some(({ records }) => records > 0))
  assert.deepEqual(await filesUnder(folder), before)
  const again = await openLevelEngine({ folder, clock: new ManualClock() })
  const now = await again.mailbox.open('shop/locker-1/main')
  assert.deepEqual(now.epochs, epochs, 'it was left clean, and still is')
  await again.close()
})

async function filesUnder(folder: string): Promise<string[]> {
  const said: string[] = []
  for (const name of await readdir(folder, { recursive: true })) {
    const { size, mtimeMs, ino, mode } = await stat(join(folder, name))
    const isFolder = (mode & 0o170000) === 0o040000
    said.push(isFolder ? name : `${name} ${size} ${mtimeMs} ${ino}`)
  }
  return said.sort()
}

test('a store of format 1 is looked at as it will be, and stays what it is', async (t) => {
  const folder = join(await temporary(t), 'store')
  await cp(join(fixtures, 'format-1'), folder, { recursive: true })
  const before = await filesUnder(folder)
  const { findings, report } = await look(folder)
  assert.deepEqual([findings, report.upgradedFrom], [[], 1])
  assert.deepEqual(await filesUnder(folder), before)
})

test('what is no store, or of a newer format, is refused with what to do', async (t) => {
  const folder = await full(t)
  const refuses = async (path: string, says: RegExp) => {
    await assert.rejects(look(path), (error) => {
      assert.ok(error instanceof CheckRefused, String(error))
      assert.match(error.message, says)
      assert.ok(error.advice.length > 10)
      return true
    })
  }
  await refuses(await temporary(t), /no store/)
  await refuses('/nowhere/at/all', /no store/)
  await assert.rejects(
    lookAfter(folder, (store) => store.put('s/format', Buffer.from('{"format":99,"store":"x"}'))),
    /format 99/,
  )
  await link(join(folder, 'level', 'CURRENT'), join(folder, 'kept'))
  await rm(join(folder, 'level', 'CURRENT'))
  await refuses(folder, /lost files/)
})
