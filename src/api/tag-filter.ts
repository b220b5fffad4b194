import type {
  AppId,
  DeviceId,
  EventPage,
  EventQuery,
  Events,
  KeptEvent,
  Names,
  TagName,
} from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { bytesOf } from './event-steps.ts'

/** Events that one read of the log looks at, at most, whether they match or not. */
const lookedMax = 4_096

export type Keep = (events: readonly KeptEvent[]) => Promise<readonly KeptEvent[]>

/** Those of devices that have the tag now. The log does not know tags: they change, it does not. */
export function keepTagged(names: Pick<Names, 'device'>, app: AppId, tag: TagName): Keep {
  return async (events) => {
    const has = new Map<DeviceId, boolean>()
    const kept: KeptEvent[] = []
    for (const event of events) {
      let fits = has.get(event.device)
      if (fits === undefined) {
        const found = names.device(app, event.device)
        const record = found instanceof Promise ? await found : found
        fits = record?.tags.includes(tag) === true
        has.set(event.device, fits)
      }
      if (fits) kept.push(event)
    }
    return kept
  }
}

/**
 * A page of what `keep` leaves. Where that is little, many events are looked at and few found: it
 * ends after `tagScanMaxEvents`, perhaps empty, and `next` goes on from there.
 */
export async function readKept(
  events: Pick<Events, 'read'>,
  app: AppId,
  query: EventQuery,
  keep: Keep,
): Promise<EventPage> {
  const items: KeptEvent[] = []
  let { after } = query
  let bytes = 0
  for (let looked = 0; ; ) {
    const page = await events.read(app, {
      ...query,
      ...(after !== undefined && { after }),
      limit: apiBounds.pageItems,
    })
    if (page.kind === 'gone') {
      // Purged under our hands: what was found is told first, and the next call hears of it.
      if (items.length === 0) return page
      return { kind: 'page', items, next: items.at(-1)!.id, caughtUp: false }
    }
    for (const event of await keep(page.items)) {
      items.push(event)
      bytes += bytesOf(event)
      if (items.length < query.limit) continue
      if (event === page.items.at(-1)) return { ...page, items }
      return { kind: 'page', items, next: event.id, caughtUp: false }
    }
    // A read that filled no step may have looked at any number up to its own bound.
    looked += page.items.length < apiBounds.pageItems ? lookedMax : page.items.length
    const large = bytes >= apiBounds.pageMaxBytes
    if (large || page.caughtUp || looked >= apiBounds.tagScanMaxEvents) return { ...page, items }
    after = page.next
  }
}
