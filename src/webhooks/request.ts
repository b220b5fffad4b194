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
  return { headers: { ...signed, 'pike-key-id': keyIds }, body }
}
