import { cp, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Clock, Engine, Limits } from '../../src/contract/index.ts'
import type { Breakage, EngineSubject } from './engine-subject.ts'

interface FolderOptions {
  readonly folder: string
  readonly clock: Clock
  readonly limits?: Partial<Limits>
}

const copyTriesMax = 50

const namesIn = async (folder: string): Promise<string> =>
  (await readdir(folder, { recursive: true })).sort().join('/')

/** @returns false: a file went while it was copied. */
async function copied(from: string, to: string): Promise<boolean> {
  try {
    // Its lock belongs to the process that runs on the original.
    await cp(from, to, { recursive: true, filter: (file) => basename(file) !== 'LOCK' })
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return false
    throw error
  }
}

/** An engine that keeps all it has in one folder, e.g. `folderSubject(openLevelEngine)`. */
export const folderSubject = (
  openEngine: (options: FolderOptions) => Promise<Engine>,
  breakage?: Breakage,
): EngineSubject => ({
  async store() {
    const home = await mkdtemp(join(tmpdir(), 'pike-engine-'))
    const folder = join(home, 'store')
    let copies = 0
    const copy = async (from: string) => {
      const to = join(home, `copy-${++copies}`)
      // A running driver makes and removes files meanwhile: a copy is of one set of them, or none.
      for (let tries = 1; ; tries++) {
        const names = await namesIn(from)
        const whole = await copied(from, to)
        if (whole && names === (await namesIn(from))) return to
        if (tries === copyTriesMax) throw new Error(`${from} never kept still for a copy`)
        await rm(to, { recursive: true, force: true })
      }
    }
    const replaceBy = async (other: string) => {
      await rm(folder, { recursive: true, force: true })
      await rename(other, folder)
    }
    return {
      open: (clock, limits) => openEngine({ folder, clock, ...(limits && { limits }) }),
      /**
       * What a killed process leaves is what its files hold at that moment; the driver cannot be
       * killed alone, so the files are taken before it closes and put back after.
       */
      async crash(engine) {
        const left = await copy(folder)
        await engine.close()
        await replaceBy(left)
      },
      async backup() {
        const kept = await copy(folder)
        return async () => replaceBy(await copy(kept))
      },
      remove: () => rm(home, { recursive: true, force: true }),
    }
  },
  ...(breakage && { breakage }),
})
