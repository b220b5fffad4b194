import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import type { BackupHead } from './backup-format.ts'
import { BackupReader, BackupRefused } from './backup-format.ts'
import type { Folder } from './folder.ts'
import { folderAt, lookAt, makeFolder, markMade, syncFolder } from './folder.ts'
import { channelOfKey, channelPrefix, restoredKey } from './keys.ts'
import { isInUse, isLocked } from './lock.ts'
import { decodeRecord, encodeRecord } from './record.ts'
import type { Batch, Store } from './store.ts'
import { makeStore, saysFull } from './store.ts'
import { format, formatKey } from './upgrade.ts'

/** Written in one synced batch, about. */
const batchBytes = 4 * 1_048_576
const readBytes = 1_048_576

export interface RestoreOptions {
  /** A file that `LevelEngine.backup` wrote. */
  readonly file: string
  /** The data folder; made where it is missing. */
  readonly folder: string
  /** A store that is there is put aside, not removed. */
  readonly force?: boolean
  readonly progress?: (bytes: number, ofBytes: number, what: 'verified' | 'restored') => void
  readonly wallMs?: () => number
  /** For tests: a disk that fails. */
  readonly makeStore?: (path: string) => Store
}

export interface RestoreDone {
  readonly head: BackupHead
  readonly records: number
  /** Where the store that was there lies now. */
  readonly aside: string | undefined
}

/** What the store says of itself until its first start. */
export interface Restored {
  readonly takenAtMs: number
  readonly restoredAtMs: number
}

/** Why nothing was restored; `advice` says what to do. Nothing was changed. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused'
  readonly advice: string

  constructor(message: string, advice: string, options?: ErrorOptions) {
    super(message, options)
    this.advice = advice
  }
}

/**
 * Make the store of a data folder from a backup, while nothing runs on it.
 *
 *     verified ──▶ level.made ──▶ level.restoring/ ──whole, synced──▶ level/
 *
 * From the first mark on the folder is one whose store has lost its files: what is cut anywhere leaves
 * nothing that starts, and the same again finishes it. It leaves no clean mark, so that the store is
 * opened as after a crash: with new epochs (rule 13), and whatever was open may have been sent (rule 4).
 * @throws BackupRefused, RestoreRefused
 */
export async function restoreStore(options: RestoreOptions): Promise<RestoreDone> {
  const { file, progress = () => {} } = options
  const folder = folderAt(options.folder)
  const { size } = await stat(file)
  const head = await verify(file, (bytes) => progress(bytes, size, 'verified'))
  await mayBegin(folder, options.force === true)
  const draft = `${folder.store}.restoring`
  try {
    await makeFolder(folder)
    await claim(folder, draft)
    await mark(folder, options.force === true)
    const records = await fill(draft, options, (bytes) => progress(bytes, size, 'restored'))
    const aside = await putInPlace(folder, draft)
    return { head, records, aside }
  } catch (error) {
    if (saysFull(error)) {
      await rm(draft, { recursive: true, force: true }).catch(() => {})
      throw new RestoreRefused(
        `no space left for ${folder.store}`,
        'free some space, or choose another data folder, and restore again',
        { cause: error },
      )
    }
    throw error
  }
}

/** The whole of it is read, and its checksum compared, before anything is made of it. */
async function verify(file: string, told: (bytes: number) => void): Promise<BackupHead> {
  let head: BackupHead | undefined
  let self: Buffer | undefined
  const reader = new BackupReader(
    (found) => {
      head = found
      if (found.format <= format) return
      throw new BackupRefused(
        `the backup is of a store of format ${found.format}; this version knows ${format}`,
        'restore it with the newer version that made it',
      )
    },
    (key, value) => {
      if (key.length === formatKey.length && key.toString('latin1') === formatKey) {
        self = Buffer.from(value)
      }
    },
  )
  await feed(file, reader, told)
  if (head === undefined || self === undefined || formatOf(self) !== head.format) {
    throw new BackupRefused(
      'the backup is damaged: it is of no store that says its format',
      'take another one, or another copy of it',
    )
  }
  return head
}

function formatOf(self: Buffer): unknown {
  try {
    return (JSON.parse(self.toString()) as { format?: unknown }).format
  } catch {
    return undefined
  }
}

async function feed(
  file: string,
  reader: BackupReader,
  told: (bytes: number) => void,
  after: () => Promise<void> = async () => {},
): Promise<void> {
  for await (const chunk of createReadStream(file, { highWaterMark: readBytes })) {
    reader.push(chunk as Buffer)
    told((chunk as Buffer).length)
    await after()
  }
  reader.end()
}

async function mayBegin(folder: Folder, force: boolean): Promise<void> {
  const found = await lookAt(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOTDIR') {
      throw new RestoreRefused(`${folder.path} is not a folder`, 'choose another data folder')
    }
    throw error
  })
  await mustBeFree(folder, folder.store)
  const isThere = found !== 'half-made' && (await holdsFiles(folder.store))
  if (isThere && !force) {
    throw new RestoreRefused(
      `${folder.store} is there already`,
      'choose another data folder, or give --force: then it is put aside',
    )
  }
}

const holdsFiles = async (path: string): Promise<boolean> =>
  (await readdir(path).catch(() => [])).length > 0

async function mustBeFree({ path }: Folder, store: string): Promise<void> {
  // Where it cannot be told without touching it: it is put aside, so that opening it does no harm.
  if (!((await isInUse(store, path)) ?? (await isLocked(store)))) return
  throw new RestoreRefused(
    `the data folder ${path} is in use by another process`,
    'stop the other one, or choose another data folder',
  )
}

/** What a restore before this one left, if it is not still under way. */
async function claim(folder: Folder, draft: string): Promise<void> {
  await mustBeFree(folder, draft)
  await rm(draft, { recursive: true, force: true })
  await mkdir(draft, { mode: 0o700 })
}

/** Without a store in its place this says: there was one. Nothing starts here until there is one again. */
async function mark(folder: Folder, force: boolean): Promise<void> {
  if (!force && (await lookAt(folder)) === 'half-made') {
    await rm(folder.store, { recursive: true, force: true })
  }
  const made = await open(folder.made, 'a', 0o600)
  await made.sync().finally(() => made.close())
  await syncFolder(folder.path)
}

async function fill(
  draft: string,
  { file, wallMs = Date.now, makeStore: make = makeStore }: RestoreOptions,
  told: (bytes: number) => void,
): Promise<number> {
  const store = make(draft)
  await store.open({ errorIfExists: true })
  try {
    let batch: Batch = store.batch()
    let bytes = 0
    let takenAtMs = 0
    const write = async () => {
      const full = batch
      batch = store.batch()
      bytes = 0
      await full.write({ sync: true })
    }
    const reader = new BackupReader(
      (head) => {
        takenAtMs = head.takenAtMs
      },
      (key, value) => {
        batch.put(key as never, asMaybeSent(key, value), asBytes as never)
        bytes += key.length + value.length
      },
    )
    await feed(file, reader, told, async () => {
      if (bytes >= batchBytes) await write()
    })
    const restored: Restored = { takenAtMs, restoredAtMs: wallMs() }
    batch.put(restoredKey, Buffer.from(JSON.stringify(restored)))
    await write()
    await batch.close()
    return reader.count
  } finally {
    await store.close()
  }
}

const channels = Buffer.from(channelPrefix)

/**
 * Nobody knows what happened between the backup and the restore: any command that was open then may
 * have been sent since (rule 3), so no end may say that it certainly was not.
 */
function asMaybeSent(key: Buffer, value: Buffer): Buffer {
  if (!key.subarray(0, channels.length).equals(channels)) return value
  try {
    const channel = decodeRecord(channelOfKey(key.toString()), value)
    channel.sentUpTo = channel.top
    return encodeRecord(channel)
  } catch {
    // What was damaged when it was backed up stays that; the start says so.
    return value
  }
}

const asBytes = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const

/** @returns where the store lies that was there. */
async function putInPlace(folder: Folder, draft: string): Promise<string | undefined> {
  await syncFolder(draft)
  // Somebody may have started it meanwhile, while it was still the old one.
  await mustBeFree(folder, folder.store)
  let aside: string | undefined
  if (await holdsFiles(folder.store)) {
    aside = await freeName(`${folder.store}.before-restore`)
    await rename(folder.store, aside)
  } else await rm(folder.store, { recursive: true, force: true })
  await rm(folder.clean, { force: true })
  await syncFolder(folder.path)
  await rename(draft, folder.store)
  await markMade(folder)
  return aside
}

async function freeName(name: string): Promise<string> {
  for (let number = 1; ; number++) {
    const free = number === 1 ? name : `${name}-${number}`
    const found = await stat(free).catch(() => undefined)
    if (found === undefined) return free
  }
}
