import { StoreCannotOpen } from '../../../contract/index.ts'
import { folderAt } from '../folder.ts'
import type { Store } from '../store.ts'
import { makeStore, textOf } from '../store.ts'
import { format, formatKey, upgrade } from '../upgrade.ts'
import { checkBroadcasts, readBroadcasts } from './broadcasts.ts'
import { checkChannels } from './channels.ts'
import { checkCounters, readApps } from './counters.ts'
import { checkEvents } from './events.ts'
import { checkFiles } from './files.ts'
import type { Finding } from './findings.ts'
import type { KindFigures } from './looking.ts'
import { Looking } from './looking.ts'
import { checkNames } from './names.ts'
import { CheckRefused } from './refused.ts'
import { checkSchedule } from './schedule.ts'
import { checkSelf, checkUnknown } from './self.ts'
import { viewOf } from './view.ts'

export type { Code, Finding } from './findings.ts'
export { meanings } from './findings.ts'
export type { KindFigures } from './looking.ts'
export { CheckRefused } from './refused.ts'

export interface CheckOptions {
  /** The data folder. */
  readonly folder: string
  /** A folder with room for a copy of the store, where it cannot be looked at by links. */
  readonly copyTo?: string
  /** Told of each as it is found: there may be many. */
  readonly found: (finding: Finding) => void
  readonly progress?: (records: number) => void
}

export interface CheckReport {
  /** Of what a kind there is how much. */
  readonly kinds: readonly KindFigures[]
  readonly files: number
  readonly fileBytes: number
  /** False: files are damaged, so the records were not looked at, or not all of them. */
  readonly isWhole: boolean
  /** An older store was brought to this format before it was looked at; the store itself was not. */
  readonly upgradedFrom: number | undefined
}

/**
 * Look at everything in a store that nobody runs on, and hold each record against what belongs to
 * it. Nothing in the store is changed.
 * @throws CheckRefused
 */
export async function checkStore(options: CheckOptions): Promise<CheckReport> {
  const { found, progress = () => {} } = options
  const folder = folderAt(options.folder)
  const view = await viewOf(folder, options.copyTo)
  try {
    const files = await checkFiles(view.path, found)
    const { count, bytes } = files
    const seen = { files: count, fileBytes: bytes }
    // LevelDB trusts its files: on a damaged one it may end the whole process.
    if (files.damaged > 0) return { kinds: [], ...seen, isWhole: false, upgradedFrom: undefined }
    const store = await open(view.path)
    try {
      const looking = new Looking(store, found, progress)
      let upgradedFrom: number | undefined
      const isWhole = await asFarAsItGoes(looking, async () => {
        upgradedFrom = await bringUp(store, folder.store)
        await lookAround(looking)
      })
      return { kinds: looking.figures, ...seen, isWhole, upgradedFrom }
    } finally {
      await store.close()
    }
  } finally {
    await view.remove()
  }
}

async function lookAround(looking: Looking): Promise<void> {
  await checkSelf(looking)
  await readApps(looking)
  await checkNames(looking)
  await readBroadcasts(looking)
  const open = await checkChannels(looking)
  const ended = await checkEvents(looking)
  await checkSchedule(looking, open + ended)
  await checkBroadcasts(looking)
  checkCounters(looking)
  await checkUnknown(looking)
}

/** @returns false where LevelDB could not read on. */
async function asFarAsItGoes(looking: Looking, look: () => Promise<void>): Promise<boolean> {
  try {
    await look()
    return true
  } catch (error) {
    if (!/corrupt|IO error/i.test(textOf(error))) throw error
    looking.found('file-damaged', 'the store', `it cannot be read on: ${textOf(error)}`)
    return false
  }
}

async function open(path: string): Promise<Store> {
  const store = makeStore(path)
  try {
    await store.open({ createIfMissing: false })
    return store
  } catch (error) {
    throw new CheckRefused(
      `the store cannot be opened: ${textOf(error)}`,
      'restore it from a backup',
      { cause: error },
    )
  }
}

/** An older store is looked at as it will be after its next start. */
async function bringUp(store: Store, path: string): Promise<number | undefined> {
  const kept = await store.get(formatKey)
  let from: unknown
  try {
    from = (JSON.parse(String(kept)) as { format?: unknown }).format
  } catch {
    from = undefined
  }
  if (kept === undefined || !Number.isInteger(from) || Number(from) < 1) return undefined
  if (Number(from) > format) {
    throw new CheckRefused(
      `the store in ${path} has format ${from}; this version knows ${format}`,
      'check it with the newer version that wrote it',
    )
  }
  if (from === format) return undefined
  try {
    await upgrade(store, kept, path, () => {})
  } catch (error) {
    if (!(error instanceof StoreCannotOpen)) throw error
    throw new CheckRefused(error.message, 'restore it from a backup', { cause: error })
  }
  return Number(from)
}
