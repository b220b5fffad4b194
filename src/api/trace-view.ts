import type { Static } from 'typebox'
import type { ConnectionRecord, Trace, TraceEntry } from '../contract/index.ts'
import type { Connection, TracePage, TraceEntry as View } from './trace-schemas.ts'
import { time, timeIf } from './views.ts'

/** @param payloads whether the caller may see how they begin. */
export function entryView(entry: TraceEntry, payloads: boolean): Static<typeof View> {
  const { id, atMs, way, type, payload, ...said } = entry
  return {
    id: String(id),
    at: time(atMs),
    ...{ way, type },
    ...said,
    ...(payload !== undefined && { payload: `${payload.bytes} bytes` }),
    ...(payload !== undefined && payloads && headView(payload)),
  }
}

export const traceView = (trace: Trace, payloads: boolean): Static<typeof TracePage> => ({
  items: trace.items.map((entry) => entryView(entry, payloads)),
  next: String(trace.next),
  caughtUp: trace.caughtUp,
  ...(trace.ringFromMs !== undefined && { ringFrom: time(trace.ringFromMs) }),
})

export const connectionView = (
  one: ConnectionRecord,
  payloads: boolean,
): Static<typeof Connection> => ({
  connection: one.token,
  protocol: one.protocol,
  peer: one.peer,
  state: one.endedAtMs === undefined ? 'open' : 'ended',
  since: time(one.sinceMs),
  ...(one.endedAtMs !== undefined && { endedAt: timeIf(one.endedAtMs)! }),
  ...(one.reason !== undefined && { reason: one.reason }),
  devices: [...one.devices],
  entries: one.entries.map((entry) => entryView(entry, payloads)),
})

/** As text where it is text; cut off between two characters. */
function headView({ bytes, head }: NonNullable<TraceEntry['payload']>) {
  const truncated = head.length < bytes && { truncated: true as const }
  // At the cut a character of at most four bytes may be torn.
  for (let torn = 0; torn <= (truncated ? 3 : 0); torn++) {
    const text = textOf(head.subarray(0, head.length - torn))
    if (text !== undefined) return { text, ...truncated }
  }
  return { base64: Buffer.from(head).toString('base64'), ...truncated }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}
