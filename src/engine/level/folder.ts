import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/**
 * What lies in the data folder, beside what others keep there:
 *
 *     level/        the LevelDB
 *     level.made    a store was made here: its first record is durable, so it is never started over
 *     level.clean   left by a clean end, taken by the next start; see `CleanMark`
 */
export interface Folder {
  readonly path: string
  readonly store: string
  readonly made: string
  readonly clean: string
}

/** Bytes of log a store can have that was cut while it was made; a larger one holds something. */
const halfMadeMaxBytes = 65_536

export function folderAt(path: string): Folder {
  const store = join(resolve(path), 'level')
  return { path: resolve(path), store, made: `${store}.made`, clean: `${store}.clean` }
}

/** Make what is missing, so that a power cut does not unmake it. */
export async function makeFolder({ path }: Folder): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined) return
  for (let at = path; at !== dirname(first); at = dirname(at)) await syncFolder(at)
  await syncFolder(dirname(first))
}

/** Make durable which files a folder has. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (error) {
    // Some systems cannot sync a folder; what they promise without it has to do.
    const { code } = error as NodeJS.ErrnoException
    if (!['EISDIR', 'EPERM', 'EINVAL', 'ENOTSUP'].includes(code ?? '')) throw error
  }
}

export type Found = 'nothing' | 'store' | 'half-made' | 'damaged'

/** What the folder holds, before it is opened. LevelDB would put a new store over a damaged one. */
export async function lookAt(folder: Folder): Promise<Found> {
  const made = await exists(folder.made)
  const files = await filesOf(folder.store)
  if (files.some(({ name }) => name === 'CURRENT')) return 'store'
  if (made) return 'damaged'
  if (files.length === 0) return 'nothing'
  return isHalfMade(files) ? 'half-made' : 'damaged'
}

/** Whether a store that cannot be opened was cut while it was made, so that it never held anything. */
export async function neverHeldAnything(folder: Folder): Promise<boolean> {
  return !(await exists(folder.made)) && isHalfMade(await filesOf(folder.store))
}

function isHalfMade(files: readonly FileState[]): boolean {
  let bytes = 0
  for (const { name, size } of files) {
    if (/\.(ldb|sst)$/.test(name)) return false
    if (name.endsWith('.log')) bytes += size
  }
  return bytes <= halfMadeMaxBytes
}

export async function startOver(folder: Folder): Promise<void> {
  await rm(folder.store, { recursive: true, force: true })
  await syncFolder(folder.path)
}

/** The first record of a new store is synced: make the store findable, and say that it is made. */
export async function markMade(folder: Folder): Promise<void> {
  await syncFolder(folder.store)
  await syncFolder(folder.path)
  await syncFolder(dirname(folder.path))
  if (!(await exists(folder.made))) await writeSynced(folder.made, () => 'made\n')
  await syncFolder(folder.path)
}

interface FileState {
  readonly name: string
  readonly size: number
  readonly changedMs: number
}

/**
 * The store was closed in order and nothing was lost, so that numbering may go on (rule 13). It
 * names itself by its inode, which a copy or a restored backup does not have, and the files of the
 * store as they were left.
 */
interface CleanMark {
  readonly inode: string
  readonly bornNs: string
  readonly files: readonly FileState[]
}

/**
 * How the store was left, as far as the folder tells. 'unclean': nobody closed it. 'copied': it was
 * closed, elsewhere. 'changed': it was closed, and its files are not those that were left: what was
 * written last may be missing.
 */
export type Left = 'clean' | 'unclean' | 'copied' | 'changed'

export interface ReadMark {
  readonly text: string
  readonly left: Left
}

/** What a clean mark says of the store as it lies here. Looked at before opening. */
export async function readCleanMark(folder: Folder): Promise<ReadMark> {
  try {
    const text = await readFile(folder.clean, 'utf8')
    const mark = JSON.parse(text) as CleanMark
    const { ino, birthtimeNs } = await stat(folder.clean, { bigint: true })
    if (mark.inode !== String(ino) || mark.bornNs !== String(birthtimeNs)) {
      return { text, left: 'copied' }
    }
    const same = JSON.stringify(mark.files) === JSON.stringify(await filesOf(folder.store))
    return { text, left: same ? 'clean' : 'changed' }
  } catch {
    return { text: '', left: 'unclean' }
  }
}

/** Take it, once the store is locked. What was read before counts if it is still there. */
export async function takeCleanMark(folder: Folder, read: ReadMark): Promise<Left> {
  let text = ''
  try {
    text = await readFile(folder.clean, 'utf8')
  } catch {
    // There is none, or none that can be read.
  }
  await rm(folder.clean, { force: true })
  await syncFolder(folder.path)
  return text === read.text ? read.left : 'unclean'
}

/** The last that happens to a store that is closed in order. */
export async function leaveCleanMark(folder: Folder): Promise<void> {
  const files = await filesOf(folder.store)
  await rm(folder.clean, { force: true })
  await writeSynced(folder.clean, (inode, bornNs) =>
    JSON.stringify({ inode, bornNs, files } satisfies CleanMark),
  )
  await syncFolder(folder.path)
}

async function writeSynced(
  path: string,
  text: (inode: string, bornNs: string) => string,
): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    const { ino, birthtimeNs } = await file.stat({ bigint: true })
    await file.writeFile(text(String(ino), String(birthtimeNs)))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Files of the store that hold data, by name. */
async function filesOf(store: string): Promise<readonly FileState[]> {
  let names: string[]
  try {
    names = await readdir(store)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  const files: FileState[] = []
  for (const name of names.sort()) {
    if (name === 'LOCK' || name.startsWith('LOG')) continue
    const { size, mtimeMs } = await stat(join(store, name))
    files.push({ name, size, changedMs: mtimeMs })
  }
  return files
}

/** Bytes of all files of the store. */
export async function storeBytesOf({ store }: Folder): Promise<number> {
  const files = await filesOf(store)
  return files.reduce((sum, { size }) => sum + size, 0)
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
