import { copyFile, link, mkdir, mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Folder } from '../folder.ts'
import { lookAt, storeBytesOf } from '../folder.ts'
import { isInUse } from '../lock.ts'
import { CheckRefused } from './refused.ts'

/** Without links: copied without being asked up to this size. */
const copyMaxBytes = 256 * 1_048_576

/** Tables are never changed once they are written; only the others may be, when a store is opened. */
const isTable = (name: string): boolean => /\.(ldb|sst)$/.test(name)
const isPassedOver = (name: string): boolean => name === 'LOCK' || name.startsWith('LOG')

/** A store to look at, beside the real one, which is not touched. */
export interface View {
  readonly path: string
  remove(): Promise<void>
}

/**
 * Opening a store changes it: LevelDB puts what is in its log into tables, and removes what it does
 * not need. So it is not opened; a folder that shares its tables by hard links, and has copies of
 * what is small, is. Nothing that happens there reaches the store, whoever starts on it meanwhile.
 *
 * @param copyTo a folder with room for a copy of the whole store; undefined: links, where they can be
 * @throws CheckRefused
 */
export async function viewOf(folder: Folder, copyTo: string | undefined): Promise<View> {
  await mustBeStore(folder)
  await removeLeftovers(folder)
  if ((await isInUse(folder.store, folder.path)) === true) throw inUse(folder)
  const before = await namesOf(folder.store)
  const view = await makeView(folder, copyTo)
  try {
    // A gateway that started meanwhile has changed what was looked at.
    const after = await namesOf(folder.store)
    if (after !== before || (await isInUse(folder.store, folder.path)) === true) throw inUse(folder)
    return view
  } catch (error) {
    await view.remove()
    throw error
  }
}

async function mustBeStore(folder: Folder): Promise<void> {
  const found = await lookAt(folder).catch((error: NodeJS.ErrnoException) => {
    throw new CheckRefused(
      `${folder.path} cannot be read (${error.code})`,
      'name the data folder of a gateway, as a user who may read it',
    )
  })
  if (found === 'store') return
  throw found === 'damaged'
    ? new CheckRefused(
        `the store in ${folder.store} has lost files: it has no CURRENT`,
        'restore it from a backup',
      )
    : new CheckRefused(`there is no store in ${folder.path}`, 'name the data folder of a gateway')
}

const inUse = ({ path }: Folder) =>
  new CheckRefused(
    `the data folder ${path} is in use by another process`,
    'stop the gateway; or take a backup of it, restore that into another folder, and check there',
  )

/** Which files there are, and how large; what grows or goes meanwhile is seen by it. */
async function namesOf(store: string): Promise<string> {
  const said: string[] = []
  for (const name of (await readdir(store)).sort()) {
    if (isPassedOver(name)) continue
    const { size, mtimeMs } = await stat(join(store, name))
    said.push(`${name} ${size} ${mtimeMs}`)
  }
  return said.join('\n')
}

async function makeView(folder: Folder, copyTo: string | undefined): Promise<View> {
  if (copyTo !== undefined) return copied(folder, copyTo)
  const linked = await makeLinked(folder)
  if (linked !== undefined) return linked
  const bytes = await storeBytesOf(folder)
  if (bytes <= copyMaxBytes) return copied(folder, tmpdir())
  throw new CheckRefused(
    `nothing can be made in ${folder.path}, and the store is too large to be copied unasked (${bytes} bytes)`,
    'name a folder with room for a copy: --copy <folder>',
  )
}

/** @returns undefined where there are no links, or nothing may be written. */
async function makeLinked({ path, store }: Folder): Promise<View | undefined> {
  let view: string
  try {
    view = await mkdtemp(join(path, leftover))
  } catch {
    return undefined
  }
  try {
    for (const name of await readdir(store)) {
      if (isPassedOver(name)) continue
      if (isTable(name)) await link(join(store, name), join(view, name))
      else await copyFile(join(store, name), join(view, name))
    }
    return viewAt(view)
  } catch (error) {
    await rm(view, { recursive: true, force: true })
    const { code } = error as NodeJS.ErrnoException
    if (['EPERM', 'EXDEV', 'ENOTSUP', 'EMLINK', 'ENOSYS', 'EACCES'].includes(code ?? '')) {
      return undefined
    }
    throw error
  }
}

async function copied(folder: Folder, to: string): Promise<View> {
  const bytes = await storeBytesOf(folder)
  await mkdir(to, { recursive: true })
  const { bavail, bsize } = await statfs(to)
  if (bavail * bsize < bytes * 1.1) {
    throw new CheckRefused(
      `${to} has no room for a copy of the store (${bytes} bytes)`,
      'name a folder with room for a copy: --copy <folder>',
    )
  }
  const view = await mkdtemp(join(to, 'pike-check-'))
  try {
    for (const name of await readdir(folder.store)) {
      if (!isPassedOver(name)) await copyFile(join(folder.store, name), join(view, name))
    }
    return viewAt(view)
  } catch (error) {
    await rm(view, { recursive: true, force: true })
    throw error
  }
}

const viewAt = (path: string): View => ({
  path,
  remove: () => rm(path, { recursive: true, force: true }),
})

const leftover = 'level.check-'

/** Of checks that were killed; not of one that is under way. */
async function removeLeftovers({ path }: Folder): Promise<void> {
  for (const name of await readdir(path)) {
    if (!name.startsWith(leftover) && !name.startsWith('level.probe-')) continue
    if ((await isInUse(join(path, name), path)) === true) continue
    // Just being made, it is not locked yet.
    const { mtimeMs } = await stat(join(path, name)).catch(() => ({ mtimeMs: Date.now() }))
    if (Date.now() - mtimeMs < 60_000) continue
    await rm(join(path, name), { recursive: true, force: true }).catch(() => {})
  }
}
