import { createHash } from 'node:crypto'

/**
 * A backup, as a file or as a stream of bytes; numbers are little-endian.
 *
 *     | PIKEBAK\n | length u32 | head, JSON |
 *     | key length u32 | value length u32 | key | value |     every record of the store, in order of key
 *     …
 *     | 0 u32 | 0 u32 | records f64 | SHA-256 of all before it |     and nothing behind it
 */
export const magic = Buffer.from('PIKEBAK\n', 'latin1')

/** Of this layout; a backup of a higher one is refused. */
export const backupVersion = 1

/** Bounds against a file that is none of ours; what we keep is far smaller. */
const headMaxBytes = 65_536
const keyMaxBytes = 65_536
const valueMaxBytes = 256 * 1_048_576

const lengthsBytes = 8
const countBytes = 8
const hashBytes = 32

export interface BackupHead {
  readonly version: number
  /** Of the store's keys and records. */
  readonly format: number
  /** The name no other store has. */
  readonly store: string
  readonly takenAtMs: number
  /** Versions of what made it. */
  readonly madeBy: string
  readonly node: string
}

/** Why a file is not taken for a backup; `advice` says what to do. */
export class BackupRefused extends Error {
  override readonly name = 'BackupRefused'
  readonly advice: string

  constructor(message: string, advice: string) {
    super(message)
    this.advice = advice
  }
}

/** Makes the bytes of a backup. */
export class BackupWriter {
  readonly #hash = createHash('sha256')
  #count = 0

  get count(): number {
    return this.#count
  }

  begin(head: BackupHead): Buffer {
    const text = Buffer.from(JSON.stringify(head))
    const length = Buffer.alloc(4)
    length.writeUInt32LE(text.length)
    return this.#hashed(Buffer.concat([magic, length, text]))
  }

  records(entries: readonly (readonly [key: Buffer, value: Buffer])[]): Buffer {
    let bytes = 0
    for (const [key, value] of entries) bytes += lengthsBytes + key.length + value.length
    const out = Buffer.allocUnsafe(bytes)
    let at = 0
    for (const [key, value] of entries) {
      at = out.writeUInt32LE(key.length, at)
      at = out.writeUInt32LE(value.length, at)
      at += key.copy(out, at)
      at += value.copy(out, at)
    }
    this.#count += entries.length
    return this.#hashed(out)
  }

  end(): Buffer {
    const end = Buffer.alloc(lengthsBytes + countBytes)
    end.writeDoubleLE(this.#count, lengthsBytes)
    this.#hashed(end)
    return Buffer.concat([end, this.#hash.digest()])
  }

  #hashed(bytes: Buffer): Buffer {
    this.#hash.update(bytes)
    return bytes
  }
}

type State = 'start' | 'head' | 'lengths' | 'record' | 'end' | 'over'

/**
 * Takes a backup in pieces of any size and tells what is in it. Trust nothing of it before `end`
 * has returned: only then was the whole of it there, unchanged.
 * @throws BackupRefused from `push` and `end`
 */
export class BackupReader {
  readonly #onHead: (head: BackupHead) => void
  readonly #onRecord: (key: Buffer, value: Buffer) => void
  readonly #hash = createHash('sha256')
  #parts: Buffer[] = []
  #have = 0
  #need = magic.length + 4
  #state: State = 'start'
  #keyLength = 0
  #count = 0

  /** What `onRecord` is given is a view that may change after the call. */
  constructor(
    onHead: (head: BackupHead) => void,
    onRecord: (key: Buffer, value: Buffer) => void = () => {},
  ) {
    this.#onHead = onHead
    this.#onRecord = onRecord
  }

  get count(): number {
    return this.#count
  }

  push(chunk: Buffer): void {
    this.#parts.push(chunk)
    this.#have += chunk.length
    if (this.#have < this.#need) return
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts)
    let at = 0
    while (bytes.length - at >= this.#need && this.#state !== 'over') {
      const piece = bytes.subarray(at, at + this.#need)
      at += piece.length
      this.#take(piece)
    }
    const rest = bytes.subarray(at)
    if (this.#state === 'over' && rest.length > 0) throw damaged('something stands behind its end')
    this.#parts = rest.length === 0 ? [] : [rest]
    this.#have = rest.length
  }

  /** There is no more: was it the whole of it? */
  end(): void {
    if (this.#state === 'over') return
    if (this.#state === 'start') throw noBackup()
    throw new BackupRefused(
      `the backup is cut: its end is missing, after ${this.#count} records`,
      'take another one; one that was broken off holds only part of the store',
    )
  }

  #take(piece: Buffer): void {
    if (this.#state !== 'end') this.#hash.update(piece)
    switch (this.#state) {
      case 'start':
        if (!piece.subarray(0, magic.length).equals(magic)) throw noBackup()
        this.#expect('head', bounded(piece.readUInt32LE(magic.length), headMaxBytes))
        break
      case 'head':
        this.#onHead(headOf(piece))
        this.#expect('lengths', lengthsBytes)
        break
      case 'lengths':
        this.#lengths(piece)
        break
      case 'record':
        this.#count += 1
        this.#onRecord(piece.subarray(0, this.#keyLength), piece.subarray(this.#keyLength))
        this.#expect('lengths', lengthsBytes)
        break
      case 'end':
        this.#end(piece)
    }
  }

  #lengths(piece: Buffer): void {
    this.#keyLength = bounded(piece.readUInt32LE(0), keyMaxBytes)
    const valueLength = bounded(piece.readUInt32LE(4), valueMaxBytes)
    if (this.#keyLength > 0) this.#expect('record', this.#keyLength + valueLength)
    else if (valueLength === 0) this.#expect('end', countBytes + hashBytes)
    else throw damaged('a record has no key')
  }

  #end(piece: Buffer): void {
    this.#hash.update(piece.subarray(0, countBytes))
    if (!this.#hash.digest().equals(piece.subarray(countBytes))) {
      throw damaged('its checksum is not that of its bytes')
    }
    if (piece.readDoubleLE(0) !== this.#count) throw damaged('it does not hold what it counts')
    this.#expect('over', 0)
  }

  #expect(state: State, bytes: number): void {
    this.#state = state
    this.#need = bytes
  }
}

function headOf(piece: Buffer): BackupHead {
  let head: BackupHead
  try {
    head = JSON.parse(piece.toString()) as BackupHead
  } catch {
    throw damaged('its head cannot be read')
  }
  if (!Number.isInteger(head?.version) || !Number.isInteger(head.format)) {
    throw damaged('its head does not say what it is')
  }
  if (head.version > backupVersion) {
    throw new BackupRefused(
      `the backup has version ${head.version}; this version of Pike knows ${backupVersion}`,
      'restore it with the newer version that made it',
    )
  }
  return head
}

function bounded(length: number, max: number): number {
  if (length > max) throw damaged('it says that something is larger than anything we keep')
  return length
}

const noBackup = () =>
  new BackupRefused('this is no backup of Pike', 'name a file that "pike backup" wrote')

const damaged = (why: string) =>
  new BackupRefused(`the backup is damaged: ${why}`, 'take another one, or another copy of it')
