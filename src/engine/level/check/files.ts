import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Finding } from './findings.ts'
import { wrongInLog } from './log-file.ts'
import { wrongInTable } from './table-file.ts'

export interface FilesSeen {
  readonly count: number
  readonly bytes: number
  readonly damaged: number
}

/** The files of a store, by the checksums LevelDB wrote into them. */
export async function checkFiles(
  store: string,
  found: (finding: Finding) => void,
): Promise<FilesSeen> {
  let count = 0
  let bytes = 0
  let damaged = 0
  for (const name of (await readdir(store)).sort()) {
    const wrongIn = /\.(ldb|sst)$/.test(name)
      ? wrongInTable
      : /\.log$|^MANIFEST-/.test(name)
        ? wrongInLog
        : undefined
    if (wrongIn === undefined) continue
    const file = await readFile(join(store, name))
    count += 1
    bytes += file.length
    const detail = wrongIn(file)
    if (detail === undefined) continue
    damaged += 1
    found({ code: 'file-damaged', where: name, detail })
  }
  return { count, bytes, damaged }
}
