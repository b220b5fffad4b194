import { Readable } from 'node:stream'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { refuse } from './problems.ts'

const mediaType = 'application/octet-stream'

/** GET /v1/backup: everything of every app, as of one moment, while the gateway goes on. */
export function backupRoutes(app: App, { auth, backup, holds }: ApiContext): void {
  let running = 0

  app.get(
    '/v1/backup',
    {
      onRequest: auth.scope('admin'),
      schema: {
        summary: 'Everything that is kept, of every app, as one stream',
        description:
          'As of one moment; the gateway goes on. An answer that breaks off is no backup, and a restore refuses it.',
        tags: ['operation'],
      },
      config: {
        problems: ['not-supported', 'too-many-streams', 'store-unavailable', 'store-full'],
        responses: {
          200: {
            description: 'What a restore takes',
            content: { [mediaType]: { schema: { type: 'string', format: 'binary' } } },
          },
        },
      },
    },
    async (_request, reply) => {
      if (backup === undefined) return refuse(reply, 'not-supported')
      if (running >= apiBounds.backupsMax)
        return refuse(reply, 'too-many-streams', undefined, apiBounds.retryAfterSeconds * 1000)
      running++
      let stream: Readable
      try {
        const chunks = backup()[Symbol.asyncIterator]()
        // What cannot even begin can still be said as a problem.
        stream = Readable.from(from(await chunks.next(), chunks))
      } catch (error) {
        running--
        throw error
      }
      // An answer that breaks off cannot be taken for a whole one.
      const release = holds.add(() => reply.raw.destroy())
      stream.once('close', () => {
        release()
        running--
      })
      return reply.headers({ 'content-type': mediaType, 'cache-control': 'no-store' }).send(stream)
    },
  )
}

async function* from(
  first: IteratorResult<Uint8Array>,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}
