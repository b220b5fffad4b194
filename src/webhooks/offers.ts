import type { KeptEvent, WebhookRecord } from '../contract/index.ts'
import type { Aim } from './aim.ts'
import { placeOf } from './place.ts'
import type { PushPorts } from './ports.ts'
import type { Offered } from './spread.ts'

/** An event as lanes see it. Its JSON is made only for a lane that takes it. */
export function offerOf(
  event: KeptEvent,
  aim: Aim,
  eventJson: PushPorts['eventJson'],
  hasTag = true,
): Offered {
  const aimed = hasTag ? aim.at(event) : undefined
  const place = placeOf(event.id)
  return {
    place,
    lane: aimed?.lane,
    held: () => {
      const json = eventJson(event)
      const { id, device, kind, atMs } = event
      return {
        id,
        place,
        device,
        kind,
        atMs,
        json,
        bytes: Buffer.byteLength(json),
        url: aimed?.url,
      }
    },
  }
}

/** The same for a page; who has the webhook's tag, if it has one, is looked up once a device. */
export async function offersOf(
  events: readonly KeptEvent[],
  { app, tag }: WebhookRecord,
  aim: Aim,
  { names, eventJson }: Pick<PushPorts, 'names' | 'eventJson'>,
): Promise<readonly Offered[]> {
  if (tag === undefined) return events.map((event) => offerOf(event, aim, eventJson))
  const known = new Map<string, boolean>()
  const offers: Offered[] = []
  for (const event of events) {
    let hasTag = known.get(event.device)
    if (hasTag === undefined) {
      const found = names.device(app, event.device)
      const device = found instanceof Promise ? await found : found
      hasTag = device?.tags.includes(tag) ?? false
      known.set(event.device, hasTag)
    }
    offers.push(offerOf(event, aim, eventJson, hasTag))
  }
  return offers
}
