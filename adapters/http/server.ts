import type { ServerOptions } from 'node:https'
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import { type Core, isIdentifier } from '../../src/contract/index.ts'
import type { Addresses } from '../../src/listen/addresses.ts'
import { Arrivals } from '../../src/listen/arrivals.ts'
import { Connections } from '../../src/listen/connections.ts'
import { framingFault } from '../../src/listen/framing.ts'
import { Methods } from '../../src/listen/methods.ts'
import type { Turns } from '../../src/listen/turns.ts'
import type { Doorman } from './auth.ts'
import { httpBounds } from './bounds.ts'
import { problemJson, type Refusal, refusalOf, refuse } from './problems.ts'
import { traceRequest } from './trace.ts'
import type { Visitor, Visitors } from './visitors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; proved before anything else of a request is looked at. */
    visitor: Visitor
  }
}

export interface Lobby {
  readonly core: Core
  readonly doorman: Doorman
  readonly visitors: Visitors
  readonly addresses: Addresses
  readonly turns: Turns
  /** Before whoever comes too often is told so. */
  pause(): Promise<void>
  isClosing(): boolean
  /** It speaks for a device it may not speak for. */
  ungranted(): Refusal
  failed(error: Error): void
}

/** An HTTP server that lets in who has proved itself, and answers everything wrong with a problem. */
export function createServer(lobby: Lobby, tls: ServerOptions | undefined): FastifyInstance {
  const { core, doorman, visitors } = lobby
  const { limits, clock } = core
  const connections = new Connections(problemJson)
  const socketTimeoutMs = limits.waitMaxMs + httpBounds.silentTimeoutMs
  const bounds = {
    bodiesMaxBytes: httpBounds.bodiesMaxBytes,
    requestTimeoutMs: httpBounds.bodyTimeoutMs,
    lineIdleTimeoutMs: httpBounds.bodyTimeoutMs,
    timeoutsCheckMs: httpBounds.timeoutsCheckMs,
    socketTimeoutMs,
  }
  const arrivals = new Arrivals(clock, bounds, (socket) => connections.tooSlow(socket))
  // Fastify hands on what stands under `http` to that server alone.
  const times = {
    headersTimeout: httpBounds.headersTimeoutMs,
    connectionsCheckingInterval: httpBounds.timeoutsCheckMs,
  }
  const app = fastify({
    ...(tls === undefined ? { http: times } : { https: { ...tls, ...times } }),
    logger: false,
    exposeHeadRoutes: false,
    bodyLimit: httpBounds.eventsBodyMaxBytes,
    routerOptions: { maxParamLength: httpBounds.pathPartMaxChars },
    // Bodies are timed by `Arrivals`.
    requestTimeout: 0,
    keepAliveTimeout: httpBounds.keepAliveTimeoutMs,
    // A poll is silent for as long as it waits.
    connectionTimeout: socketTimeoutMs,
    return503OnClosing: false,
    clientErrorHandler: (error: Error & { code?: string }, socket: never) =>
      connections.failed(error, socket),
    frameworkErrors: (error: FastifyError, _request: unknown, reply: { raw: never }) => {
      const tooLong = error.code === 'FST_ERR_MAX_PARAM_LENGTH'
      refuse(reply.raw, { problem: tooLong ? 'path-too-long' : 'bad-request' })
    },
  } as never) as unknown as FastifyInstance
  const { server } = app
  server.maxHeadersCount = httpBounds.headersMaxCount + 1
  arrivals.watch(server)
  lobby.turns.guard(server)
  connections.watch(server)
  lobby.addresses.guard(server)
  const methods = new Methods()
  app.addHook('onRoute', ({ method, url }) => methods.add(method, url))
  app.decorateRequest('visitor', null as never)
  app.addHook('onRequest', async (request, reply) => {
    const refusal =
      framingFault(request.raw, httpBounds.headersMaxCount) ?? (await enter(request, reply))
    if (refusal === undefined) return
    if (refusal.problem === 'rate-limited') await lobby.pause()
    reply.hijack()
    refuse(reply.raw, refusal)
  })
  const enter = async (
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<Refusal | undefined> => {
    if (lobby.isClosing()) return refusalOf('going-away')
    const peer = request.raw.socket.remoteAddress ?? 'unknown'
    const proved = doorman.prove(request.headers.authorization, peer)
    const who = proved instanceof Promise ? await proved : proved
    if ('problem' in who) return who
    const { device } = request.params as { device?: string }
    if (device === undefined || device === who.device) {
      request.visitor = visitors.come(who.app, who.device, peer)
    } else {
      // One it was not granted and one that is not there are refused alike (rule 31).
      if (!isIdentifier(device) || !(await core.grants(who.app, who.device, device)))
        return lobby.ungranted()
      request.visitor = visitors.come(who.app, device, peer, who.device)
    }
    // By which it can be traced.
    reply.raw.setHeader('pike-connection', request.visitor.trail.token)
    return undefined
  }
  app.addHook('preParsing', async (request, reply) => {
    if (arrivals.admit(request.raw, request.visitor.app, httpBounds.eventsBodyMaxBytes)) return
    reply.hijack()
    refuse(reply.raw, refusalOf('overloaded', 1_000))
  })
  app.addHook('preValidation', async (request) => {
    arrivals.read(request.raw)
    traceRequest(request)
  })
  app.addHook('onResponse', async (request, reply) => {
    // Who has not proved itself is recorded nowhere: it has no connection of its own.
    if (request.visitor === null) return
    request.visitor.trail.frame('out', `${reply.raw.statusCode}`, 0, {
      name: request.routeOptions.url,
    })
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.setNotFoundHandler((request, reply) => {
    reply.hijack()
    const allowed = methods.of(request.url.split('?', 1)[0]!)
    if (allowed.length > 0) reply.raw.setHeader('allow', allowed.join(', '))
    refuse(reply.raw, { problem: allowed.length > 0 ? 'method-not-allowed' : 'not-found' })
  })
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    reply.hijack()
    if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
      return refuse(reply.raw, refusalOf('too-large'))
    const { statusCode } = error
    if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
      return refuse(reply.raw, { problem: 'bad-request' })
    lobby.failed(error)
    return refuse(reply.raw, { problem: 'internal' })
  })
  app.addHook('onClose', async () => arrivals.close())
  return app
}
