import type { KeyRecord } from '../contract/index.ts'
import type { SentBody } from '../listen/json.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; set by the scope hook of every route under /v1. */
    key: KeyRecord
    /** The body as it came; undefined without one. */
    sent: SentBody | undefined
  }
}
