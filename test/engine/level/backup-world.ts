import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Engine } from '../../../src/contract/index.ts'
import { StoreCannotOpen } from '../../../src/contract/index.ts'
import { BackupRefused } from '../../../src/engine/level/backup-format.ts'
import { checkStore } from '../../../src/engine/level/check/index.ts'
import type { LevelEngineOptions } from '../../../src/engine/level/index.ts'
import { openLevelEngine, RestoreRefused } from '../../../src/engine/level/index.ts'
import { makeStore } from '../../../src/engine/level/store.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { Workload } from './workload.ts'

export const seed = Number(process.env.PIKE_SEED ?? Math.trunc(Math.random() * 2 ** 31))

export async function temporary(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'pike-backup-test-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

export async function taken(engine: Engine): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of engine.backup!()) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** A store with something of everything in it, and a backup of it in a file. */
export async function backedUp(t: TestContext) {
  const home = await temporary(t)
  const workload = await Workload.begin(seed)
  t.after(() => workload.remove())
  await workload.run(300)
  await workload.engine.flushed()
  const bytes = await taken(workload.engine)
  const file = join(home, 'a.backup')
  await writeFile(file, bytes)
  return { home, file, bytes, workload, folder: join(home, 'restored') }
}

export async function recordsIn(folder: string): Promise<Map<string, string>> {
  const store = makeStore(join(folder, 'level'))
  const records = await store.iterator().all()
  await store.close()
  return new Map(records.map(([key, value]) => [key, value.toString('hex')]))
}

export async function findings(folder: string): Promise<unknown[]> {
  const found: unknown[] = []
  await checkStore({ folder, found: (finding) => found.push(finding) })
  return found
}

export const open = (folder: string, clock: ManualClock, more: Partial<LevelEngineOptions> = {}) =>
  openLevelEngine({ folder, clock, sync: false, ...more })

export async function refuses(opening: Promise<unknown>, says: RegExp): Promise<void> {
  await assert.rejects(opening, (error) => {
    const isKnown =
      error instanceof RestoreRefused ||
      error instanceof BackupRefused ||
      error instanceof StoreCannotOpen
    assert.ok(isKnown, String(error))
    assert.match(error.message, says)
    assert.ok(error.advice.length > 10)
    return true
  })
}
