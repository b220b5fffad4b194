import { randomUUID } from 'node:crypto'
import type { AppRecord } from '../../contract/index.ts'
import { defaultApp, StoreCannotOpen } from '../../contract/index.ts'
import type { Folder, Left, ReadMark } from './folder.ts'
import {
  lookAt,
  makeFolder,
  markMade,
  neverHeldAnything,
  readCleanMark,
  startOver,
  takeCleanMark,
} from './folder.ts'
import { appKey } from './keys.ts'
import type { Store } from './store.ts'
import { codeOf, pathOf, saysFull, textOf } from './store.ts'
import { format, formatKey, upgrade } from './upgrade.ts'

export const startsKey = 's/starts'
export const timeKey = 's/time'

export interface Opened {
  readonly store: Store
  /** What it says of itself: its format and a name that no other has. */
  readonly self: Buffer
  /** 'clean': it was closed in order, here, and nothing was lost since. */
  readonly left: Left | 'new'
  /** Starts so far, this one included; durable. */
  readonly starts: number
  /** The last time mark, ms since 1970 (rule 34). */
  readonly timeMarkMs: number | undefined
}

/**
 * Open the store of a folder, or make one; an older one is brought to this version's format. What it says of itself is durable before it resolves, so
 * that a power cut in its first seconds finds a store that opens.
 * @throws StoreCannotOpen with what to do.
 */
export async function openStore(
  folder: Folder,
  makeStore: (path: string) => Store,
  wallMs: () => number,
  log: (event: string, fields: object) => void = () => {},
): Promise<Opened> {
  try {
    await makeFolder(folder)
    const found = await lookAt(folder)
    if (found === 'damaged') {
      throw new StoreCannotOpen(
        `the store in ${folder.store} has lost files: it has no CURRENT`,
        `restore the folder from a backup; if it may be forgotten, remove ${folder.store}*`,
      )
    }
    if (found === 'half-made') await startOver(folder)
    const mark = await readCleanMark(folder)
    const store = await openLevel(folder, makeStore)
    try {
      return await begin(folder, store, mark, wallMs, log)
    } catch (error) {
      await store.close()
      throw error
    }
  } catch (error) {
    throw error instanceof StoreCannotOpen ? error : explain(folder, error)
  }
}

async function openLevel(folder: Folder, makeStore: (path: string) => Store): Promise<Store> {
  const store = makeStore(folder.store)
  try {
    await store.open()
    return store
  } catch (error) {
    const cut = codeOf(error) !== 'LEVEL_LOCKED' && !saysFull(error)
    if (!cut || !(await neverHeldAnything(folder))) throw error
  }
  // Cut while it was made: nothing was accepted before its first record was durable.
  await startOver(folder)
  const again = makeStore(folder.store)
  await again.open()
  return again
}

async function begin(
  folder: Folder,
  store: Store,
  mark: ReadMark,
  wallMs: () => number,
  log: (event: string, fields: object) => void,
): Promise<Opened> {
  const kept = await store.get(formatKey)
  const isNew = kept === undefined
  if (kept === undefined) await mustBeEmpty(folder, store)
  else mustBeKnown(folder, kept)
  const starts = Number((await store.get(startsKey))?.toString() ?? 0) + 1
  const time = await store.get(timeKey)
  const left = await takeCleanMark(folder, mark)
  const createdAtMs = wallMs()
  const self =
    kept === undefined
      ? Buffer.from(JSON.stringify({ format, store: randomUUID(), createdAtMs }))
      : await upgrade(store, kept, folder.store, log)
  const batch = store.batch().put(startsKey, String(starts), asText)
  if (isNew) {
    const app: AppRecord = { app: defaultApp, createdAtMs }
    batch.put(formatKey, self)
    batch.put(appKey(defaultApp), JSON.stringify(app), asText)
  }
  await batch.write({ sync: true })
  await markMade(folder)
  return {
    store,
    self,
    left: isNew ? 'new' : left,
    starts,
    timeMarkMs: time === undefined ? undefined : Number(time.toString()),
  }
}

const asText = { valueEncoding: 'utf8' } as const

async function mustBeEmpty(folder: Folder, store: Store): Promise<void> {
  const keys = await store.keys({ limit: 1 }).all()
  if (keys.length === 0 && (await neverHeldAnything(folder))) return
  throw new StoreCannotOpen(
    `${folder.store} is no store of this gateway, or is damaged: it does not say its format`,
    'choose another data folder, or restore this one from a backup',
  )
}

function mustBeKnown(folder: Folder, kept: Buffer): void {
  let found: unknown
  try {
    found = (JSON.parse(kept.toString()) as { format?: unknown }).format
  } catch {
    found = undefined
  }
  if (isFormat(found) && found <= format) return
  if (isFormat(found)) {
    throw new StoreCannotOpen(
      `the store in ${folder.store} has format ${found}; this version knows ${format}`,
      'start the newer version that wrote it, or choose another data folder',
    )
  }
  throw new StoreCannotOpen(
    `the store in ${folder.store} is damaged: its format cannot be read`,
    'restore the folder from a backup',
  )
}

const isFormat = (found: unknown): found is number => Number.isInteger(found) && Number(found) > 0

function explain(folder: Folder, error: unknown): StoreCannotOpen {
  const code = codeOf(error)
  const options = { cause: error }
  const { path, store } = folder
  if (code === 'LEVEL_LOCKED') {
    return new StoreCannotOpen(
      `the data folder ${path} is in use by another process`,
      'stop the other one, or choose another data folder',
      options,
    )
  }
  if (
    code === 'EACCES' ||
    code === 'EPERM' ||
    code === 'EROFS' ||
    /permission|read-only/i.test(textOf(error))
  ) {
    return new StoreCannotOpen(
      `the data folder ${path} may not be read and written by this user`,
      'give it to the user the gateway runs as, or choose another data folder',
      options,
    )
  }
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return pathOf(error) === store
      ? new StoreCannotOpen(`${store} is not a folder`, 'move that file away', options)
      : new StoreCannotOpen(`${path} is not a folder`, 'choose another data folder', options)
  }
  if (saysFull(error)) {
    return new StoreCannotOpen(`no space left for ${path}`, 'free some space', options)
  }
  return new StoreCannotOpen(
    `the store in ${store} cannot be read: ${textOf(error)}`,
    'restore the folder from a backup; nothing in it was changed',
    options,
  )
}
