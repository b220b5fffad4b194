import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { TraceQuery as Asked } from '../contract/index.ts'
import { jsonMediaType } from '../listen/payload.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { badField, refuse } from './problems.ts'
import { DevicePath } from './schemas.ts'
import { Shares } from './shares.ts'
import {
  Connection,
  ConnectionPath,
  ConnectionQuery,
  TracePage,
  TraceQuery,
} from './trace-schemas.ts'
import { TraceStream } from './trace-stream.ts'
import { connectionView, traceView } from './trace-view.ts'

const streamMediaType = 'text/event-stream'
const wholeNumber = /^[0-9]{1,15}$/
// RFC 3339 §5.6, as far as `Date.parse` knows it.
const pointInTime = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/

/** What happened last: of one device, over one connection. */
export function traceRoutes(app: App, context: ApiContext): void {
  const { gateway, names, auth } = context
  const streams = new Set<TraceStream>()
  const shares = new Shares(context.limits.streamsMax)

  app.get(
    '/v1/devices/:device/trace',
    {
      onRequest: auth.scope('devices'),
      schema: {
        summary: 'What happened last, of one device: frames and changes of state',
        description:
          'From the flight recorder, over all its connections and protocols. A page, newest last; or, with `Accept: text/event-stream`, server-sent events: what there is, then what comes. See docs/tracing.md.',
        tags: ['devices'],
        params: DevicePath,
        querystring: TraceQuery,
      },
      config: {
        problems: ['invalid-request', 'unknown-device', 'too-many-streams'],
        responses: {
          200: {
            description: 'A page, or a stream whose `data` is one entry each',
            content: {
              [jsonMediaType]: { schema: TracePage },
              [streamMediaType]: { schema: { type: 'string' } },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { query, key } = request
      const { device } = request.params
      const { payloads = false } = query
      if (payloads && !auth.stillValid(key, 'payloads')) return auth.refuse(reply, 'payloads')
      if ((await names.device(key.app, device)) === undefined)
        return refuse(reply, 'unknown-device')
      const since = sinceOf(query.since)
      if (since === undefined)
        return badField(reply, 'query', '/since', 'must be the id of an entry, or a time')
      const { connection } = query
      if (request.headers.accept?.includes(streamMediaType) === true)
        return stream(request, reply as unknown as FastifyReply, device, since, query)
      const trace = gateway.traces.trace(key.app, device, {
        ...since,
        limit: query.limit ?? apiBounds.pageItems,
        ...(connection !== undefined && { connection }),
      })
      return reply.send(traceView(trace, payloads) as never)
    },
  )

  app.get(
    '/v1/connections/:connection',
    {
      onRequest: auth.scope('devices'),
      schema: {
        summary: 'One connection: who, from where, since when, and what went over it last',
        description:
          'One that has ended is known as long as the flight recorder has entries of it. Only of devices of your app.',
        tags: ['devices'],
        params: ConnectionPath,
        querystring: ConnectionQuery,
      },
      config: {
        problems: ['invalid-request', 'unknown-connection'],
        responses: {
          200: {
            description: 'The connection',
            content: { [jsonMediaType]: { schema: Connection } },
          },
        },
      },
    },
    async (request, reply) => {
      const { key, query } = request
      const { payloads = false, limit = apiBounds.pageItems } = query
      if (payloads && !auth.stillValid(key, 'payloads')) return auth.refuse(reply, 'payloads')
      const { connection } = request.params
      const found = gateway.traces.connection(key.app, connection, limit)
      if (found === undefined) return refuse(reply, 'unknown-connection')
      return reply.send(connectionView(found, payloads) as never)
    },
  )

  app.addHook('preClose', async () => {
    for (const open of [...streams]) open.close()
  })

  function stream(
    request: FastifyRequest,
    reply: FastifyReply,
    device: string,
    since: Since,
    { connection, payloads = false, limit = apiBounds.pageItems }: Static<typeof TraceQuery>,
  ): FastifyReply {
    const { key } = request
    const { clock, holds } = context
    const { traces } = gateway
    const last = request.headers['last-event-id']
    if (last !== undefined && last !== '' && !(typeof last === 'string' && wholeNumber.test(last)))
      return badField(reply, 'header', '/last-event-id', 'is no id of an entry')
    if (holds.closed) return refuse(reply, 'stopping', undefined, 1000)
    if (!shares.take(key.app))
      return refuse(reply, 'too-many-streams', undefined, apiBounds.retryAfterSeconds * 1000)
    if (reply.raw.destroyed) {
      shares.release(key.app)
      return reply.hijack()
    }
    const asked = typeof last === 'string' && last !== '' ? { after: Number(last) } : since
    reply.hijack()
    reply.raw.writeHead(200, {
      'content-type': streamMediaType,
      'cache-control': 'no-store',
      // A proxy that collects an answer before it passes it on would make a stream useless.
      'x-accel-buffering': 'no',
    })
    const from = traces.trace(key.app, device, { ...asked, limit })
    const opened: TraceStream = new TraceStream(reply.raw, {
      app: key.app,
      device,
      connection,
      payloads,
      after: asked.after ?? (from.items[0] === undefined ? from.next : from.items[0].id - 1),
      ...{ traces, clock },
      allowed: () =>
        auth.stillValid(key, 'devices') && (!payloads || auth.stillValid(key, 'payloads')),
      ended: () => {
        streams.delete(opened)
        shares.release(key.app)
      },
    })
    streams.add(opened)
    return reply
  }
}

type Since = Pick<Asked, 'after' | 'sinceMs'>

/** @returns undefined where it is neither an id nor a time. */
function sinceOf(text: string | undefined): Since | undefined {
  if (text === undefined) return {}
  if (wholeNumber.test(text)) return { after: Number(text) }
  const sinceMs = pointInTime.test(text) ? Date.parse(text.toUpperCase()) : Number.NaN
  return Number.isNaN(sinceMs) ? undefined : { sinceMs }
}
