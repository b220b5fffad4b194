import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Finding } from './findings.ts'
import { wrongInLog } from './log-file.ts'
import { tablesOf } from './manifest.ts'
import { wrongInTable } from './table-file.ts'

export interface FilesSeen {
  readonly count: number
  readonly bytes: number
  readonly damaged: number
}

/** The files that make up a store, by the checksums LevelDB wrote into them. */
export async function checkFiles(
  store: string,
  found: (finding: Finding) => void,
): Promise<FilesSeen> {
  let count = 0
  let bytes = 0
  let damaged = 0
  const tables = await tablesIn(store)
  for (const name of (await readdir(store)).sort()) {
    if (tables?.has(Number.parseInt(name, 10)) === false && isTable(name)) continue
    const wrongIn = isTable(name)
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

const isTable = (name: string): boolean => /\.(ldb|sst)$/.test(name)

/** By the manifest that CURRENT names; undefined where that cannot be told: then all count. */
async function tablesIn(store: string): Promise<ReadonlySet<number> | undefined> {
  try {
    const current = (await readFile(join(store, 'CURRENT'), 'latin1')).trim()
    if (!/^MANIFEST-\d+$/.test(current)) return undefined
    return tablesOf(await readFile(join(store, current)))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
