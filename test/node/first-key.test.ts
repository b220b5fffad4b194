import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { defaultApp, type Names } from '../../src/contract/index.ts'
import { openMemoryEngine } from '../../src/engine/memory/index.ts'
import { SystemClock } from '../../src/node/clock.ts'
import { provideFirstKey } from '../../src/node/first-key.ts'

const folders: string[] = []
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

function place(): { names: Names; folder: string; file: string } {
  const folder = mkdtempSync(join(tmpdir(), 'pike-key-'))
  folders.push(folder)
  const { names } = openMemoryEngine({ clock: new SystemClock() })
  return { names, folder, file: join(folder, 'api-key') }
}

const hash = (key: string): string => createHash('sha256').update(key).digest('hex')

test('the first start makes a key, keeps its hash, and leaves the operator a copy only they read', async () => {
  const { names, folder, file } = place()
  const { made, file: said } = await provideFirstKey(names, folder, undefined, 1)
  assert.ok(made !== undefined && made.length >= 27)
  assert.equal(said, file)
  assert.equal(readFileSync(file, 'utf8'), `${made}\n`)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const key = names.keyByHash(hash(made))
  assert.deepEqual([key?.app, key?.name, key?.scopes.includes('admin')], ['default', 'first', true])
  assert.equal(JSON.stringify(await names.keys(defaultApp)).includes(made), false)
})

test('the second start makes no other and shows nothing', async () => {
  const { names, folder } = place()
  await provideFirstKey(names, folder, undefined, 1)
  const { made } = await provideFirstKey(names, folder, undefined, 2)
  assert.equal(made, undefined)
  assert.equal((await names.keys(defaultApp)).length, 1)
})

test('a crash between the copy and the store: the next start takes the copy up', async () => {
  const { names, folder, file } = place()
  writeFileSync(file, 'left-by-a-crash\n')
  const { made } = await provideFirstKey(names, folder, undefined, 1)
  assert.equal(made, 'left-by-a-crash')
  assert.ok(names.keyByHash(hash('left-by-a-crash')))
})

test('a configured key is valid while it is configured, and none is made beside it', async () => {
  const { names, folder } = place()
  assert.deepEqual(await provideFirstKey(names, folder, 'one', 1), {
    made: undefined,
    file: undefined,
  })
  assert.ok(names.keyByHash(hash('one')))
  await provideFirstKey(names, folder, 'two', 2)
  assert.equal(names.keyByHash(hash('one')), undefined)
  assert.ok(names.keyByHash(hash('two')))
  assert.equal((await names.keys(defaultApp)).length, 1)

  // Nobody could get in any more: so this is a first start again.
  const { made } = await provideFirstKey(names, folder, undefined, 3)
  assert.equal(names.keyByHash(hash('two')), undefined)
  assert.ok(made !== undefined && names.keyByHash(hash(made)))
})

test('a configured key stands beside the generated one', async () => {
  const { names, folder, file } = place()
  const { made } = await provideFirstKey(names, folder, undefined, 1)
  assert.deepEqual(await provideFirstKey(names, folder, 'mine', 2), { made: undefined, file })
  assert.ok(names.keyByHash(hash('mine')))
  assert.ok(names.keyByHash(hash(made!)))
})

test('the app "default" exists from the start', async () => {
  const { names, folder } = place()
  await provideFirstKey(names, folder, 'mine', 7)
  assert.deepEqual(await names.app(defaultApp), { app: defaultApp, createdAtMs: 7 })
  await provideFirstKey(names, folder, 'mine', 8)
  assert.equal((await names.app(defaultApp))?.createdAtMs, 7)
})
