import type { Socket } from 'node:net'
import fastify, { type FastifyError } from 'fastify'
import { StoreUnavailable } from '../contract/index.ts'
import { parseBody } from './body.ts'
import { apiBounds } from './bounds.ts'
import type { ApiDeps, App } from './context.ts'
import type { Holds } from './holds.ts'
import {
  type ProblemName,
  problemJson,
  problemMediaType,
  problems,
  Refused,
  refuse,
} from './problems.ts'
import './request.ts'
import { validatorCompiler } from './validation.ts'

const retryMs = apiBounds.retryAfterSeconds * 1000

/** An HTTP server that answers everything wrong with a problem and has no other opinion. */
export function createServer({ limits, log }: Pick<ApiDeps, 'limits' | 'log'>, holds: Holds): App {
  const app: App = fastify({
    // No line per request: whoever wants to know reads /metrics.
    logger: false,
    exposeHeadRoutes: false,
    bodyLimit: limits.bodyMaxBytes,
    routerOptions: { maxParamLength: apiBounds.pathPartMaxChars },
    requestTimeout: apiBounds.requestTimeoutMs,
    keepAliveTimeout: apiBounds.keepAliveTimeoutMs,
    // A held call is silent for as long as it is held.
    connectionTimeout: limits.waitMaxMs + apiBounds.silentTimeoutMs,
    http: {
      headersTimeout: apiBounds.headersTimeoutMs,
      connectionsCheckingInterval: apiBounds.timeoutsCheckMs,
    },
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, _request, reply) => {
      const tooLong = error.code === 'FST_ERR_MAX_PARAM_LENGTH'
      refuse(reply, tooLong ? 'path-too-long' : 'bad-request')
    },
  }) as unknown as App
  app.server.maxConnections = apiBounds.connectionsMax
  app.decorateRequest('key', null as never)
  app.decorateRequest('sent', undefined)
  app.setValidatorCompiler(validatorCompiler)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) =>
    parseBody(request, bytes as Buffer, done),
  )
  app.setNotFoundHandler((request, reply) =>
    refuse(reply, 'not-found', { detail: `${request.method} ${shortPath(request.url)}` }),
  )
  app.setErrorHandler((error: Error, request, reply) => {
    if (error instanceof Refused) return refuse(reply, error.problem, error.said)
    if (error instanceof StoreUnavailable)
      return refuse(reply, error.full ? 'store-full' : 'store-unavailable', undefined, retryMs)
    const known = byCode[(error as FastifyError).code]
    if (known !== undefined) return refuse(reply, known)
    const status = (error as FastifyError).statusCode
    if (status !== undefined && status >= 400 && status < 500) return refuse(reply, 'bad-request')
    // Ours. The path names no secret; headers and body might.
    log?.error({ err: error, method: request.method, path: shortPath(request.url) }, 'call failed')
    return refuse(reply, 'internal')
  })
  app.addHook('preClose', async () => holds.close())
  return app
}

const byCode: Readonly<Record<string, ProblemName>> = Object.assign(Object.create(null), {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad-request',
})

const shortPath = (url: string): string => {
  const path = url.split('?', 1)[0]!
  return path.length > 200 ? `${path.slice(0, 200)}…` : path
}

/** What is no HTTP, or comes too slowly or too large, before there is a request. */
function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const name: ProblemName =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? 'request-timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? 'headers-too-large'
        : 'bad-request'
  if (socket.writable) {
    const body = problemJson(name)
    socket.write(
      `HTTP/1.1 ${problems[name].status} ${reasonPhrases[name]}\r\ncontent-type: ${problemMediaType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    )
  }
  socket.destroySoon()
}

const reasonPhrases: Readonly<Record<string, string>> = {
  'request-timeout': 'Request Timeout',
  'headers-too-large': 'Request Header Fields Too Large',
  'bad-request': 'Bad Request',
}
