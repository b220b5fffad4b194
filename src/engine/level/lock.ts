import { link, mkdtemp, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, makeStore } from './store.ts'

/**
 * Whether another process has this store open, found out without touching it: an empty store that
 * shares its LOCK file, by a hard link, can be opened only by who gets the lock.
 *
 * Not for a store that this process itself has open: the system would then drop its lock.
 *
 * @param beside a folder of the same file system, where something may be made for a moment
 * @returns undefined where that cannot be told: no links here, or nothing may be written
 */
export async function isInUse(store: string, beside: string): Promise<boolean | undefined> {
  const lock = join(store, 'LOCK')
  if (!(await stat(lock).catch(() => undefined))?.isFile()) return false
  let probe: string
  try {
    probe = await mkdtemp(join(beside, 'level.probe-'))
  } catch {
    return undefined
  }
  try {
    await link(lock, join(probe, 'LOCK'))
    const empty = makeStore(probe)
    // Locked first, and then found to be no store.
    await empty.open({ createIfMissing: false })
    await empty.close()
    return undefined
  } catch (error) {
    if (codeOf(error) === 'LEVEL_LOCKED') return true
    return /create_if_missing/.test(String((error as Error).cause ?? error)) ? false : undefined
  } finally {
    await rm(probe, { recursive: true, force: true })
  }
}

/** The same by opening it, which may write what LevelDB wrote only to its log so far. */
export async function isLocked(store: string): Promise<boolean> {
  const opened = makeStore(store)
  try {
    await opened.open({ createIfMissing: false })
    await opened.close()
    return false
  } catch (error) {
    return codeOf(error) === 'LEVEL_LOCKED'
  }
}
