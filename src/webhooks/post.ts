import type { EventId, WebhookRecord } from '../contract/index.ts'
import type { Aim } from './aim.ts'
import type { PushPorts } from './ports.ts'
import { requestOf } from './request.ts'
import type { Attempt, Connections } from './sender.ts'

/** One signed request, over the connections of its webhook. */
export function post(
  ports: Pick<PushPorts, 'sender' | 'clock'>,
  connections: Connections,
  record: WebhookRecord,
  events: readonly {
    readonly id: EventId
    readonly json: string
    readonly url?: string | undefined
  }[],
  redelivered = false,
): Promise<Attempt> {
  const { headers, body } = requestOf(record, events, ports.clock.nowMs(), redelivered)
  return ports.sender.post(connections, events[0]!.url ?? record.url, headers, body)
}

/** The same for an event that is not held any more. @throws StoreUnavailable */
export async function postFromLog(
  ports: Pick<PushPorts, 'sender' | 'clock' | 'events' | 'eventJson'>,
  connections: Connections,
  record: WebhookRecord,
  aim: Aim,
  id: EventId,
  redelivered: boolean,
): Promise<Attempt | 'gone'> {
  const event = await ports.events.find(record.app, id)
  if (event === undefined) return 'gone'
  const held = { id, json: ports.eventJson(event), url: aim.at(event)?.url }
  return post(ports, connections, record, [held], redelivered)
}
