import { isUtf8 } from 'node:buffer'
import type {
  Answered,
  ChannelName,
  Intake,
  Limits,
  Reply,
  Taken,
} from '../../src/contract/index.ts'
import { type Option, optionOf, uintOf } from './codec.ts'
import { code, format, option } from './codes.ts'
import type { Response } from './exchange.ts'
import { type Query, stampOf } from './query.ts'
import { refusal, wrong } from './reasons.ts'

const changed: Response = { code: code.changed }
const overdue = 1_000
const reasonMaxBytes = 128

/** What a device reports, whole: where to, and what. */
export interface Report {
  readonly query: Query
  readonly options: readonly Option[]
  readonly body: Buffer
}

/** `POST …/events/{type}`: answered once it is kept. */
export function takeEvent(
  intake: Intake,
  limits: Limits,
  channel: ChannelName,
  name: string,
  { query, options, body }: Report,
  answer: (response: Response) => void,
): void {
  const stamp = stampOf(query)
  const contentType = contentTypeOf(options)
  if (name === '' || Buffer.byteLength(name) > limits.nameMaxBytes) {
    answer(wrong(code.badRequest, `a type has 1 to ${limits.nameMaxBytes} bytes`))
  } else if (stamp === 'malformed') {
    answer(wrong(code.badRequest, '?stamp= is epoch.sequence'))
  } else if (contentType === undefined) {
    answer(wrong(code.unsupportedContentFormat, 'use 0, 42, 50 or 60, or none for JSON'))
  } else if (!intake.wants(unasked)) {
    answer(refusal('overloaded', overdue))
  } else {
    intake.receive(
      channel,
      [{ name, payload: body, contentType, ...(stamp !== undefined && { stamp }) }],
      (outcome) => answer(takenAs(outcome)),
    )
  }
}

/** `POST …/replies/{id}`. */
export function takeReply(
  intake: Intake,
  id: string,
  { query, options, body }: Report,
  answer: (outcome: Answered | 'wrong', response: Response) => void,
): void {
  const stamp = stampOf(query)
  const contentType = contentTypeOf(options)
  const status = query.get('status') ?? 'done'
  const reason = query.get('reason')
  if (!isStatus(status)) {
    answer('wrong', wrong(code.badRequest, '?status= is done, failed or rejected'))
  } else if (
    reason !== undefined &&
    (reason === '' || Buffer.byteLength(reason) > reasonMaxBytes)
  ) {
    answer('wrong', wrong(code.badRequest, `?reason= has 1 to ${reasonMaxBytes} bytes`))
  } else if (stamp === 'malformed') {
    answer('wrong', wrong(code.badRequest, '?stamp= is epoch.sequence'))
  } else if (contentType === undefined) {
    answer('wrong', wrong(code.unsupportedContentFormat, 'use 0, 42, 50 or 60, or none for JSON'))
  } else {
    const reply = {
      status,
      payload: body,
      contentType,
      ...(reason !== undefined && { reason }),
      ...(stamp !== undefined && { stamp }),
    }
    intake.reply(id, reply, (outcome) => answer(outcome, answeredAs(outcome)))
  }
}

function takenAs(outcome: Taken): Response {
  switch (outcome) {
    case 'kept':
      return changed
    case 'stale':
      return wrong(code.conflict, 'the stamp lies too far back')
    case 'unknown-channel':
      return refusal('unknown-channel')
    case 'unavailable':
      return refusal('unavailable')
  }
}

function answeredAs(outcome: Answered): Response {
  switch (outcome) {
    case 'kept':
      return changed
    case 'stale':
      return wrong(code.conflict, 'the stamp lies too far back')
    case 'unknown':
      return wrong(code.notFound, 'this device has no such command')
    case 'unavailable':
      return refusal('unavailable')
  }
}

const isStatus = (text: string): text is Reply['status'] =>
  text === 'done' || text === 'failed' || text === 'rejected'

const types = new Map<number, string>([
  [format.text, 'text/plain; charset=utf-8'],
  [format.octets, 'application/octet-stream'],
  [format.json, 'application/json'],
  [format.cbor, 'application/cbor'],
])

/** undefined: one that is not taken. Left out: JSON, as nearly all send. */
export function contentTypeOf(options: readonly Option[]): string | undefined {
  const value = optionOf(options, option.contentFormat)
  if (value === undefined) return 'application/json'
  return types.get(uintOf(value, 2) ?? -1)
}

/** Texts of a path and a query are UTF-8 (RFC 7252 §5.10.1). */
export function textFault(options: readonly Option[]): Response | undefined {
  for (const { number, value } of options) {
    const isText = number === option.uriPath || number === option.uriQuery
    if (isText && !isUtf8(value)) return wrong(code.badRequest, 'a path or query that is no UTF-8')
  }
  return undefined
}

/** Whoever is told to come later needs no word when it is later. */
const unasked = (): void => {}
