import type {
  Addressee,
  BroadcastCommand,
  BroadcastRequest,
  KeyRecord,
  Limits,
  SubmitRequest,
  TagName,
} from '../contract/index.ts'
import { mainChannel } from '../contract/index.ts'
import type { SentBody } from '../listen/json.ts'
import { readPayload } from '../listen/payload.ts'
import type { BroadcastPost, CommandPost } from './command-schemas.ts'
import { fieldRefusal, type Refusal } from './problems.ts'

/** A command as it was asked for, to whomever: times as points or spans in ms. */
export interface CommandRead extends BroadcastCommand {
  readonly notBeforeMs: number | undefined
}

/** What a schema cannot say of a command is checked here, on every way in which one comes. */
export function readCommand(
  body: CommandPost,
  sent: SentBody | undefined,
  limits: Limits,
  nowMs: number,
): CommandRead | Refusal {
  const read = readPayload(body, sent)
  if ('path' in read) return fieldRefusal('body', read.path, read.message)
  if (read.payload.length > limits.payloadMaxBytes) {
    const detail = `${read.payload.length} bytes of ${limits.payloadMaxBytes}`
    return { problem: 'payload-too-large', said: { detail } }
  }
  // A character of UTF-16 is at most three bytes.
  if (body.name.length * 3 > limits.nameMaxBytes && isLong(body.name, limits.nameMaxBytes))
    return fieldRefusal('body', '/name', `is over ${limits.nameMaxBytes} bytes`)
  const notBeforeMs = body.notBefore === undefined ? undefined : pointInTime(body.notBefore)
  if (notBeforeMs !== undefined && !(notBeforeMs <= nowMs + limits.scheduleMaxMs)) {
    const message = Number.isNaN(notBeforeMs)
      ? 'must be a time as RFC 3339 has it'
      : `is further ahead than ${limits.scheduleMaxMs / 1000} s`
    return fieldRefusal('body', '/notBefore', message)
  }
  return {
    channel: body.channel ?? mainChannel,
    name: body.name,
    payload: read.payload,
    contentType: read.contentType,
    delivery: body.delivery ?? 'queue',
    expect: body.expect ?? 'ack',
    ttlMs: milliseconds(body.ttl),
    replyTimeoutMs: milliseconds(body.replyTimeout),
    collapse: body.collapse ?? undefined,
    callback: body.callback,
    // In the past is now.
    notBeforeMs: notBeforeMs !== undefined && notBeforeMs > nowMs ? notBeforeMs : undefined,
  }
}

export const submitRequest = (
  key: KeyRecord,
  to: Addressee,
  read: CommandRead,
  idempotency: SubmitRequest['idempotency'],
  traceparent: string | undefined,
  patient = false,
): SubmitRequest => ({
  app: key.app,
  to,
  channel: read.channel,
  name: read.name,
  payload: read.payload,
  contentType: read.contentType,
  delivery: read.delivery,
  expect: read.expect,
  ttlMs: read.ttlMs,
  replyTimeoutMs: read.replyTimeoutMs,
  collapse: read.collapse,
  notBeforeMs: read.notBeforeMs,
  callback: read.callback,
  traceparent,
  // Rule 9.
  askedBy: key.name,
  idempotency,
  patient,
})

export const broadcastRequest = (
  key: KeyRecord,
  tag: TagName,
  { notBeforeMs: _never, ...command }: CommandRead,
  { rate, stopAfterFailures }: Pick<BroadcastPost, 'rate' | 'stopAfterFailures'>,
  idempotency: BroadcastRequest['idempotency'],
  traceparent: string | undefined,
): BroadcastRequest => ({
  app: key.app,
  tag,
  command: traceparent === undefined ? command : { ...command, traceparent },
  ...(rate !== undefined && { ratePerSecond: rate }),
  ...(stopAfterFailures !== undefined && { stopAfterFailures }),
  // Rule 9.
  askedBy: key.name,
  ...(idempotency !== undefined && { idempotency }),
})

const isLong = (name: string, maxBytes: number): boolean => Buffer.byteLength(name) > maxBytes

const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.round(seconds * 1000)

/** ms since 1970; NaN for what the schema lets through and we do not know, e.g. a leap second. */
const pointInTime = (text: string): number => Date.parse(text.toUpperCase())
