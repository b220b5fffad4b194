import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CommandStatus } from '../contract/index.ts'
import { deviceKey } from '../contract/index.ts'
import { jsonMediaType } from '../listen/payload.ts'
import { apiBounds } from './bounds.ts'
import { Command, Explanation, History, HistoryQuery } from './command-schemas.ts'
import type { ApiContext, App } from './context.ts'
import { waitAskedMs } from './headers.ts'
import { historyPage } from './history-steps.ts'
import { refuse } from './problems.ts'
import { CommandPath, DevicePath } from './schemas.ts'
import { commandJson, explanationJson, statusOf } from './views.ts'

export const commandBody = (description: string) => ({
  description,
  content: { [jsonMediaType]: { schema: Command } },
})

/** What became of commands. */
export function commandRoutes(app: App, context: ApiContext): void {
  const { gateway, names, mailbox, auth } = context
  const onRequest = auth.scope('commands')
  const retryMs = apiBounds.retryAfterSeconds * 1000

  app.get(
    '/v1/commands/:command',
    {
      onRequest,
      schema: {
        summary: 'Where a command stands, with its timeline and reply',
        description: '`Prefer: wait=N` holds the call until it has ended or N seconds are over.',
        tags: ['commands'],
        params: CommandPath,
      },
      config: { problems: ['unknown-command'], responses: { 200: commandBody('The command') } },
    },
    async (request, reply) => {
      const status = await gateway.status(request.key.app, request.params.command)
      if (status === undefined) return refuse(reply, 'unknown-command')
      return sendJson(reply, commandJson(await held(context, request, reply, status)))
    },
  )

  app.get(
    '/v1/commands/:command/explain',
    {
      onRequest,
      schema: {
        summary: 'Why a command is where it is',
        tags: ['commands'],
        params: CommandPath,
      },
      config: {
        problems: ['unknown-command'],
        responses: {
          200: {
            description: 'The reason, as a code and as a sentence',
            content: { [jsonMediaType]: { schema: Explanation } },
          },
        },
      },
    },
    async (request, reply) => {
      const explanation = await gateway.explain(request.key.app, request.params.command)
      if (explanation === undefined) return refuse(reply, 'unknown-command')
      return sendJson(reply, explanationJson(explanation))
    },
  )

  app.delete(
    '/v1/commands/:command',
    {
      onRequest,
      schema: {
        summary: 'Cancel a command that was never sent',
        tags: ['commands'],
        params: CommandPath,
      },
      config: {
        problems: ['unknown-command', 'not-cancelable', 'store-unavailable'],
        responses: { 200: commandBody('Canceled') },
      },
    },
    async (request, reply) => {
      const canceled = await gateway.cancel(request.key.app, request.params.command)
      switch (canceled.kind) {
        case 'canceled':
          return sendJson(reply, commandJson({ kind: 'ended', command: canceled.command }))
        case 'too-late':
          // Rule 10.
          return refuse(reply, 'not-cancelable', {
            detail: `it is ${statusOf(canceled.status)}`,
            command: canceled.status.command.id,
            commandStatus: statusOf(canceled.status),
          })
        case 'unknown':
          return refuse(reply, 'unknown-command')
        case 'unavailable':
          return refuse(reply, 'store-unavailable', undefined, retryMs)
      }
    },
  )

  app.get(
    '/v1/devices/:device/commands',
    {
      onRequest,
      schema: {
        summary: "A device's commands, newest first",
        description: 'A page of large replies may be short while `next` is not null.',
        tags: ['commands'],
        params: DevicePath,
        querystring: HistoryQuery,
      },
      config: {
        problems: ['invalid-request', 'unknown-device'],
        responses: {
          200: {
            description: 'A page; `next` is null at the end',
            content: { [jsonMediaType]: { schema: History } },
          },
        },
      },
    },
    async (request, reply) => {
      const tenant = request.key.app
      const { device } = request.params
      if ((await names.device(tenant, device)) === undefined) return refuse(reply, 'unknown-device')
      const { status, after, limit = apiBounds.pageItems } = request.query
      const page = await historyPage(mailbox, deviceKey(tenant, device), {
        limit,
        ...(status !== undefined && { status }),
        ...(after !== undefined && { after }),
      })
      return sendJson(reply, page)
    },
  )
}

/** As a command stands, or, where `Prefer: wait` asks for it and there is room, as it ends. */
export async function held(
  { gateway, holds, limits }: ApiContext,
  request: Pick<FastifyRequest, 'key' | 'headers'>,
  reply: object,
  status: CommandStatus,
): Promise<CommandStatus> {
  const waitMs = waitAskedMs(request.headers.prefer, limits.waitMaxMs)
  if (waitMs === 0) return status
  // Source: RFC 7240 §3: said only where it was honoured.
  if (status.kind === 'open' && !holds.room) return status
  ;(reply as FastifyReply).header('preference-applied', `wait=${Math.ceil(waitMs / 1000)}`)
  if (status.kind === 'ended') return status
  const waited = gateway.wait(request.key.app, status.command.id, waitMs)
  return (await holds.until(waited, status)) ?? status
}

/** JSON text as it stands. */
export const sendJson = (reply: object, text: string): FastifyReply =>
  (reply as FastifyReply).code(200).header('content-type', jsonMediaType).send(text)
