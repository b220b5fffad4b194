import type { ChannelId, Found, HistoryPage, HistoryQuery } from '../../contract/index.ts'
import type { Channel } from './channel.ts'
import type { LevelEvents } from './events.ts'
import type { Lane } from './history-lane.ts'
import { ChannelLane } from './history-lane.ts'
import { ScheduledLane } from './scheduled-lane.ts'
import type { Store } from './store.ts'

/** Commands looked at for one page, of the asked status or not: then it ends, however short. */
const pageMaxLooked = 10_000

interface Source {
  readonly store: Store
  readonly events: LevelEvents
  readonly channel: (id: ChannelId) => Channel | undefined
  /** The channels of the device, and those in which something was scheduled. */
  readonly ids: readonly ChannelId[]
  readonly scheduledIds: readonly ChannelId[]
}

/**
 * Commands of all channels of a device, newest first: each channel is read backwards, open and
 * ended side by side, and the one with the newest acceptance gives the next.
 *
 *     main    m  …  9  .  .  6        ╲
 *             h  …  .  8  7  .  5  4   ╲  newest of all
 *     urgent  m  …  3                  ╱
 *             h  …  .  2  1           ╱
 *
 * What was scheduled is not in the order of acceptance there. It is passed over, and read by its
 * number, in a lane of its own for each channel.
 *
 * The cursor names, for each lane, the offset or number below which to go on.
 */
export async function historyPage(source: Source, query: HistoryQuery): Promise<HistoryPage> {
  const below = query.after === undefined ? undefined : parseCursor(query.after)
  if (query.after !== undefined && below === undefined) return { items: [], next: undefined }
  const snapshot = source.store.snapshot()
  const lanes: Lane[] = []
  try {
    for (const lane of lanesOf(source, snapshot, query, below)) {
      lanes.push(lane)
      await lane.fill()
    }
    const items: Found[] = []
    let looked = 0
    while (items.length < query.limit && looked < pageMaxLooked) {
      const lane = newest(lanes)
      if (lane === undefined) break
      looked += 1
      const found = await lane.take()
      if (found !== undefined) items.push(found)
      looked += await lane.fill()
    }
    const next = newest(lanes) === undefined ? undefined : makeCursor(lanes)
    return { items, next }
  } finally {
    for (const lane of lanes) await lane.close()
    await snapshot.close()
  }
}

function* lanesOf(
  { store, events, channel: find, ids, scheduledIds }: Source,
  snapshot: ReturnType<Store['snapshot']>,
  { status }: HistoryQuery,
  below: ReadonlyMap<string, number> | undefined,
): Iterable<Lane> {
  for (const id of ids) {
    const channel = find(id)
    // A lane that is newer than the first page is not in the others.
    const bound = below === undefined ? (channel?.durableTop ?? 0) + 1 : below.get(id)
    if (channel === undefined || bound === undefined) continue
    yield new ChannelLane({ store, snapshot, events, status }, channel, bound)
  }
  for (const id of scheduledIds) {
    const name = scheduledLaneName(id)
    const bound = below === undefined ? Number.MAX_SAFE_INTEGER : below.get(name)
    if (bound === undefined) continue
    yield new ScheduledLane({ store, snapshot, events, status }, id, find(id), name, bound)
  }
}

/** No channel is called so: its last part is empty. */
const scheduledLaneName = (channel: ChannelId): string => `${channel}/`

function newest(lanes: readonly Lane[]): Lane | undefined {
  let best: Lane | undefined
  for (const lane of lanes) {
    if (lane.head === undefined) continue
    if (best === undefined || lane.head.acceptedAtMs > best.head!.acceptedAtMs) best = lane
  }
  return best
}

const makeCursor = (lanes: readonly Lane[]): string =>
  Buffer.from(JSON.stringify(lanes.map((lane) => [lane.name, lane.below]))).toString('base64url')

/** @returns undefined for text that is no cursor of ours. */
function parseCursor(text: string): Map<string, number> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (!Array.isArray(parsed)) return undefined
    const below = new Map<string, number>()
    for (const pair of parsed) {
      if (!Array.isArray(pair)) return undefined
      const [id, offset] = pair as readonly unknown[]
      if (typeof id !== 'string' || !Number.isSafeInteger(offset) || Number(offset) < 0) {
        return undefined
      }
      below.set(id, Number(offset))
    }
    return below
  } catch {
    return undefined
  }
}
