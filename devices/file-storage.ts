import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  applyChange,
  copyDevice,
  type DeviceStorage,
  type StorageChange,
  type StoredChannel,
  type StoredDevice,
} from './storage.ts'

/** Beyond this the file is written anew, unless what it holds is itself that large. */
const compactBytes = 64 * 1024
const format = 'pike-device/1'

/** The file holds what no crash leaves behind; going on would repeat or lose. */
export class StorageDamaged extends Error {
  override readonly name = 'StorageDamaged'
}

interface Commit {
  readonly changes: readonly StorageChange[]
  readonly settled: ((error?: Error) => void) | undefined
}

/**
 * One small file a device. A line is a snapshot or the changes of some commits, with its checksum;
 * it is synced before they are settled, so settled survives the loss of power.
 *
 *     0f3a… {"format":"pike-device/1","channels":[…]}     what was, when the file was made
 *     99b1… [{"kind":"uplink",…},{"kind":"position",…}]   what changed
 *     4c02… [{"kind":"pos                                  cut by a crash: never settled, dropped
 *
 * A bad line before the last is damage: `load` rejects with {@link StorageDamaged}. Once the file has
 * grown, or at load, a new one is made beside it and renamed over it. One process at a time may use it.
 */
export function fileStorage(path: string): DeviceStorage {
  let device: StoredDevice = new Map()
  let handle: FileHandle | undefined
  let fileBytes = 0
  let snapshotBytes = 0
  let pending: Commit[] = []
  let failure: Error | undefined
  let working: Promise<void> | undefined
  /** Bumped by `load`: what was committed before means nothing to what was read. */
  let life = 0

  async function write(): Promise<void> {
    const mine = life
    while (mine === life && pending.some(({ settled }) => settled !== undefined)) {
      const commits = pending
      pending = []
      try {
        const changes = commits.flatMap((commit) => commit.changes)
        for (const change of changes) applyChange(device, change)
        if (fileBytes > Math.max(compactBytes, 4 * snapshotBytes)) await compact()
        else await append(changes)
        for (const { settled } of commits) settled?.()
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
        for (const { settled } of [...commits, ...pending.splice(0)]) settled?.(failure)
      }
    }
  }

  async function append(changes: readonly StorageChange[]): Promise<void> {
    if (handle === undefined) handle = await open(path, 'a')
    const line = encodeLine(changes)
    await handle.appendFile(line)
    await handle.datasync()
    fileBytes += line.length
  }

  /** The old file stays whole until the new one is. */
  async function compact(): Promise<void> {
    await handle?.close()
    handle = undefined
    const fresh = `${path}.new`
    const line = encodeLine({ format, channels: [...device] })
    const writing = await open(fresh, 'w', 0o600)
    try {
      await writing.writeFile(line)
      await writing.sync()
    } finally {
      await writing.close()
    }
    await rename(fresh, path)
    await syncFolder(dirname(path))
    fileBytes = line.length
    snapshotBytes = line.length
  }

  const work = (): void => {
    if (working !== undefined) return
    working = write().finally(() => {
      working = undefined
      if (pending.some(({ settled }) => settled !== undefined)) work()
    })
  }

  return {
    async load() {
      life++
      await working
      pending = []
      await handle?.close().catch(() => {})
      handle = undefined
      await mkdir(dirname(path), { recursive: true })
      device = await read(path)
      await compact()
      failure = undefined
      return copyDevice(device)
    },

    commit(changes, settled) {
      if (failure !== undefined) {
        const error = failure
        if (settled !== undefined) queueMicrotask(() => settled(error))
        return
      }
      if (changes.length === 0 && settled === undefined) return
      pending.push({ changes, settled })
      if (settled !== undefined) work()
    },

    async close() {
      // What nobody waits for is worth a line now: it spares sending things again.
      if (failure === undefined && pending.length > 0) {
        pending.push({ changes: [], settled: () => {} })
        work()
      }
      while (working !== undefined) await working
      // Whoever commits meanwhile opens it for itself.
      const closing = handle
      handle = undefined
      await closing?.close().catch(() => {})
    },
  }
}

async function read(path: string): Promise<StoredDevice> {
  const device: StoredDevice = new Map()
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return device
    throw error
  }
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  for (const [index, line] of lines.entries()) {
    const value = decodeLine(line)
    if (Array.isArray(value)) {
      for (const change of value as StorageChange[]) applyChange(device, change)
    } else if (isSnapshot(value)) {
      for (const [name, channel] of value.channels) device.set(name, channel)
    } else if (index === 0 || index < lines.length - 1) {
      // The first line was whole before it had its name; only the last can have been cut.
      throw new StorageDamaged(`${path}: line ${index + 1} cannot be read`)
    }
  }
  return device
}

const isSnapshot = (
  value: unknown,
): value is { readonly channels: readonly (readonly [string, StoredChannel])[] } =>
  typeof value === 'object' && value !== null && 'format' in value && value.format === format

function encodeLine(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value, packBytes))
  const sum = crc32(json).toString(16).padStart(8, '0')
  return Buffer.concat([Buffer.from(`${sum} `), json, Buffer.from('\n')])
}

/** @returns undefined for what is not a whole line of ours. */
function decodeLine(line: string): unknown {
  const json = line.slice(9)
  if (crc32(json).toString(16).padStart(8, '0') !== line.slice(0, 8)) return undefined
  try {
    return JSON.parse(json, (key, item) =>
      key === 'payload' && typeof item === 'string' ? Buffer.from(item, 'base64') : item,
    )
  } catch {
    return undefined
  }
}

/** A Buffer has been turned into something else by the time a replacer sees it; `this` still has it. */
function packBytes(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const bytes = this[key]
  return bytes instanceof Uint8Array ? Buffer.from(bytes).toString('base64') : value
}

/** A new name is durable once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
