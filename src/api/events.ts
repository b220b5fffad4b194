import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { type EventKind, type EventPage, type EventQuery, eventKinds } from '../contract/index.ts'
import { jsonMediaType } from '../listen/payload.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { EventPageBody, EventsQuery } from './event-schemas.ts'
import { readSteps } from './event-steps.ts'
import { eventJson } from './event-view.ts'
import { Gate } from './gate.ts'
import { eventIdPattern } from './patterns.ts'
import { badField, refuse } from './problems.ts'
import { Shares } from './shares.ts'
import { EventStream } from './stream.ts'
import { keepTagged, readKept } from './tag-filter.ts'

type Query = Static<typeof EventsQuery>
interface Filter extends Pick<EventQuery, 'device' | 'kinds'> {
  readonly tag?: string
}

const eventId = new RegExp(eventIdPattern)
const known = new Set<string>(eventKinds)
const streamMediaType = 'text/event-stream'

/** GET /v1/events: as a page, or as server-sent events to whoever accepts those. */
export function eventRoutes(app: App, context: ApiContext): void {
  const { auth } = context
  const streams = new Set<EventStream>()
  const shares = new Shares(context.limits.streamsMax)

  app.get(
    '/v1/events',
    {
      onRequest: auth.scope('events'),
      schema: {
        summary: 'Read events: uplinks, replies, presence, outcomes',
        description:
          'A page from `after` on (without: from the oldest kept), or, with `Accept: text/event-stream`, server-sent events (without `Last-Event-ID` or `after`: from now on).',
        tags: ['events'],
        querystring: EventsQuery,
      },
      config: {
        problems: ['invalid-request', 'cursor-gone', 'too-many-streams'],
        responses: {
          200: {
            description: 'A page, or a stream whose `data` is one event each',
            content: {
              [jsonMediaType]: { schema: EventPageBody },
              [streamMediaType]: { schema: { type: 'string' } },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { query } = request
      const kinds = query.type?.flatMap((list) => list.split(','))
      const stranger = kinds?.find((kind) => !known.has(kind))
      if (stranger !== undefined)
        return badField(reply, 'query', '/type', `must be of ${eventKinds.join(', ')}`)
      const filter: Filter = {
        ...(query.device !== undefined && { device: query.device }),
        ...(kinds !== undefined && { kinds: kinds as EventKind[] }),
        ...(query.tag !== undefined && { tag: query.tag }),
      }
      if (request.headers.accept?.includes(streamMediaType) === true)
        return stream(
          context,
          streams,
          shares,
          request,
          reply as unknown as FastifyReply,
          query,
          filter,
        )
      return page(context, request, reply as unknown as FastifyReply, query, filter)
    },
  )

  app.addHook('preClose', async () => {
    for (const open of [...streams]) open.close()
  })
  app.decorate('eventStreams', () => streams.size)
}

async function page(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  query: Query,
  filter: Filter,
): Promise<FastifyReply> {
  const { clock, limits, holds } = context
  const limit = query.limit ?? apiBounds.pageItems
  const waitMs = Math.min((query.wait ?? 0) * 1000, limits.waitMaxMs)
  const found = await readHeld(context, request, reply, {
    ...filter,
    limit,
    untilMs: waitMs > 0 && holds.room ? clock.nowMs() + waitMs : 0,
    ...(query.after !== undefined && { after: query.after }),
  })
  if (found.kind === 'gone') return refuse(reply, 'cursor-gone', { oldest: found.oldest })
  let items = ''
  let next = found.next
  let { caughtUp } = found
  for (const [index, event] of found.items.entries()) {
    items += `${index === 0 ? '' : ','}${eventJson(event)}`
    if (items.length < apiBounds.pageMaxBytes || index === found.items.length - 1) continue
    next = event.id
    caughtUp = false
    break
  }
  return reply
    .header('content-type', jsonMediaType)
    .send(`{"items":[${items}],"next":"${next}","caughtUp":${caughtUp}}`)
}

/** Pages under way hold what they read until they are written. */
const pages = new Gate(apiBounds.pagesAtOnce)

/** One read; or, up to `untilMs`, as many as it takes to find something. */
async function readHeld(
  { events, names, feed, clock, holds }: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { untilMs, tag, ...query }: EventQuery & Filter & { readonly untilMs: number },
): Promise<EventPage> {
  const { app } = request.key
  const keep = tag === undefined ? undefined : keepTagged(names, app, tag)
  const read = (asked: EventQuery) =>
    pages.run(() =>
      keep === undefined ? readSteps(events, app, asked) : readKept(events, app, asked, keep),
    )
  let gone = false
  let wake: (() => void) | undefined
  const leave = () => {
    gone = true
    wake?.()
  }
  reply.raw.once('close', leave)
  const released = (release: () => void) => {
    wake = release
    return holds.add(release)
  }
  for (let after = query.after; ; ) {
    const version = feed.version(app)
    const found = await read(after === undefined ? query : { ...query, after })
    const over = gone || holds.closed || clock.nowMs() >= untilMs
    if (found.kind === 'gone' || found.items.length > 0 || over) return found
    after = found.next
    if (found.caughtUp) await feed.changed(app, version, untilMs, released)
  }
}

async function stream(
  context: ApiContext,
  streams: Set<EventStream>,
  shares: Shares,
  request: FastifyRequest,
  reply: FastifyReply,
  query: Query,
  filter: Filter,
): Promise<FastifyReply> {
  const { events, names, feed, clock, auth } = context
  const { key } = request
  const { tag, ...logFilter } = filter
  const last = request.headers['last-event-id']
  if (last !== undefined && last !== '' && !(typeof last === 'string' && eventId.test(last)))
    return badField(reply, 'header', '/last-event-id', 'is no event id')
  const asked = typeof last === 'string' && last !== '' ? last : query.after
  const after = asked ?? (await events.latest(key.app))
  if (asked !== undefined) {
    // Before the headers are out a lost cursor can still be said as a problem.
    const probe = await events.read(key.app, { after, limit: 1 })
    if (probe.kind === 'gone') return refuse(reply, 'cursor-gone', { oldest: probe.oldest })
  }
  if (context.holds.closed) return refuse(reply, 'stopping', undefined, 1000)
  if (!shares.hasRoom(key.app))
    return refuse(reply, 'too-many-streams', undefined, apiBounds.retryAfterSeconds * 1000)
  if (reply.raw.destroyed) return reply.hijack()
  shares.take(key.app)
  reply.hijack()
  reply.raw.writeHead(200, {
    'content-type': streamMediaType,
    'cache-control': 'no-store',
    // A proxy that collects an answer before it passes it on would make a stream useless.
    'x-accel-buffering': 'no',
  })
  const opened: EventStream = new EventStream(reply.raw, {
    app: key.app,
    filter: logFilter,
    ...(tag !== undefined && { keep: keepTagged(names, key.app, tag) }),
    after,
    events,
    feed,
    clock,
    allowed: () => auth.stillValid(key, 'events'),
    ended: () => {
      streams.delete(opened)
      shares.release(key.app)
    },
  })
  streams.add(opened)
  return reply
}
