import type { Readable } from 'node:stream'
import { apiBounds } from './bounds.ts'
import { Chunks } from './chunks.ts'
import type { ApiContext, App } from './context.ts'
import { JsonDevices } from './device-lines.ts'
import type { DeviceRecords } from './device-records.ts'
import { CsvDevices } from './device-rows.ts'
import { mediaTypeSaid } from './media-types.ts'
import { refuse, refuseWith } from './problems.ts'
import { linesMediaType, serveRegister } from './register-call.ts'
import { DeviceLine, DeviceLineAnswer, DeviceRows } from './register-schemas.ts'
import { Shares } from './shares.ts'

const rowsMediaType = 'text/csv'

/** POST /v1/devices: many at once, answered line by line as they are kept. */
export function registerRoutes(app: App, context: ApiContext, records: DeviceRecords): void {
  const { auth, limits, holds, log } = context
  const calls = new Shares(limits.lineCallsMax)
  const retryMs = apiBounds.retryAfterSeconds * 1000

  app.register(async (scope) => {
    // Here, and only here, such a body is read as it comes.
    scope.removeAllContentTypeParsers()
    for (const type of [linesMediaType, rowsMediaType])
      scope.addContentTypeParser(type, (_request, body, done) => done(null, body))
    scope.post(
      '/v1/devices',
      {
        onRequest: auth.scope('devices'),
        schema: {
          summary: 'Register or change many devices',
          description:
            'Each line as PUT /v1/devices/{device}: existing devices are changed, new ones without `secret` are given one. Answered in the same order, each line once it is kept; a bad line fails alone. Of a device given twice the later line wins. Read the answers while you write: what is answered and not taken keeps the rest from being read.',
          tags: ['devices'],
        },
        config: {
          problems: ['invalid-request', 'unsupported-media-type', 'too-many-streams'],
          takes: { [linesMediaType]: DeviceLine, [rowsMediaType]: DeviceRows },
          responses: {
            200: {
              description: 'One line for each',
              content: { [linesMediaType]: { schema: DeviceLineAnswer } },
            },
          },
        },
      },
      async (request, reply) => {
        const body = request.body as Readable | undefined
        if (body === undefined) {
          const { headers, routeOptions } = request
          const said = mediaTypeSaid(headers['content-type'], routeOptions.config.takes)
          return refuse(reply, 'unsupported-media-type', said)
        }
        if (holds.closed) return refuse(reply, 'stopping', undefined, retryMs)
        if (!calls.take(request.key.app))
          return refuse(reply, 'too-many-streams', undefined, retryMs)
        const chunks = new Chunks(body)
        const forget = holds.add(() => chunks.stop('stopping'))
        try {
          const isRows = request.headers['content-type']!.toLowerCase().startsWith(rowsMediaType)
          const source = isRows
            ? new CsvDevices(chunks, limits.bodyMaxBytes)
            : new JsonDevices(chunks, limits.bodyMaxBytes)
          const fault = await source.begin()
          if (fault !== undefined) {
            chunks.stop('bad-request')
            body.resume()
            return refuseWith(reply, fault)
          }
          reply.hijack()
          const call = { context, records, key: request.key, chunks, source }
          await serveRegister(call, request.raw, reply.raw)
        } catch (error) {
          if (!reply.sent) throw error
          log?.error({ err: error }, 'registering devices failed')
          reply.raw.destroy()
        } finally {
          forget()
          calls.release(request.key.app)
        }
        return reply
      },
    )
  })
}
