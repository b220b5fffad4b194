import type { Clock, Limits } from '../../contract/index.ts'
import { limits as defaultLimits, StoreCannotOpen } from '../../contract/index.ts'
import { LevelEngine } from './engine.ts'
import { folderAt } from './folder.ts'
import { restoredKey } from './keys.ts'
import { openStore } from './opening.ts'
import { parse } from './records.ts'
import type { Restored } from './restore.ts'
import { freeBytesOf } from './space.ts'
import type { Store } from './store.ts'
import { makeStore as makeLevel, textOf } from './store.ts'

export { BackupRefused } from './backup-format.ts'
export { LevelEngine } from './engine.ts'
export { RestoreRefused, restoreStore } from './restore.ts'

/** Free space below which nothing new is accepted, while what was accepted can still end. */
const defaultReserveBytes = 16 * 1_048_576

export interface LevelEngineOptions {
  /** Where the store is or shall be: `level/` in it, beside what others keep there. */
  readonly folder: string
  /**
   * The clock, or who makes it once the last time mark of the store is known, before which time
   * must not start (rule 34).
   */
  readonly clock: Clock | ((timeMarkMs: number | undefined) => Clock)
  readonly limits?: Partial<Limits>
  readonly log?: (event: string, fields: object) => void
  /** False: what is kept survives the end of the process, not the loss of power. */
  readonly sync?: boolean
  /** Of what runs here, for backups. */
  readonly version?: string
  readonly reserveBytes?: number
  /** For tests: a store or a disk that fails. */
  readonly makeStore?: (path: string) => Store
  readonly freeBytes?: (folder: string) => Promise<number>
}

/**
 * Mailboxes, events and names on an embedded LevelDB; one process has it open at a time.
 * @throws StoreCannotOpen when it is in use, unreadable or of a newer format; nothing is damaged.
 */
export async function openLevelEngine(options: LevelEngineOptions): Promise<LevelEngine> {
  const { log = () => {}, sync = true, makeStore = makeLevel } = options
  const { reserveBytes = defaultReserveBytes, freeBytes = freeBytesOf, version = '' } = options
  const folder = folderAt(options.folder)
  const opened = await openStore(folder, makeStore, Date.now, log)
  try {
    const clock =
      typeof options.clock === 'function' ? options.clock(opened.timeMarkMs) : options.clock
    const limits: Limits = { ...defaultLimits, ...options.limits }
    const engine = new LevelEngine(opened, {
      ...{ folder, clock, limits, log, sync, reserveBytes, makeStore, freeBytes, version },
    })
    const { left, starts } = opened
    log('store.opened', { left, starts })
    if (left === 'changed') log('store.tail-maybe-lost', { folder: folder.store })
    const lostUntilMs = await sayRestored(opened.store, log)
    await engine.load(left === 'clean', lostUntilMs)
    if (lostUntilMs !== undefined) await opened.store.del(restoredKey, { sync: true })
    return engine
  } catch (error) {
    await opened.store.close()
    if (error instanceof StoreCannotOpen) throw error
    throw new StoreCannotOpen(
      `the store in ${folder.store} is damaged: ${textOf(error)}`,
      'restore the folder from a backup; what it holds was not changed',
      { cause: error },
    )
  }
}

/**
 * At the first start after a restore; it has no clean mark, so new epochs begin (rule 13).
 * Resolves with the moment until which nobody knows what happened.
 */
async function sayRestored(
  store: Store,
  log: (event: string, fields: object) => void,
): Promise<number | undefined> {
  const value = await store.get(restoredKey)
  if (value === undefined) return undefined
  const { takenAtMs, restoredAtMs } = parse<Restored>(value)
  log('store.restored', {
    taken: new Date(takenAtMs).toISOString(),
    restored: new Date(restoredAtMs).toISOString(),
    means:
      'what happened since it was taken is unknown here; what may have been sent may come again',
  })
  return Math.max(takenAtMs, restoredAtMs)
}
