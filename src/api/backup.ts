import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { Clock, Timer } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { refuse } from './problems.ts'

const mediaType = 'application/octet-stream'

/** GET /v1/backup: everything of every app, as of one moment, while the gateway goes on. */
export function backupRoutes(app: App, { auth, backup, holds, clock }: ApiContext): void {
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
      const patience = new Patience(clock, reply.raw)
      let stream: Readable
      try {
        const chunks = backup()[Symbol.asyncIterator]()
        // What cannot even begin can still be said as a problem.
        stream = Readable.from(from(await chunks.next(), chunks, patience))
      } catch (error) {
        running--
        throw error
      }
      // An answer that breaks off cannot be taken for a whole one.
      const release = holds.add(() => reply.raw.destroy())
      stream.once('close', () => {
        release()
        patience.end()
        running--
      })
      return reply.headers({ 'content-type': mediaType, 'cache-control': 'no-store' }).send(stream)
    },
  )
}

async function* from(
  first: IteratorResult<Uint8Array>,
  rest: AsyncIterator<Uint8Array>,
  patience: Patience,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await rest.next()) {
      patience.begin()
      yield next.value
      patience.end()
    }
    // What is handed over may not be taken yet.
    patience.begin()
  } finally {
    await rest.return?.()
  }
}

/** With a reader who takes nothing of what lies there for it: it would keep the others out for ever. */
class Patience {
  readonly #clock: Clock
  readonly #response: ServerResponse
  #timer: Timer | undefined

  constructor(clock: Clock, response: ServerResponse) {
    this.#clock = clock
    this.#response = response
    response.on('drain', () => {
      if (this.#timer !== undefined) this.begin()
    })
  }

  begin(): void {
    this.end()
    const atMs = this.#clock.nowMs() + apiBounds.streamStalledMs
    this.#timer = this.#clock.at(atMs, 'stalled backup', () => this.#response.destroy())
  }

  end(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
