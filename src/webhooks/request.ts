import type { EventId, WebhookRecord } from '../contract/index.ts'
import { signatureHeaders } from '../secrets/webhook-signature.ts'
import { requestId } from './match.ts'

/** A request to a receiver, signed for one attempt. */
export function requestOf(
  { app, name, secrets }: WebhookRecord,
  events: readonly { readonly id: EventId; readonly json: string }[],
  nowMs: number,
  redelivered = false,
): { readonly headers: Record<string, string>; readonly body: Buffer } {
  const items = events.map(({ json }) => json).join(',')
  const again = redelivered ? '"redelivered":true,' : ''
  const body = Buffer.from(`{"app":"${app}","webhook":"${name}",${again}"items":[${items}]}`)
  const ids = events.map(({ id }) => id)
  const id = requestId([app, name, redelivered ? 'again' : 'first', ...ids])
  const signed = signatureHeaders(
    secrets.map(({ secret }) => secret),
    id,
    Math.floor(nowMs / 1000),
    body,
  )
  const keyIds = secrets.map((secret) => secret.id).join(',')
  const traceparent = traceOf(events)
  const headers = { ...signed, 'pike-key-id': keyIds, ...(traceparent && { traceparent }) }
  return { headers, body }
}

/** Only at its place: what a device says elsewhere is its own. */
const traced =
  /^\{"id":"[^"]*","type":"(?:command\.ended|command\.late|reply)","app":"[^"]*","device":"[^"]*"(?:,"channel":"[^"]*")?,"at":"[^"]*","traceparent":"([0-9a-f-]{55})"/

/** The one trace that all of them are part of. */
function traceOf(events: readonly { readonly json: string }[]): string | undefined {
  let one: string | undefined
  for (const { json } of events) {
    const found = traced.exec(json)?.[1]
    if (found === undefined || (one !== undefined && one !== found)) return undefined
    one = found
  }
  return one
}
