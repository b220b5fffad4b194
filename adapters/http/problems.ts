import type { ServerResponse } from 'node:http'
import type { Reason } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import type { FieldError, Problem, Said } from '../../src/listen/problem.ts'
import { problemMediaType, problemView } from '../../src/listen/problem.ts'
import { httpBounds } from './bounds.ts'
import { nameOf, problemOfReason, type ReasonProblem, retryOfReason } from './reasons.ts'

/** What can be wrong beside the contract's reasons. `docs/http.md` has the same list. */
const own = {
  'bad-request': {
    status: 400,
    title: 'The request is not well-formed HTTP for this server',
    advice: 'Mend the request; repeating it changes nothing.',
  },
  'malformed-json': { status: 400, title: 'The body is not JSON in UTF-8', advice: 'Mend it.' },
  'too-deep': { status: 400, title: 'The JSON is nested too deeply', advice: 'Send it flatter.' },
  'invalid-request': {
    status: 400,
    title: 'Something in the request does not fit',
    advice: '`errors` names each field at fault; mend it.',
  },
  'not-found': { status: 404, title: 'There is no such call', advice: 'See docs/http.md.' },
  'unknown-command': {
    status: 404,
    title: 'This device has no such command',
    advice: 'Forget the reply: it is not kept, and never will be.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'This path does not take that method',
    advice: '`Allow` lists the methods it takes.',
  },
  'request-timeout': {
    status: 408,
    title: 'The request did not arrive in time',
    advice: 'Send it again, with the same Pike-Stamp.',
  },
  'not-sent': {
    status: 409,
    title: 'An acknowledgement of what was not sent',
    advice: 'Go on from `epoch` and `after`.',
  },
  'not-attached': {
    status: 409,
    title: 'Nothing here receives the commands of this channel',
    advice: 'Say it as `after` in the next GET /device/v1/commands, or reply to the command.',
  },
  'stale-stamp': {
    status: 409,
    title: 'The stamp lies too far behind the newest one to be told from a repeat',
    advice: 'It is not kept. Count on from the newest sequence, or begin a new epoch.',
  },
  'path-too-long': { status: 414, title: 'A part of the path is too long', advice: 'Shorten it.' },
  'headers-too-large': {
    status: 431,
    title: 'The headers are over their limit',
    advice: 'Send fewer or shorter headers.',
  },
  internal: {
    status: 500,
    title: 'This is our mistake',
    advice: 'Send it again, with the same Pike-Stamp.',
  },
} as const satisfies Record<string, Problem>

export type ProblemName = keyof typeof own | ReasonProblem

const all = new Map<string, Problem>([
  // One that is said by another's name has no words of its own: a wrong secret is no disabled device.
  ...(Object.keys(reasons) as Reason[])
    .filter((reason) => nameOf(reason) === reason)
    .map((reason) => [nameOf(reason), problemOfReason(reason)] as const),
  ...Object.entries(own),
])

/** A refusal as a value. */
export interface Refusal {
  readonly problem: ProblemName
  readonly said?: Said | undefined
  /** Where trying again later may help. */
  readonly retryAfterMs?: number | undefined
}

export const problemJson = (name: ProblemName, said?: Said): string =>
  JSON.stringify(problemView(name, all.get(name)!, said))

const channelAtFault: Said = {
  errors: [{ in: 'query', path: 'channel', message: 'this device has no such channel' }],
}

/** In the contract's words; with when to come again. */
export const refusalOf = (reason: Reason, retryAfterMs?: number): Refusal => ({
  problem: nameOf(reason),
  ...(reason === 'unknown-channel' && { said: channelAtFault }),
  retryAfterMs: retryAfterMs ?? retryOfReason(reason, httpBounds.retryAfterS * 1000),
})

/** One field at fault. */
export const badField = (
  where: FieldError['in'],
  path: string,
  message: string,
): Refusal & { readonly problem: 'invalid-request' } => ({
  problem: 'invalid-request',
  said: { detail: `${where} ${path}: ${message}`, errors: [{ in: where, path, message }] },
})

/** Whoever has not proved itself may not stay either, nor anybody where we are leaving. */
const endsConnection = (name: ProblemName): boolean =>
  name === 'unauthorized' ||
  name === 'rate-limited' ||
  name === 'bad-request' ||
  name === 'going-away'

/** Answer with a problem. Nothing was written before. */
export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent || response.destroyed) return
  const { problem, said, retryAfterMs } = refusal
  const body = problemJson(problem, said)
  response.statusCode = all.get(problem)!.status
  response.setHeader('content-type', problemMediaType)
  response.setHeader('content-length', Buffer.byteLength(body))
  if (problem === 'unauthorized') response.setHeader('www-authenticate', 'Basic realm="pike"')
  if (retryAfterMs !== undefined)
    response.setHeader('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))))
  if (endsConnection(problem)) response.setHeader('connection', 'close')
  response.end(body)
}
