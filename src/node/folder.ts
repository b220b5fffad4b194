import { mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Make a folder, and those above it, and make that durable: else a power cut could take away what is
 * synced inside. (Node's own recursive mkdir never returns for some paths, e.g. below /proc.)
 * @throws what mkdir says; ENOTDIR also where the folder itself is a file.
 */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') {
      if ((await stat(path)).isDirectory()) return
      throw Object.assign(new Error(`${path} is a file`), { code: 'ENOTDIR' })
    }
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    await makeFolder(dirname(path), mode)
    await mkdir(path, mode)
  }
  await syncFolder(dirname(path))
}

/** Make durable which names a folder has. A name that is not may be gone after a power cut. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (error) {
    // A folder above ours may not be readable to us, and some systems cannot sync folders at all.
    const { code } = error as NodeJS.ErrnoException
    if (!['EACCES', 'EISDIR', 'EPERM', 'EINVAL', 'ENOTSUP'].includes(code ?? '')) throw error
  }
}
