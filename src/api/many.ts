import { linesMediaType } from '../listen/lines.ts'
import { apiBounds } from './bounds.ts'
import type { Callbacks } from './callbacks.ts'
import { CommandLine, LineAnswer } from './command-schemas.ts'
import type { ApiContext, App } from './context.ts'
import { LineCall } from './line-call.ts'
import { badField, refuse } from './problems.ts'
import { Shares } from './shares.ts'
import { traceparentOf } from './traceparent.ts'

/** POST /v1/commands: many at once, one a line, answered line by line (rule 29). */
export function manyRoutes(app: App, context: ApiContext, callbacks: Callbacks): void {
  const { auth, limits, names } = context
  const calls = new Shares(limits.lineCallsMax)
  app.decorate('lineCalls', () => calls.taken)

  app.register(async (scope) => {
    // Here, and only here, such a body is read as it comes.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(linesMediaType, (_request, _body, done) => done(null))
    scope.post(
      '/v1/commands',
      {
        onRequest: auth.scope('commands'),
        schema: {
          summary: 'Send many commands, one a line',
          description: `Answered line by line, in the same order, each once its command is kept; a bad line fails alone, and nothing is undone. At most ${limits.linesMaxPending} lines are read ahead of their answers, so read the answers while you write. Keys are per line: \`idempotencyKey\`. An answer to a line that was not sent, with a problem, ends the call: from that line on nothing was read.`,
          tags: ['commands'],
        },
        config: {
          problems: ['invalid-request', 'unsupported-media-type', 'too-many-streams'],
          takes: { [linesMediaType]: CommandLine },
          responses: {
            200: {
              description: 'One line for each',
              content: { [linesMediaType]: { schema: LineAnswer } },
            },
          },
        },
      },
      async (request, reply) => {
        if (request.headers['idempotency-key'] !== undefined) {
          const message = 'is per line here: idempotencyKey'
          return badField(reply, 'header', '/idempotency-key', message)
        }
        const { key } = request
        const quota = (await names.app(key.app))?.quota
        if (context.holds.closed) return refuse(reply, 'stopping', undefined, retryAfterMs)
        if (!calls.hasRoom(key.app))
          return refuse(reply, 'too-many-streams', undefined, retryAfterMs)
        reply.hijack()
        if (reply.raw.destroyed) return reply
        calls.take(key.app)
        new LineCall(request.raw, reply.raw, {
          context,
          callbacks,
          traceparent: traceparentOf(request.headers.traceparent),
          key,
          paced: quota?.commandsPerSecond !== undefined,
          ended: () => calls.release(key.app),
        })
        return reply
      },
    )
  })
}

const retryAfterMs = apiBounds.retryAfterSeconds * 1000
