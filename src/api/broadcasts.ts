import { Type } from 'typebox'
import {
  type AppId,
  type Broadcast as BroadcastKept,
  type CommandId,
  type DeviceId,
  locateCommand,
} from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import {
  Broadcast,
  BroadcastAccepted,
  BroadcastDevices,
  BroadcastDevicesQuery,
  BroadcastList,
  BroadcastListQuery,
  BroadcastPath,
} from './broadcast-schemas.ts'
import type { Callbacks } from './callbacks.ts'
import { broadcastRequest, readCommand } from './command-request.ts'
import { BroadcastPost } from './command-schemas.ts'
import type { ApiContext, App } from './context.ts'
import { refuse, refuseWith } from './problems.ts'
import { Identifier } from './schemas.ts'
import { commandProblems, idempotencyOf, refusedCallback } from './send.ts'
import { refusalOfBroadcast } from './submit-answers.ts'
import { traceparentOf } from './traceparent.ts'
import { foundStatus, statusOf, time } from './views.ts'

/** One command for every device of a tag, and one report of what became of them (rule 27). */
export function broadcastRoutes(app: App, context: ApiContext, callbacks: Callbacks): void {
  const { gateway, broadcasts, auth, limits, clock } = context
  const onRequest = auth.scope('commands')

  app.post(
    '/v1/tags/:tag/commands',
    {
      onRequest,
      schema: {
        summary: 'Send one command to every device of a tag',
        description:
          '`202`: the broadcast is kept with the devices that have the tag at this moment. Each is given a command of its own, at most `rate` a second. Send an `Idempotency-Key`.',
        tags: ['commands'],
        params: Type.Object({ tag: Identifier }),
        body: BroadcastPost,
        response: { 202: BroadcastAccepted },
      },
      config: {
        problems: [
          ...commandProblems,
          'unknown-tag',
          'unknown-broadcast',
          'too-many-devices',
          'too-many-broadcasts',
        ],
      },
    },
    async (request, reply) => {
      const { key, body } = request
      const { tag } = request.params
      const read = readCommand(body, request.sent, limits, clock.nowMs())
      if ('problem' in read) return refuseWith(reply, read) as never
      const repeatable = idempotencyOf(request, `POST /v1/tags/${tag}/commands`)
      if (repeatable !== undefined && 'problem' in repeatable)
        return refuseWith(reply, repeatable) as never
      const refused = await refusedCallback(callbacks, key.app, read)
      if (refused !== undefined) return refuseWith(reply, refused) as never
      const trace = traceparentOf(request.headers.traceparent)
      const made = await gateway.broadcast(
        broadcastRequest(key, tag, read, body, repeatable, trace),
      )
      if (made.kind !== 'accepted') return refuseWith(reply, refusalOfBroadcast(made)) as never
      const { id, devices } = made.broadcast
      reply.code(202).header('location', `/v1/broadcasts/${id}`)
      return { broadcast: id, devices }
    },
  )

  app.get(
    '/v1/broadcasts',
    {
      onRequest,
      schema: {
        summary: 'Broadcasts, newest first',
        tags: ['commands'],
        querystring: BroadcastListQuery,
        response: { 200: BroadcastList },
      },
      config: { problems: ['invalid-request'] },
    },
    async (request) => {
      const { after, limit = apiBounds.pageItems } = request.query
      const page = broadcasts.list(request.key.app, {
        limit,
        ...(after !== undefined && { after }),
      })
      return { items: page.items.map(broadcastView), next: page.next ?? null }
    },
  )

  app.get(
    '/v1/broadcasts/:broadcast',
    {
      onRequest,
      schema: {
        summary: 'How a broadcast is doing',
        tags: ['commands'],
        params: BroadcastPath,
        response: { 200: Broadcast },
      },
      config: { problems: ['unknown-broadcast'] },
    },
    async (request, reply) => {
      const found = broadcasts.find(request.key.app, request.params.broadcast)
      if (found === undefined) return refuse(reply, 'unknown-broadcast') as never
      return broadcastView(found)
    },
  )

  app.delete(
    '/v1/broadcasts/:broadcast',
    {
      onRequest,
      schema: {
        summary: 'Stop a broadcast',
        description:
          'Devices that have no command yet get none; commands that were never sent are canceled. What may have been sent goes its way.',
        tags: ['commands'],
        params: BroadcastPath,
        response: { 200: Broadcast },
      },
      config: { problems: ['unknown-broadcast', 'store-unavailable', 'store-full'] },
    },
    async (request, reply) => {
      const stopped = await gateway.stopBroadcast(request.key.app, request.params.broadcast)
      if (stopped === undefined) return refuse(reply, 'unknown-broadcast') as never
      return broadcastView(stopped)
    },
  )

  app.get(
    '/v1/broadcasts/:broadcast/devices',
    {
      onRequest,
      schema: {
        summary: 'The devices of a broadcast, each with its command',
        description:
          'In order of name. With `status` a page may be short or empty while `next` is not null.',
        tags: ['commands'],
        params: BroadcastPath,
        querystring: BroadcastDevicesQuery,
        response: { 200: BroadcastDevices },
      },
      config: { problems: ['invalid-request', 'unknown-broadcast'] },
    },
    async (request, reply) => {
      const tenant = request.key.app
      const { broadcast } = request.params
      const found = broadcasts.find(tenant, broadcast)
      if (found === undefined) return refuse(reply, 'unknown-broadcast') as never
      const without = found.state === 'stopped' ? 'not-placed' : 'waiting'
      const { status, after, limit = apiBounds.pageItems } = request.query
      const page = await broadcasts.members(tenant, broadcast, {
        limit,
        ...(after !== undefined && { after }),
      })
      const items: { device: DeviceId; command: CommandId | undefined; status: string }[] = []
      // What a command was answered is read with it, and may be large.
      for (let at = 0; at < page.items.length; at += apiBounds.historyReadCommands) {
        const some = page.items.slice(at, at + apiBounds.historyReadCommands)
        const members = await Promise.all(
          some.map(async ({ device, command }) => ({
            device,
            command,
            status:
              command === undefined ? without : await statusOfCommand(context, tenant, command),
          })),
        )
        items.push(...members.filter((m) => status === undefined || m.status === status))
      }
      return { items, next: page.next ?? null }
    },
  )
}

async function statusOfCommand(
  { mailbox }: Pick<ApiContext, 'mailbox'>,
  app: AppId,
  id: CommandId,
): Promise<string> {
  const place = locateCommand(app, id)!
  const found = await mailbox.find(place.channel, place.epoch, place.offset)
  return found === undefined ? 'forgotten' : statusOf(foundStatus(found))
}

const broadcastView = (broadcast: BroadcastKept) => ({
  id: broadcast.id,
  tag: broadcast.tag,
  state: broadcast.state,
  why: broadcast.why,
  name: broadcast.command.name,
  channel: broadcast.command.channel,
  askedBy: broadcast.askedBy,
  traceparent: broadcast.command.traceparent,
  createdAt: time(broadcast.createdAtMs),
  rate: broadcast.ratePerSecond,
  stopAfterFailures: broadcast.stopAfterFailures,
  devices: broadcast.devices,
  // Of one that was stopped nobody waits any more.
  waiting: broadcast.state === 'stopped' ? 0 : broadcast.waiting,
  notPlaced: broadcast.state === 'stopped' ? broadcast.waiting : 0,
  open: broadcast.open,
  ended: { ...broadcast.ended },
})
