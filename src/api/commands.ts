import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CommandStatus, SubmitRequest, Submitted } from '../contract/index.ts'
import { deviceKey, mainChannel } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import {
  Accepted,
  Command,
  CommandPost,
  Explanation,
  History,
  HistoryQuery,
} from './command-schemas.ts'
import type { ApiContext, App } from './context.ts'
import { isIdempotencyKey, requestHash, waitAskedMs } from './headers.ts'
import { jsonMediaType, readPayload } from './payload.ts'
import { badField, refuse } from './problems.ts'
import { CommandPath, DevicePath } from './schemas.ts'
import {
  acceptedView,
  commandJson,
  commandUrl,
  depthView,
  explanationJson,
  foundStatus,
  statusOf,
} from './views.ts'

const commandBody = (description: string) => ({
  description,
  content: { [jsonMediaType]: { schema: Command } },
})

/** POST /v1/devices/{device}/commands, and what became of them. */
export function commandRoutes(app: App, context: ApiContext): void {
  const { gateway, names, mailbox, auth, limits } = context
  const onRequest = auth.scope('commands')
  const retryMs = apiBounds.retryAfterSeconds * 1000

  app.post(
    '/v1/devices/:device/commands',
    {
      onRequest,
      schema: {
        summary: 'Send one command',
        description:
          '`202`: kept, and open. `200`: kept, and ended already (a `now` without a link, or within `Prefer: wait=N`); `status` is its outcome, whatever it is. Send an `Idempotency-Key`, so that a call whose answer was lost can be repeated.',
        tags: ['commands'],
        params: DevicePath,
        body: CommandPost,
        response: { 202: Accepted },
      },
      config: {
        problems: [
          'invalid-request',
          'malformed-json',
          'too-deep',
          'unknown-device',
          'device-disabled',
          'idempotency-conflict',
          'payload-too-large',
          'body-too-large',
          'unsupported-media-type',
          'mailbox-full',
          'over-quota',
          'schedule-full',
          'store-unavailable',
          'store-full',
        ],
        responses: { 200: commandBody('Ended') },
      },
    },
    async (request, reply) => {
      const { body, params } = request
      const read = readPayload(body, request.sent)
      if ('path' in read) return badField(reply, 'body', read.path, read.message) as never
      if (read.payload.length > limits.payloadMaxBytes) {
        const detail = `${read.payload.length} bytes of ${limits.payloadMaxBytes}`
        return refuse(reply, 'payload-too-large', { detail }) as never
      }
      if (Buffer.byteLength(body.name) > limits.nameMaxBytes) {
        const message = `is over ${limits.nameMaxBytes} bytes`
        return badField(reply, 'body', '/name', message) as never
      }
      const idempotencyKey = request.headers['idempotency-key']
      if (idempotencyKey !== undefined && !isIdempotencyKey(idempotencyKey)) {
        const message = `must be 1 to ${apiBounds.idempotencyKeyMaxChars} visible ASCII characters`
        return badField(reply, 'header', '/idempotency-key', message) as never
      }
      const submit: SubmitRequest = {
        app: request.key.app,
        to: { device: params.device },
        channel: body.channel ?? mainChannel,
        name: body.name,
        payload: read.payload,
        contentType: read.contentType,
        delivery: body.delivery ?? 'queue',
        expect: body.expect ?? 'ack',
        // Rule 9.
        askedBy: request.key.name,
        ttlMs: milliseconds(body.ttl),
        replyTimeoutMs: milliseconds(body.replyTimeout),
        collapse: body.collapse ?? undefined,
        idempotency:
          idempotencyKey === undefined
            ? undefined
            : {
                key: idempotencyKey,
                hash: requestHash(
                  `POST /v1/devices/${params.device}/commands`,
                  request.sent!.bytes,
                ),
              },
      }
      const submitted = await gateway.submit(submit)
      if (submitted.kind !== 'accepted') return refuseSubmit(reply, submitted) as never
      const status = await held(context, request, reply, submitted.status)
      if (status.kind === 'ended') return sendJson(reply, commandJson(status)) as never
      reply.code(202).header('location', commandUrl(status.command))
      return acceptedView(status)
    },
  )

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
      const page = await mailbox.history(deviceKey(tenant, device), {
        limit,
        ...(status !== undefined && { status }),
        ...(after !== undefined && { after }),
      })
      const items = page.items.map((found) => commandJson(foundStatus(found)))
      const next = JSON.stringify(page.next ?? null)
      return sendJson(reply, `{"items":[${items.join(',')}],"next":${next}}`)
    },
  )
}

const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.round(seconds * 1000)

/** As a command stands, or, where `Prefer: wait` asks for it and there is room, as it ends. */
async function held(
  { gateway, holds, limits }: ApiContext,
  request: FastifyRequest,
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

function refuseSubmit(
  reply: object,
  submitted: Exclude<Submitted, { kind: 'accepted' }>,
): FastifyReply {
  switch (submitted.kind) {
    case 'unknown-device':
      return refuse(reply, 'unknown-device')
    case 'unknown-alias':
      return refuse(reply, 'unknown-alias')
    case 'limited':
      return refuse(reply, 'over-quota', undefined, submitted.retryAfterMs)
    case 'schedule-full':
      return refuse(reply, 'schedule-full', { max: submitted.max }, submitted.retryAfterMs)
    case 'unknown-channel':
      return badField(reply, 'body', '/channel', 'this device has no such channel')
    case 'device-disabled':
      return refuse(reply, 'device-disabled')
    case 'full':
      return refuse(
        reply,
        'mailbox-full',
        { mailbox: depthView(submitted.depth) },
        submitted.retryAfterMs,
      )
    case 'conflict':
      return refuse(reply, 'idempotency-conflict', { command: submitted.id })
    case 'unavailable':
      return refuse(
        reply,
        submitted.full ? 'store-full' : 'store-unavailable',
        undefined,
        apiBounds.retryAfterSeconds * 1000,
      )
  }
}

/** JSON text as it stands. */
const sendJson = (reply: object, text: string): FastifyReply =>
  (reply as FastifyReply).code(200).header('content-type', jsonMediaType).send(text)
