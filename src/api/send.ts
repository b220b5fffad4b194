import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Addressee, SubmitRequest } from '../contract/index.ts'
import { isIdentifier } from '../contract/index.ts'
import { AliasPath } from './alias-schemas.ts'
import { apiBounds } from './bounds.ts'
import type { Callbacks } from './callbacks.ts'
import { type CommandRead, readCommand, submitRequest } from './command-request.ts'
import { Accepted, CommandPost } from './command-schemas.ts'
import { commandBody, held, sendJson } from './commands.ts'
import type { ApiContext, App } from './context.ts'
import { problemOf } from './faults.ts'
import { isIdempotencyKey, requestHash } from './headers.ts'
import { fieldRefusal, type ProblemName, type Refusal, refuseWith } from './problems.ts'
import { noteRefused } from './refused.ts'
import { DevicePath } from './schemas.ts'
import { refusalOf } from './submit-answers.ts'
import { traceparentOf } from './traceparent.ts'
import { acceptedView, commandJson, commandUrl } from './views.ts'

/** What may be wrong with a command, whomever it is for. */
export const commandProblems: readonly ProblemName[] = [
  'invalid-request',
  'malformed-json',
  'too-deep',
  'no-callback-secret',
  'idempotency-conflict',
  'payload-too-large',
  'body-too-large',
  'unsupported-media-type',
  'over-quota',
  'store-unavailable',
  'store-full',
]

const description =
  '`202`: kept, and open. `200`: kept, and ended already (a `now` without a link, or within `Prefer: wait=N`); `status` is its outcome, whatever it is. Send an `Idempotency-Key`, so that a call whose answer was lost can be repeated.'

/** Where one command is sent: to a device, or to whoever an alias stands for. */
export function sendRoutes(app: App, context: ApiContext, callbacks: Callbacks): void {
  const onRequest = context.auth.scope('commands')
  const problems: readonly ProblemName[] = [
    ...commandProblems,
    'command-forgotten',
    'unknown-device',
    'device-disabled',
    'mailbox-full',
    'schedule-full',
  ]

  app.post(
    '/v1/devices/:device/commands',
    {
      onRequest,
      schema: {
        summary: 'Send one command',
        description,
        tags: ['commands'],
        params: DevicePath,
        body: CommandPost,
        response: { 202: Accepted },
      },
      config: { problems, responses: { 200: commandBody('Ended') } },
      errorHandler: (error, request) => {
        const { device } = request.params
        const problem = problemOf(error)
        // Refused on its way to us: the key is known by then, the name may be none.
        if (problem !== undefined && isIdentifier(device))
          noteRefused(context, request.key, { device }, problem, undefined)
        throw error
      },
    },
    (request, reply) => {
      const { device } = request.params
      const route = `POST /v1/devices/${device}/commands`
      return send(context, callbacks, request, reply, { device }, route) as never
    },
  )

  app.post(
    '/v1/aliases/:alias/commands',
    {
      onRequest,
      schema: {
        summary: 'Send one command to whoever an alias stands for now',
        description: `${description} Rebinding the alias later does not move the command.`,
        tags: ['commands'],
        params: AliasPath,
        body: CommandPost,
        response: { 202: Accepted },
      },
      config: {
        problems: [...problems, 'unknown-alias'],
        responses: { 200: commandBody('Ended') },
      },
    },
    (request, reply) => {
      const { alias } = request.params
      const route = `POST /v1/aliases/${alias}/commands`
      return send(context, callbacks, request, reply, { alias }, route) as never
    },
  )
}

async function send(
  context: ApiContext,
  callbacks: Callbacks,
  request: Pick<FastifyRequest, 'key' | 'headers' | 'sent'> & { readonly body: CommandPost },
  reply: object,
  to: Addressee,
  route: string,
): Promise<unknown> {
  const { gateway, limits, clock } = context
  const no = (refusal: Refusal): FastifyReply => {
    noteRefused(context, request.key, to, refusal.problem, request.body.name)
    return refuseWith(reply, refusal)
  }
  const read = readCommand(request.body, request.sent, limits, clock.nowMs())
  if ('problem' in read) return no(read)
  const repeatable = idempotencyOf(request, route)
  if (repeatable !== undefined && 'problem' in repeatable) return no(repeatable)
  const refused = await refusedCallback(callbacks, request.key.app, read)
  if (refused !== undefined) return no(refused)
  const trace = traceparentOf(request.headers.traceparent)
  const submitted = await gateway.submit(submitRequest(request.key, to, read, repeatable, trace))
  if (submitted.kind !== 'accepted') return no(refusalOf(submitted))
  const status = await held(context, request, reply, submitted.status)
  if (status.kind === 'ended') return sendJson(reply, commandJson(status))
  ;(reply as FastifyReply).code(202).header('location', commandUrl(status.command))
  return acceptedView(status)
}

/** Rule 28: what the Idempotency-Key of a call stands for; undefined: it has none. */
export function idempotencyOf(
  request: Pick<FastifyRequest, 'headers' | 'sent'>,
  route: string,
): NonNullable<SubmitRequest['idempotency']> | Refusal | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (!isIdempotencyKey(key)) {
    const message = `must be 1 to ${apiBounds.idempotencyKeyMaxChars} visible ASCII characters`
    return fieldRefusal('header', '/idempotency-key', message)
  }
  return { key, hash: requestHash(route, request.sent!.bytes) }
}

export const refusedCallback = (
  callbacks: Callbacks,
  app: string,
  { callback }: Pick<CommandRead, 'callback'>,
): Refusal | undefined | Promise<Refusal | undefined> =>
  callback === undefined ? undefined : callbacks.refuses(app, callback)
