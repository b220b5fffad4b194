import type { AppId, EventPage, EventQuery, Events, KeptEvent } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'

/** What an event weighs beside its payload, roughly. */
const eventBytes = 300

export function bytesOf(event: KeptEvent): number {
  if (event.kind === 'event') return eventBytes + event.payload.length
  if (event.kind === 'command.ended') return eventBytes + (event.ended.reply?.payload.length ?? 0)
  if (event.kind === 'reply' || event.kind === 'command.late')
    return eventBytes + (event.reply?.payload.length ?? 0)
  return eventBytes
}

/**
 * A page, read in steps until it has as many events as were asked for or is as large as a page may
 * be: what will not be told is not read.
 */
export async function readSteps(
  events: Pick<Events, 'read'>,
  app: AppId,
  query: EventQuery,
): Promise<EventPage> {
  const items: KeptEvent[] = []
  let bytes = 0
  let { after } = query
  for (;;) {
    const limit = Math.min(query.limit - items.length, apiBounds.streamReadEvents)
    const page = await events.read(app, { ...query, ...(after !== undefined && { after }), limit })
    if (page.kind === 'gone') {
      // Purged under our hands: what was found is told first, and the next call hears of it.
      return items.length === 0 ? page : { kind: 'page', items, next: after!, caughtUp: false }
    }
    for (const event of page.items) {
      items.push(event)
      bytes += bytesOf(event)
    }
    const full = items.length >= query.limit || bytes >= apiBounds.pageMaxBytes
    // A read that filled no step looked as far as it may.
    if (full || page.caughtUp || page.items.length < limit) return { ...page, items }
    after = page.next
  }
}
