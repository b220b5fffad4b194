import type { Problem } from './types.ts'

/**
 * The gateway answered, and said no. Source: RFC 9457. `message` says what to do; programs look at
 * `code`, e.g. `mailbox-full`: docs/back-end.md has a row for each.
 */
export class PikeProblem extends Error {
  override readonly name: string = 'PikeProblem'
  readonly status: number
  /** `/problems/{code}`: a path on the gateway that explains it. */
  readonly type: string
  /** The last part of `type`. */
  readonly code: string
  readonly title: string
  readonly detail: string | undefined
  /** Each field at fault. */
  readonly errors: NonNullable<Problem['errors']>
  /** When trying again may help, s. */
  readonly retryAfterSeconds: number | undefined
  /** All the gateway said; some types say more, e.g. `commandStatus`. */
  readonly body: Problem & Readonly<Record<string, unknown>>
  /** With which to send again, where this was about a command: it can never become two. */
  idempotencyKey?: string

  constructor(url: string, status: number, body: unknown, retryAfterSeconds?: number) {
    const said = (isRecord(body) ? body : {}) as Partial<Problem>
    const title = said.title ?? `HTTP status ${status}`
    const detail = said.detail === undefined ? '' : `: ${said.detail.replace(/\.$/, '')}`
    super(`${url} refused. ${title}${detail}${advice(status, said, retryAfterSeconds)}`)
    this.status = status
    this.type = said.type ?? 'about:blank'
    this.code = this.type.slice(this.type.lastIndexOf('/') + 1)
    this.title = title
    this.detail = said.detail
    this.errors = said.errors ?? []
    this.retryAfterSeconds = retryAfterSeconds
    this.body = { type: this.type, title, status, ...said }
  }
}

function advice(status: number, { type }: Partial<Problem>, retryAfterSeconds?: number): string {
  if (status === 401) return '. Give the key that belongs to this gateway'
  if (retryAfterSeconds !== undefined)
    return `. Try again in ${retryAfterSeconds} s, with the same idempotency key`
  if (type === undefined) return '. That is no answer of a Pike gateway: is the address right?'
  return status === 404 ? '' : ` (${type} says what to do)`
}

/**
 * The events after a cursor are no longer all kept: some were missed. Compare your own state with
 * the world's, and go on with `after: oldest`.
 */
export class CursorGone extends PikeProblem {
  override readonly name = 'CursorGone'
  /** The cursor behind which everything is still there. */
  readonly oldest: string

  constructor(url: string, body: unknown) {
    super(url, 410, body)
    this.oldest = isRecord(body) && typeof body.oldest === 'string' ? body.oldest : ''
  }
}

/** Codes of a connection that never came about: nothing was sent. */
const neverSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  // What fetch says of ports it never connects to.
  'bad port',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_HAS_EXPIRED',
])

/** Nobody answered, or the answer broke off. */
export class PikeUnreachable extends Error {
  override readonly name = 'PikeUnreachable'
  readonly url: string
  /** e.g. `ECONNREFUSED`, `TIMEOUT`. */
  readonly code: string
  /** It may have been carried out all the same; only the answer is missing. */
  readonly maybeDone: boolean
  /** With which to send again, where this was about a command: it can never become two. */
  idempotencyKey?: string

  constructor(url: string, error: unknown) {
    const code = codeOf(error)
    const maybeDone = !neverSent.has(code)
    super(
      maybeDone
        ? `${url} did not answer, or broke off (${code}). It may have been done all the same: look, or repeat it with the same idempotency key`
        : `nobody answers at ${url} (${code}). Is the gateway running, and is the address right?`,
      { cause: error },
    )
    this.url = url
    this.code = code
    this.maybeDone = maybeDone
  }
}

function codeOf(error: unknown): string {
  const { code, cause, message } = (error ?? {}) as {
    code?: unknown
    cause?: unknown
    message?: string
  }
  if (typeof code === 'string') return code
  if (cause !== undefined) return codeOf(cause)
  return message ?? 'no reason given'
}

/** What claimed to be a delivery of a webhook is none, or is too old. Answer 4xx, and act on nothing of it. */
export class WebhookNotGenuine extends Error {
  override readonly name = 'WebhookNotGenuine'
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
