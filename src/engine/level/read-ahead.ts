import type { ChannelId, Offset } from '../../contract/index.ts'
import type { Live } from './channel.ts'
import type { Entry } from './command-record.ts'
import { commandKey, offsetOf } from './keys.ts'
import type { Store } from './store.ts'

/**
 * Commands of a channel, and bytes of their payloads, that are read together while a device is
 * there: the way to the store costs about the same for one as for all of them.
 */
export const readAheadCommands = 128
export const readAheadBytes = 64 * 1024
/** Of all that lies between the first and the last at least one in so many is wanted. */
const sparse = 4

/** What is to be read, and up to where nothing else is. */
export interface Wanted {
  readonly entries: readonly Entry[]
  readonly upTo: Offset
}

/**
 * Undelivered commands above `after`, none above `top`: `max`, and more as long as they are within
 * `ahead` and its bytes.
 */
export function nextOf(live: Live, after: Offset, max: number, top: Offset, ahead = max): Wanted {
  const entries: Entry[] = []
  let upTo = top
  let bytes = 0
  live.open.scan(after, (entry) => {
    if (entry.offset > top) return false
    if (entry.deliveredAtMs !== undefined) return true
    bytes += entry.bytes
    if (entries.length >= max && (entries.length >= ahead || bytes > readAheadBytes)) {
      upTo = entry.offset - 1
      return false
    }
    entries.push(entry)
    return true
  })
  return { entries, upTo }
}

/** Their records, of those that have one. */
export async function recordsOf(
  store: Store,
  channel: ChannelId,
  entries: readonly Entry[],
): Promise<ReadonlyMap<Entry, Buffer>> {
  const records = new Map<Entry, Buffer>()
  const first = entries[0]?.offset ?? 0
  const last = entries.at(-1)?.offset ?? 0
  if (entries.length < 2 || last - first >= entries.length * sparse) {
    const values = await store.getMany(entries.map(({ offset }) => commandKey(channel, offset)))
    for (const [index, entry] of entries.entries()) {
      if (values[index] !== undefined) records.set(entry, values[index])
    }
    return records
  }
  // LevelDB takes many single reads for a sign that it should tidy up, and does little else then.
  const iterator = store.iterator({
    gte: commandKey(channel, first),
    lte: commandKey(channel, last),
    highWaterMarkBytes: 2 * readAheadBytes,
  })
  try {
    for (let at = 0; at < entries.length; ) {
      const found = await iterator.nextv(entries.length * sparse)
      if (found.length === 0) break
      for (const [key, value] of found) {
        const offset = offsetOf(key)
        while (at < entries.length && entries[at]!.offset < offset) at++
        if (entries[at]?.offset === offset) records.set(entries[at++]!, value)
      }
    }
  } finally {
    await iterator.close()
  }
  return records
}
