import fastify, { type FastifyError, type FastifyReply, type FastifyRequest } from 'fastify'
import { StoreUnavailable } from '../contract/index.ts'
import type { Addresses } from '../listen/addresses.ts'
import type { Arrivals } from '../listen/arrivals.ts'
import type { Connections } from '../listen/connections.ts'
import { framingFault } from '../listen/framing.ts'
import { Methods } from '../listen/methods.ts'
import type { Turns } from '../listen/turns.ts'
import { parseBody } from './body.ts'
import { apiBounds } from './bounds.ts'
import type { ApiDeps, ApiTimes, App } from './context.ts'
import { problemOf } from './faults.ts'
import type { Holds } from './holds.ts'
import { mediaTypeSaid } from './media-types.ts'
import { type Refusal, Refused, refuse, refuseWith } from './problems.ts'
import './request.ts'
import { validatorCompiler } from './validation.ts'

const retryMs = apiBounds.retryAfterSeconds * 1000

/** An HTTP server that answers everything wrong with a problem and has no other opinion. */
export function createServer(
  { limits, log, deviceDoors = [] }: Pick<ApiDeps, 'limits' | 'log' | 'deviceDoors'>,
  parts: {
    readonly holds: Holds
    readonly arrivals: Arrivals
    readonly connections: Connections
    readonly addresses: Addresses
    readonly turns: Turns
    readonly times: ApiTimes
  },
): App {
  const { holds, arrivals, connections, addresses, turns, times } = parts
  const app: App = fastify({
    // No line per request: whoever wants to know reads /metrics.
    logger: false,
    exposeHeadRoutes: false,
    bodyLimit: limits.bodyMaxBytes,
    routerOptions: { maxParamLength: apiBounds.pathPartMaxChars },
    // Bodies are timed by `Arrivals`, since some may last.
    requestTimeout: 0,
    keepAliveTimeout: apiBounds.keepAliveTimeoutMs,
    // A held call is silent for as long as it is held.
    connectionTimeout: limits.waitMaxMs + apiBounds.silentTimeoutMs,
    http: {
      headersTimeout: times.headersTimeoutMs,
      connectionsCheckingInterval: times.timeoutsCheckMs,
    },
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => connections.failed(error, socket),
    frameworkErrors: (error, _request, reply) => {
      const tooLong = error.code === 'FST_ERR_MAX_PARAM_LENGTH'
      refuse(reply, tooLong ? 'path-too-long' : 'bad-request')
    },
  }) as unknown as App
  arrivals.watch(app.server)
  turns.guard(app.server)
  connections.watch(app.server)
  addresses.guard(app.server)
  app.server.maxHeadersCount = apiBounds.headersMaxCount + 1
  const methods = new Methods()
  app.addHook('onRoute', ({ method, url }) => methods.add(method, url))
  const unknownCall = (request: FastifyRequest, reply: FastifyReply): Refusal => {
    const path = request.url.split('?', 1)[0]!
    const allowed = methods.of(path)
    const detail = `${request.method} ${shortPath(request.url)}`
    if (/^\/device(?:\/|$)/.test(path)) return wrongDoor(detail, deviceDoors)
    // A path that takes this method and has nothing there: a file of a folder.
    if (allowed.length === 0 || allowed.includes(request.method))
      return { problem: 'not-found', said: { detail } }
    const allow = allowed.join(', ')
    reply.header('allow', allow)
    return {
      problem: 'method-not-allowed',
      said: { detail: `${detail}: this path takes ${allow}` },
    }
  }
  app.addHook('onRequest', (request, reply, done) => {
    const fault = framingFault(request.raw, apiBounds.headersMaxCount)
    if (fault === undefined) done()
    else refuseWith(reply.header('connection', 'close'), fault)
  })
  app.addHook('preParsing', (request, reply, payload, done) => {
    // Nobody's body is read for nothing.
    if (request.is404) refuseWith(reply, unknownCall(request, reply))
    else if (isJson(request.headers['content-type'])) {
      if (request.key === null || arrivals.admit(request.raw, request.key.app, limits.bodyMaxBytes))
        done(null, payload)
      else refuse(reply, 'too-many-bodies', undefined, retryMs)
    } else {
      if (request.routeOptions.config.takes !== undefined) arrivals.lasts(request.raw)
      done(null, payload)
    }
  })
  app.addHook('preValidation', (request, _reply, done) => {
    arrivals.read(request.raw)
    done()
  })
  app.decorateRequest('key', null as never)
  app.decorateRequest('sent', undefined)
  app.setValidatorCompiler(validatorCompiler)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) =>
    parseBody(request, bytes as Buffer, done),
  )
  app.setNotFoundHandler((request, reply) => refuseWith(reply, unknownCall(request, reply)))
  app.setErrorHandler((error: Error, request, reply) => {
    if (error instanceof Refused) return refuse(reply, error.problem, error.said)
    if (error instanceof StoreUnavailable)
      return refuse(reply, error.full ? 'store-full' : 'store-unavailable', undefined, retryMs)
    const known = problemOf(error)
    if (known === 'unsupported-media-type') {
      const { takes } = request.routeOptions.config
      return refuse(reply, known, mediaTypeSaid(request.headers['content-type'], takes))
    }
    if (known === 'body-too-large')
      return refuse(reply, known, { detail: `at most ${limits.bodyMaxBytes} bytes` })
    if (known !== undefined) return refuse(reply, known)
    const status = (error as FastifyError).statusCode
    if (status !== undefined && status >= 400 && status < 500) return refuse(reply, 'bad-request')
    // Ours. The path names no secret; headers and body might.
    log?.error({ err: error, method: request.method, path: shortPath(request.url) }, 'call failed')
    return refuse(reply, 'internal')
  })
  app.addHook('preClose', async () => holds.close())
  app.addHook('onClose', async () => arrivals.close())
  return app
}

/** A device, or who tries one out, asked where back ends ask. */
function wrongDoor(asked: string, doors: NonNullable<ApiDeps['deviceDoors']>): Refusal {
  const where = doors.map(({ name, port }) => `port ${port} (${name})`).join(' or ')
  const message =
    where === ''
      ? 'is for devices, and this gateway answers none over HTTP: PIKE_HTTP_PORT is off'
      : `is for devices: ask ${where}; here back ends are answered, under /v1`
  const errors = [{ in: 'path', path: '/device', message }] as const
  return { problem: 'not-found', said: { detail: `${asked}: ${message}`, errors } }
}

const isJson = (contentType: string | undefined): boolean =>
  contentType !== undefined && /^application\/json/i.test(contentType)

const shortPath = (url: string): string => {
  const path = url.split('?', 1)[0]!
  return path.length > 200 ? `${path.slice(0, 200)}…` : path
}
