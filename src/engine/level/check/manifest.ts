import { isWhole, recordsIn } from './log-file.ts'
import { varint } from './snappy.ts'

/** What an edit is made of. Source: google/leveldb, db/version_edit.cc. */
const tag = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLog: 9,
} as const

/**
 * Numbers of the tables that are part of the store, by its manifest. A compaction that was cut, by a
 * close or a kill, leaves a table behind that is none: nobody reads it, and the next start removes it.
 *
 *     edit = | tag, its fields | tag, its fields | …     one record of the manifest
 *
 * @returns undefined where the manifest cannot be read: then nobody knows
 */
export function tablesOf(manifest: Buffer): ReadonlySet<number> | undefined {
  if (!isWhole(manifest)) return undefined
  const tables = new Set<number>()
  try {
    for (const edit of recordsIn(manifest)) apply(edit, tables)
  } catch {
    return undefined
  }
  return tables
}

function apply(edit: Buffer, tables: Set<number>): void {
  let at = 0
  const number = (): number => {
    const [value, next] = varint(edit, at)
    at = next
    return value
  }
  const passText = (): void => {
    const length = number()
    at += length
  }
  while (at < edit.length) {
    switch (number()) {
      case tag.comparator:
        passText()
        break
      case tag.logNumber:
      case tag.nextFile:
      case tag.lastSequence:
      case tag.previousLog:
        number()
        break
      case tag.compactPointer:
        number()
        passText()
        break
      case tag.deletedFile:
        number()
        tables.delete(number())
        break
      case tag.newFile:
        number()
        tables.add(number())
        number()
        passText()
        passText()
        break
      default:
        throw new RangeError('an edit of a kind nobody knows')
    }
  }
  if (at > edit.length) throw new RangeError('an edit that is cut')
}
