import { crc32c, masked } from './crc32c.ts'

const blockBytes = 32_768
const headerBytes = 7
/** Of a record: it is whole; or its first part, a middle one, its last. */
const fullType = 1
const lastType = 4

/**
 * A log of LevelDB, or its manifest: does it hold what was written? What is damaged in the midst of
 * a log, LevelDB passes over when it opens the store. What is torn at its very end was being written
 * when the power went, and nobody was told that it was kept.
 *
 *     block of 32 KiB = | masked CRC-32C of the rest | length u16 | type u8 | bytes | …
 *
 * Source: google/leveldb, doc/log_format.md.
 * @returns what is wrong; undefined: nothing
 */
export function wrongInLog(file: Buffer): string | undefined {
  const at = wholeUpTo(file)
  if (at + headerBytes > file.length) return undefined
  return recordAfter(file, at) ? `the record at ${at} is damaged` : undefined
}

/** Nothing of it is damaged or torn. */
export const isWhole = (file: Buffer): boolean => wholeUpTo(file) + headerBytes > file.length

/** The records of a log that is whole; one that spans blocks is put together. */
export function* recordsIn(file: Buffer): Generator<Buffer> {
  let parts: Buffer[] = []
  for (let at = 0; at + headerBytes <= file.length; ) {
    const blockEnd = endOfBlock(file, at)
    if (blockEnd - at < headerBytes) {
      at = blockEnd
      continue
    }
    const end = at + headerBytes + file.readUInt16LE(at + 4)
    const type = file[at + 6]!
    parts.push(file.subarray(at + headerBytes, end))
    if (type === fullType || type === lastType) {
      yield Buffer.concat(parts)
      parts = []
    }
    at = end
  }
}

/** Where the first record that is not whole begins; near the end of the file: there is none. */
function wholeUpTo(file: Buffer): number {
  let at = 0
  while (at + headerBytes <= file.length) {
    const blockEnd = endOfBlock(file, at)
    if (blockEnd - at < headerBytes) at = blockEnd
    else if (isRecord(file, at, blockEnd)) at += headerBytes + file.readUInt16LE(at + 4)
    else break
  }
  return at
}

const endOfBlock = (file: Buffer, at: number): number =>
  Math.min(file.length, at - (at % blockBytes) + blockBytes)

function isRecord(file: Buffer, at: number, blockEnd: number): boolean {
  const end = at + headerBytes + file.readUInt16LE(at + 4)
  const type = file[at + 6]!
  if (end > blockEnd || type === 0 || type > lastType) return false
  return masked(crc32c(file, at + 6, end)) === file.readUInt32LE(at)
}

/** Whether anything behind a damaged record is whole: what is torn at the end has nothing behind it. */
function recordAfter(file: Buffer, damaged: number): boolean {
  const blockEnd = endOfBlock(file, damaged)
  // Its length may be what is damaged.
  for (let at = damaged + 1; at + headerBytes <= blockEnd; at++) {
    if (isRecord(file, at, blockEnd)) return true
  }
  for (let at = blockEnd; at + headerBytes <= file.length; at += blockBytes) {
    if (isRecord(file, at, endOfBlock(file, at))) return true
  }
  return false
}
