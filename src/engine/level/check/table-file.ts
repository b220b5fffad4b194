import { crc32c, masked } from './crc32c.ts'
import { unsnap, varint } from './snappy.ts'

const footerBytes = 48
const trailerBytes = 5
const magic = Buffer.from('57fb808b247547db', 'hex')
/** Index blocks are of one table, tables of a few MB. */
const blockMaxBytes = 64 * 1_048_576

interface Handle {
  readonly offset: number
  readonly size: number
}

/**
 * A table of LevelDB: does it hold what was written? Every block has a checksum, which LevelDB
 * itself does not look at when it reads for us.
 *
 *     | block | … | filter | metaindex | index | footer: where the last two are, magic |
 *     block = | bytes | compression u8 | masked CRC-32C of both |
 *
 * Source: google/leveldb, doc/table_format.md.
 * @returns what is wrong; undefined: nothing
 */
export function wrongInTable(file: Buffer): string | undefined {
  const footer = file.subarray(file.length - footerBytes)
  if (file.length < footerBytes || !footer.subarray(footerBytes - 8).equals(magic)) {
    return 'its end is missing'
  }
  try {
    const [metaindex, at] = handleAt(footer, 0)
    const [index] = handleAt(footer, at)
    for (const block of [metaindex, index]) {
      const wrong = wrongInBlock(file, block)
      if (wrong !== undefined) return wrong
    }
    for (const block of [...handlesIn(file, metaindex), ...handlesIn(file, index)]) {
      const wrong = wrongInBlock(file, block)
      if (wrong !== undefined) return wrong
    }
    return undefined
  } catch (error) {
    return `its index cannot be read: ${(error as Error).message}`
  }
}

function handleAt(bytes: Uint8Array, from: number): [Handle, number] {
  const [offset, at] = varint(bytes, from)
  const [size, end] = varint(bytes, at)
  return [{ offset, size }, end]
}

function wrongInBlock(file: Buffer, { offset, size }: Handle): string | undefined {
  const end = offset + size + 1
  if (end + 4 > file.length) return `a block at ${offset} reaches beyond its end`
  return masked(crc32c(file, offset, end)) === file.readUInt32LE(end)
    ? undefined
    : `the checksum of the ${size + trailerBytes} bytes at ${offset} is wrong`
}

/** What an index points to. Its keys are passed over: they share their beginnings. */
function handlesIn(file: Buffer, { offset, size }: Handle): Handle[] {
  const raw = file.subarray(offset, offset + size)
  const block = file[offset + size] === 0 ? raw : unsnap(raw, blockMaxBytes)
  const restarts = block.readUInt32LE(block.length - 4)
  const end = block.length - 4 * (restarts + 1)
  const handles: Handle[] = []
  for (let at = 0; at < end; ) {
    const [, keyShared] = varint(block, at)
    const [keyBytes, keyLength] = varint(block, keyShared)
    const [valueBytes, entry] = varint(block, keyLength)
    handles.push(handleAt(block, entry + keyBytes)[0])
    at = entry + keyBytes + valueBytes
  }
  return handles
}
