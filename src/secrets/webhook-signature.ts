import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** What a signed request carries beside its body. Source: Standard Webhooks 1.0, "Webhook Headers". */
export interface SignatureHeaders {
  /** The same for every attempt of the same content, so that a receiver may recognise it. */
  readonly 'webhook-id': string
  /** When this attempt was made, s since 1970. */
  readonly 'webhook-timestamp': string
  /** `v1,` and base64, one for each secret, with spaces between. */
  readonly 'webhook-signature': string
}

/** Why a request is not taken for genuine. */
export type NotGenuine =
  | 'a header is missing'
  | 'the timestamp is no number'
  | 'the timestamp is too far from now'
  | 'no signature fits'

const prefix = 'whsec_'
/** As the standard asks for: 24 to 64 bytes. */
const secretBytes = 32

/** A new secret with a name by which a receiver finds it again; the name gives nothing away. */
export const makeWebhookSecret = (): { readonly id: string; readonly secret: string } => ({
  id: randomBytes(6).toString('hex'),
  secret: prefix + randomBytes(secretBytes).toString('base64'),
})

/** One signature: HMAC-SHA256 over `id.timestamp.body`. The body as bytes, exactly as sent. */
export function sign(
  secret: string,
  id: string,
  timestampSeconds: number,
  body: Uint8Array | string,
): string {
  const mac = createHmac('sha256', keyOf(secret))
  mac.update(`${id}.${timestampSeconds}.`).update(body)
  return `v1,${mac.digest('base64')}`
}

/** The headers of one attempt, signed with every secret that is valid now. */
export const signatureHeaders = (
  secrets: readonly string[],
  id: string,
  timestampSeconds: number,
  body: Uint8Array | string,
): SignatureHeaders => ({
  'webhook-id': id,
  'webhook-timestamp': String(timestampSeconds),
  'webhook-signature': secrets.map((secret) => sign(secret, id, timestampSeconds, body)).join(' '),
})

/**
 * Does this come from someone who knows one of the secrets, and is it recent?
 *
 * @param body as received, before anything parsed it.
 * @param toleranceSeconds how old it may be, and how far ahead the sender's clock; against replay.
 * @returns undefined when it is genuine.
 */
export function verify(request: {
  readonly id: string | undefined
  readonly timestamp: string | undefined
  readonly signature: string | undefined
  readonly body: Uint8Array | string
  readonly secrets: readonly string[]
  readonly nowSeconds: number
  readonly toleranceSeconds: number
}): NotGenuine | undefined {
  const { id, timestamp, signature, body, secrets, nowSeconds, toleranceSeconds } = request
  if (!id || !timestamp || !signature) return 'a header is missing'
  if (!/^\d{1,15}$/.test(timestamp)) return 'the timestamp is no number'
  const seconds = Number(timestamp)
  if (Math.abs(nowSeconds - seconds) > toleranceSeconds) return 'the timestamp is too far from now'
  // We send at most two; whoever sends thousands only wants us to compute.
  const offered = signature.split(' ', 16).map((text) => Buffer.from(text))
  let genuine = false
  for (const secret of secrets) {
    const expected = Buffer.from(sign(secret, id, seconds, body))
    for (const one of offered) {
      if (one.length === expected.length && timingSafeEqual(one, expected)) genuine = true
    }
  }
  return genuine ? undefined : 'no signature fits'
}

/** The bytes behind `whsec_…`; the prefix may be missing, as in other implementations. */
const keyOf = (secret: string): Buffer =>
  Buffer.from(secret.startsWith(prefix) ? secret.slice(prefix.length) : secret, 'base64')
