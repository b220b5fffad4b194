import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Limits, Position } from '../../src/contract/index.ts'
import { mainChannel } from '../../src/contract/index.ts'
import { httpBounds } from './bounds.ts'
import { readNumbering, readOffset } from './position.ts'
import { badField, type Refusal, refuse } from './problems.ts'
import { type Query, type Reception, wantsStream } from './receive.ts'
import { empty, receiveEvent, receiveEvents, receiveReply, type Sent } from './uplinks.ts'
import type { Visitor } from './visitors.ts'

/** The calls of a device. The page for firmware is `docs/http.md`. */
export function addRoutes(app: FastifyInstance, reception: Reception, limits: Limits): void {
  // For itself, and for devices it has been granted.
  for (const base of ['/device/v1', '/device/v1/devices/:device'])
    addDeviceRoutes(app, base, reception, limits)
}

function addDeviceRoutes(
  app: FastifyInstance,
  base: string,
  reception: Reception,
  limits: Limits,
): void {
  app.get(`${base}/commands`, (request, reply) => {
    reply.hijack()
    const query = queryOf(request)
    if (wantsStream(request.raw)) void reception.stream(request.visitor, query, reply.raw)
    else void reception.poll(request.visitor, query, reply.raw)
  })

  app.delete(`${base}/commands`, (request, reply) => {
    reply.hijack()
    reception.leave(request.visitor, queryOf(request))
    empty(reply.raw)
  })

  app.post(`${base}/acks`, (request, reply) => {
    reply.hijack()
    const refusal = acknowledge(request.visitor, queryOf(request))
    if (refusal === undefined) empty(reply.raw)
    else refuse(reply.raw, refusal)
  })

  app.post<{ Params: { id: string } }>(`${base}/replies/:id`, (request, reply) => {
    reply.hijack()
    void receiveReply(request.visitor, request.params.id, sentOf(request), limits, reply.raw)
  })

  app.post<{ Params: { type: string } }>(
    `${base}/events/:type`,
    { bodyLimit: limits.payloadMaxBytes },
    (request, reply) => {
      reply.hijack()
      void receiveEvent(request.visitor, request.params.type, sentOf(request), limits, reply.raw)
    },
  )

  app.post(`${base}/events`, { bodyLimit: httpBounds.eventsBodyMaxBytes }, (request, reply) => {
    reply.hijack()
    void receiveEvents(request.visitor, sentOf(request), limits, reply.raw)
  })
}

/**
 * `?epoch=&upTo=` for all up to there, `?epoch=&offset=` for one; neither is a sign of life, of the
 * receiver it names, and the answer to the probe it names.
 */
function acknowledge(visitor: Visitor, query: Query): Refusal | undefined {
  const { epoch, upTo, offset, probe, receiver } = query
  const links = [...visitor.links.values()]
  const ids = receiver?.split('.')
  if (ids !== undefined && !links.some(({ id }) => ids.includes(id)))
    return { problem: 'not-attached' }
  if (probe !== undefined) for (const link of links) link.probeAnswered(probe)
  const said = upTo ?? offset
  if (said === undefined) {
    return epoch === undefined ? undefined : badField('query', 'upTo', 'or offset goes with epoch')
  }
  if (upTo !== undefined && offset !== undefined)
    return badField('query', 'offset', 'stands beside upTo; say one of the two')
  const numbering = readNumbering(epoch ?? '', query.channel ?? mainChannel)
  if (numbering === undefined) return badField('query', 'epoch', 'is none that was given out')
  const place = readOffset(said)
  if (place === undefined)
    return badField('query', upTo === undefined ? 'offset' : 'upTo', 'must be a whole number')
  const link = visitor.links.get(numbering.channel)
  const position: Position = { epoch: numbering.epoch, offset: place }
  const outcome = link === undefined ? 'over' : link.acknowledge(position, upTo !== undefined)
  if (outcome === 'ok') return undefined
  if (outcome === 'over') return { problem: 'not-attached' }
  return { problem: 'not-sent', said: link!.standing }
}

/** Of a name that is there twice, the first. */
function queryOf({ query }: FastifyRequest): Query {
  const read: Record<string, string | undefined> = Object.create(null)
  for (const [name, value] of Object.entries(query as Record<string, string | string[]>))
    read[name] = typeof value === 'string' ? value : value[0]
  return read
}

const sentOf = (request: FastifyRequest): Sent => ({
  body: request.body as Buffer | undefined,
  contentType: request.headers['content-type'],
  stamp: headerOf(request, 'pike-stamp'),
  channel: queryOf(request).channel,
})

const headerOf = ({ headers }: FastifyRequest, name: string): string | undefined => {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.join(',')
}
