import type {
  BroadcastRequest,
  DeviceId,
  KeyRecord,
  Limits,
  SubmitRequest,
} from '../contract/index.ts'
import { isIdentifier } from '../contract/index.ts'
import { readJson } from '../listen/json.ts'
import { broadcastRequest, readCommand, submitRequest } from './command-request.ts'
import { CommandLine } from './command-schemas.ts'
import { requestHash } from './headers.ts'
import { fieldRefusal, type Refusal } from './problems.ts'
import { checker } from './validation.ts'

/** What one line asks for; one of the two. */
export type Ask =
  | { readonly submit: SubmitRequest; readonly broadcast?: undefined }
  | { readonly broadcast: BroadcastRequest; readonly submit?: undefined }

/** What is wrong with a line, and the device it names, where it does. */
export type Misread = Refusal & { readonly device?: DeviceId }

const check = checker(CommandLine, 'body')

/** One line of POST /v1/commands; what is wrong with it is its own affair (rule 29). */
export function readLine(
  line: Buffer,
  key: KeyRecord,
  limits: Limits,
  nowMs: number,
  traceparent: string | undefined,
): Ask | Misread {
  // A copy, so that one payload that is kept does not hold all that came with it.
  const json = readJson(Buffer.from(line))
  if ('problem' in json) return json
  const wrong = check(json.value)
  if (wrong !== undefined) return { ...wrong, ...named(json.value) }
  const body = json.value as CommandLine
  const { device, alias, tag } = body.to
  if (Number(device !== undefined) + Number(alias !== undefined) + Number(tag !== undefined) !== 1)
    return fieldRefusal('body', '/to', 'must have one of device, alias, tag')
  const read = readCommand(body, json.sent, limits, nowMs)
  if ('problem' in read) return { ...read, ...named(body) }
  const { idempotencyKey } = body
  // Rule 28: the route is part of it, so that a key of a single call is not one of a line.
  const idempotency =
    idempotencyKey === undefined
      ? undefined
      : { key: idempotencyKey, hash: requestHash('POST /v1/commands', line) }
  if (tag !== undefined) {
    if (body.notBefore !== undefined)
      return fieldRefusal('body', '/notBefore', 'does not go with a tag')
    const asked = broadcastRequest(key, tag, read, body, idempotency, traceparent)
    return { broadcast: { ...asked, patient: true } }
  }
  if (body.rate !== undefined)
    return { ...fieldRefusal('body', '/rate', 'goes with a tag'), ...named(body) }
  if (body.stopAfterFailures !== undefined)
    return { ...fieldRefusal('body', '/stopAfterFailures', 'goes with a tag'), ...named(body) }
  const to = device === undefined ? { alias: alias! } : { device }
  return { submit: submitRequest(key, to, read, idempotency, traceparent, true) }
}

/** Whatever else is wrong with it. */
function named(value: unknown): { readonly device?: DeviceId } {
  const { device } = ((value as { to?: unknown } | null)?.to ?? {}) as { device?: unknown }
  return typeof device === 'string' && isIdentifier(device) ? { device } : {}
}
