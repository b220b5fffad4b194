import { type NotGenuine, verify } from '../secrets/webhook-signature.ts'
import { isRecord, WebhookNotGenuine } from './errors.ts'
import type { Event } from './types.ts'

export interface VerifyWebhook {
  /** Of the request: a `Headers`, or what node:http calls `headers`. */
  readonly headers:
    | { get(name: string): string | null }
    | Readonly<Record<string, string | readonly string[] | undefined>>
  /** The body as it came, byte for byte: not parsed and written again. */
  readonly body: string | Uint8Array
  /** `whsec_…`: one, or during a rotation both. */
  readonly secrets: string | readonly string[]
  /** How far its clock and yours may be apart, and how long it may have been on the way. Default 300. */
  readonly toleranceSeconds?: number
  /** Your clock, ms since 1970. */
  readonly nowMs?: number
}

export interface Delivery {
  /** The same over all attempts of one delivery. */
  readonly id: string
  readonly app: string
  readonly webhook: string
  readonly items: readonly Event[]
}

/**
 * Says who sent a webhook, and gives what is in it. Source: Standard Webhooks 1.0.
 *
 * Answer 2xx once you have *kept* the events: what is not answered so comes again, in order for each
 * device, so recognise repeats by their `id`.
 */
export function verifyWebhook(delivery: VerifyWebhook): Delivery {
  const { headers, body, secrets, toleranceSeconds = 300, nowMs = Date.now() } = delivery
  const id = header(headers, 'webhook-id')
  const fault = verify({
    id,
    timestamp: header(headers, 'webhook-timestamp'),
    signature: header(headers, 'webhook-signature'),
    body,
    secrets: typeof secrets === 'string' ? [secrets] : secrets,
    nowSeconds: nowMs / 1000,
    toleranceSeconds,
  })
  if (fault !== undefined) throw new WebhookNotGenuine(`${fault}${advice[fault]}`)
  return { id: id!, ...content(body) }
}

const advice: Readonly<Record<NotGenuine, string>> = {
  'a header is missing':
    ': webhook-id, webhook-timestamp and webhook-signature must come as they were sent',
  'the timestamp is no number': '',
  'the timestamp is too far from now':
    ': somebody repeats an old delivery, or one of the two clocks is wrong',
  'no signature fits': ': is it the right secret, and is the body as it came, byte for byte?',
}

function header(headers: VerifyWebhook['headers'], name: string): string | undefined {
  const value =
    typeof headers.get === 'function'
      ? (headers as { get(name: string): string | null }).get(name)
      : (headers as Readonly<Record<string, string | readonly string[] | undefined>>)[name]
  return typeof value === 'string' ? value : undefined
}

function content(bytes: Uint8Array | string): Omit<Delivery, 'id'> {
  let body: unknown
  try {
    body = JSON.parse(typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('utf8'))
  } catch {
    // Said below.
  }
  if (!isRecord(body) || !Array.isArray(body.items))
    throw new WebhookNotGenuine('signed, but not a delivery of events')
  return body as unknown as Omit<Delivery, 'id'>
}
