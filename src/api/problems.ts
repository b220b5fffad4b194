import type { FastifyReply } from 'fastify'
import {
  type FieldError,
  type Problem,
  problemMediaType,
  problemView,
  type Said,
} from '../listen/problem.ts'

export { type FieldError, problemMediaType, type Said } from '../listen/problem.ts'

/**
 * Every way in which a call may be refused, by the last part of its `type` URI.
 * `advice` says what to do next. Source: RFC 9457; `docs/back-end.md` has the same list.
 */
export const problems = {
  'bad-request': {
    status: 400,
    title: 'The request is not well-formed HTTP for this server',
    advice: 'Mend the request; repeating it changes nothing.',
  },
  'malformed-json': {
    status: 400,
    title: 'The body is not JSON in UTF-8',
    advice: 'Mend the body.',
  },
  'too-deep': {
    status: 400,
    title: 'The JSON is nested too deeply',
    advice: 'Send a flatter value, or bytes in payloadBase64.',
  },
  'invalid-request': {
    status: 400,
    title: 'Something in the request does not fit',
    advice: '`errors` names each field at fault; mend it.',
  },
  unauthorized: {
    status: 401,
    title: 'No API key, or one nobody has',
    advice: 'Send `Authorization: Bearer <api key>`.',
  },
  forbidden: {
    status: 403,
    title: 'This API key may not do that',
    advice: 'Use a key with the scope that `scope` names.',
  },
  'not-found': {
    status: 404,
    title: 'There is no such call',
    advice: 'See /openapi.json for the calls there are.',
  },
  'unknown-device': {
    status: 404,
    title: 'This app has no such device',
    advice: 'Register it with PUT /v1/devices/{device}, or mend the name.',
  },
  'unknown-alias': {
    status: 404,
    title: 'Nobody has this alias',
    advice: 'Bind it with PUT /v1/aliases/{alias}, or mend the name. It may have expired.',
  },
  'unknown-tag': {
    status: 404,
    title: 'No device has this tag',
    advice: 'Give it to devices with PUT /v1/tags/{tag}/devices/{device}, or mend the name.',
  },
  'unknown-command': {
    status: 404,
    title: 'This app has no such command',
    advice: 'Mend the id. What ended more than the retention ago is forgotten.',
  },
  'unknown-broadcast': {
    status: 404,
    title: 'This app has no such broadcast',
    advice: 'Mend the id. The oldest are forgotten.',
  },
  'unknown-app': {
    status: 404,
    title: 'There is no such app',
    advice: 'Make it with PUT /v1/apps/{app}, or mend the name.',
  },
  'unknown-key': {
    status: 404,
    title: 'This app has no such API key',
    advice: 'Mend the name; GET /v1/apps/{app}/keys lists those there are.',
  },
  'unknown-webhook': {
    status: 404,
    title: 'This app has no such webhook',
    advice: 'Make it with PUT /v1/webhooks/{webhook}, or mend the name.',
  },
  'unknown-connection': {
    status: 404,
    title: 'No device of this app is or was on such a connection',
    advice:
      'Mend the token. One that has ended is forgotten when nothing of it is recorded any more.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'This path does not take that method',
    advice: '`Allow` lists the methods it takes; /openapi.json has the calls.',
  },
  'request-timeout': {
    status: 408,
    title: 'The request did not arrive in time',
    advice: 'Send it again, with the same Idempotency-Key.',
  },
  'device-disabled': {
    status: 409,
    title: 'This device is disabled',
    advice: 'Enable it with PUT /v1/devices/{device} {"disabled": false}.',
  },
  'idempotency-conflict': {
    status: 409,
    title: 'This Idempotency-Key was used with another request',
    advice: 'Use a new key for a new command; `command` is what the key stands for.',
  },
  'command-forgotten': {
    status: 409,
    title: 'This Idempotency-Key was accepted before, and its command is forgotten',
    advice:
      'It was accepted then, as `command`, and has ended; its outcome is no longer kept. Nothing was sent again; use a new key to send it once more.',
  },
  'not-cancelable': {
    status: 409,
    title: 'The command can no longer be canceled',
    advice: 'It has ended or may have been sent; `commandStatus` says where it stands.',
  },
  'no-callback-secret': {
    status: 409,
    title: 'This app has no secret to sign callbacks with',
    advice: 'Call POST /v1/webhooks/callbacks/secrets once and keep the secret; then send again.',
  },
  'too-many-devices': {
    status: 409,
    title: 'More devices have this tag than one broadcast takes',
    advice: 'Nothing was kept. Use tags of fewer devices, or POST /v1/commands.',
  },
  'limit-reached': {
    status: 409,
    title: 'There are as many of these as may be',
    advice: '`limit` names the bound, `max` its value. Remove some first.',
  },
  'app-not-empty': {
    status: 409,
    title: 'This app still has devices',
    advice: 'Remove its devices first.',
  },
  'app-protected': {
    status: 409,
    title: 'This app cannot be removed',
    advice: 'Neither `default` nor the app of the key you call with can be.',
  },
  'key-exists': {
    status: 409,
    title: 'This API key exists, and its text cannot be changed',
    advice: 'Leave out `key` to change its scopes, or make a key of another name.',
  },
  'own-key': {
    status: 409,
    title: 'Nobody can revoke or demote the key they call with',
    advice: 'Use another administrator key.',
  },
  'reserved-name': {
    status: 409,
    title: 'This name is reserved',
    advice: 'Choose another name.',
  },
  'cursor-gone': {
    status: 410,
    title: 'The events after this cursor are no longer all here',
    advice:
      'Events were missed. Start again from `oldest` (`after=<oldest>`) and compare your own state.',
  },
  'payload-too-large': {
    status: 413,
    title: 'The payload is over its limit',
    advice: 'Send less; pass large things by reference.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is over its limit',
    advice: 'Send less.',
  },
  'path-too-long': {
    status: 414,
    title: 'A part of the path is longer than any name',
    advice: 'Mend the name.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The body is not declared as anything this call takes',
    advice: 'Send the `Content-Type` that `detail` names.',
  },
  'mailbox-full': {
    status: 429,
    title: "The device's mailbox is full",
    advice: 'Nothing was kept. Try again after Retry-After, with the same Idempotency-Key.',
  },
  'schedule-full': {
    status: 429,
    title: 'As many commands are scheduled as may be',
    advice: 'Nothing was kept. Try again after Retry-After, with the same Idempotency-Key.',
  },
  'over-quota': {
    status: 429,
    title: "Over this app's quota",
    advice:
      'Nothing was kept. Try again after Retry-After, with the same Idempotency-Key; POST /v1/commands waits by itself.',
  },
  'too-many-broadcasts': {
    status: 429,
    title: 'As many broadcasts are running as may be',
    advice: 'Nothing was kept. Try again after Retry-After, with the same Idempotency-Key.',
  },
  'too-many-bodies': {
    status: 429,
    title: 'More bodies are on their way here than there is room for',
    advice: 'Nothing was kept. Send fewer at once; try again after Retry-After.',
  },
  'too-many-wrong-keys': {
    status: 429,
    title: 'Too many wrong API keys from this address',
    advice: 'Mend the key; try again after Retry-After. A right key is let through at once.',
  },
  'headers-too-large': {
    status: 431,
    title: 'The headers are over their limit',
    advice: 'Send fewer or shorter headers.',
  },
  internal: {
    status: 500,
    title: 'This is our mistake',
    advice:
      'The log says more. A command may have been kept: repeat with the same Idempotency-Key.',
  },
  'not-supported': {
    status: 501,
    title: 'This gateway cannot do that',
    advice: 'Its store does not offer it; with PIKE_ENGINE=level it does.',
  },
  'store-unavailable': {
    status: 503,
    title: 'The store cannot be written at the moment',
    advice:
      'Nothing is promised. Try again after Retry-After, with the same Idempotency-Key: then it is one command.',
  },
  'too-many-streams': {
    status: 503,
    title: 'As many streams of this kind are open as may be',
    advice: 'Try again after Retry-After; read pages instead of a stream, join NDJSON calls.',
  },
  'not-ready': {
    status: 503,
    title: 'Not ready to accept commands',
    advice: 'Try again after Retry-After.',
  },
  stopping: {
    status: 503,
    title: 'This gateway is stopping',
    advice: 'Nothing was kept. Try again after Retry-After.',
  },
  'store-full': {
    status: 507,
    title: 'The store has no space left',
    advice:
      'Nothing is promised. An operator must make room; then it goes on by itself. Try again with the same Idempotency-Key.',
  },
} as const satisfies Record<string, Problem>

export type ProblemName = keyof typeof problems

/** A refusal as a value, for what is answered in more than one way. */
export interface Refusal {
  readonly problem: ProblemName
  readonly said?: Said | undefined
  /** Where trying again later may help. */
  readonly retryAfterMs?: number | undefined
}

export const problemMembers = (name: ProblemName, said?: Said) =>
  problemView(name, problems[name], said)

export const problemJson = (name: ProblemName, said?: Said): string =>
  JSON.stringify(problemMembers(name, said))

/** A refusal on its way through code that cannot answer itself, e.g. the body parser. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly problem: ProblemName
  readonly said: Said | undefined

  constructor(problem: ProblemName, said?: Said) {
    super(problems[problem].title)
    this.problem = problem
    this.said = said
  }
}

/** Answer with a problem. `retryAfterMs` where trying again later may help. */
export function refuse(
  reply: object,
  name: ProblemName,
  said?: Said,
  retryAfterMs?: number,
): FastifyReply {
  const answer = reply as FastifyReply
  if (retryAfterMs !== undefined)
    answer.header('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))))
  return answer
    .code(problems[name].status)
    .header('content-type', problemMediaType)
    .send(problemJson(name, said))
}

export const refuseWith = (reply: object, { problem, said, retryAfterMs }: Refusal): FastifyReply =>
  refuse(reply, problem, said, retryAfterMs)

/** One field at fault. */
export const fieldRefusal = (where: FieldError['in'], path: string, message: string): Refusal => ({
  problem: 'invalid-request',
  said: { detail: `${where} ${path}: ${message}`, errors: [{ in: where, path, message }] },
})

/** One field at fault. */
export const badField = (
  reply: object,
  where: FieldError['in'],
  path: string,
  message: string,
): FastifyReply => refuseWith(reply, fieldRefusal(where, path, message))
