import { open } from 'node:fs/promises'

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
