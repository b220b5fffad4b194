import { Type } from 'typebox'
import { endStatuses, identifierPattern } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'

/*
 * The one source of validation, types and OpenAPI. What has a `title` becomes a component of that
 * name in /openapi.json.
 */

/** A misspelled field is an error, not a field left out. */
export const closed = { additionalProperties: false } as const

export const Identifier = Type.String({
  pattern: identifierPattern,
  description: 'A letter or digit, then letters, digits and . _ ~ -; at most 128.',
})
export const Time = Type.String({ format: 'date-time', description: 'RFC 3339, UTC' })
export const Nullable = <T extends ReturnType<typeof Type.String>>(schema: T) =>
  Type.Union([schema, Type.Null()])

export const DevicePath = Type.Object({ device: Identifier })
export const CommandPath = Type.Object({ command: Type.String({ description: 'A command id.' }) })

export const pageLimit = Type.Optional(
  Type.Integer({ minimum: 1, maximum: apiBounds.pageMaxItems, default: apiBounds.pageItems }),
)

export const Status = Type.Enum(['queued', 'sent', ...endStatuses], {
  description: 'The words are explained in docs/back-end.md.',
})

export const ReplyStatus = Type.Enum(['done', 'failed', 'rejected'])
export const Step = Type.Object({
  status: Status,
  at: Time,
  reason: Type.Optional(Type.String()),
  late: Type.Optional(
    Type.Literal(true, { description: 'proof that came after the end; the outcome stays' }),
  ),
})
export const payloadFields = {
  payload: Type.Optional(Type.Unknown({ description: 'where it is JSON' })),
  payloadBase64: Type.Optional(Type.String({ description: 'where it is not' })),
  contentType: Type.Optional(Type.String()),
}

export const Problem = Type.Object(
  {
    type: Type.String({ description: '/problems/{name}; also a page' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.Optional(Type.String()),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          in: Type.Enum(['body', 'query', 'path', 'header']),
          path: Type.String({ description: 'JSON pointer' }),
          message: Type.String(),
        }),
      ),
    ),
  },
  { title: 'Problem', description: 'RFC 9457; some types say more' },
)

export const Health = Type.Object({ status: Type.Literal('ok'), version: Type.String() })
export const Ready = Type.Object({ status: Type.Literal('ready') })
export const DrainView = Type.Object(
  {
    state: Type.Enum(['open', 'draining', 'drained']),
    since: Type.Optional(Type.String({ format: 'date-time' })),
    until: Type.Optional(
      Type.String({ format: 'date-time', description: 'then the rest is hung up on' }),
    ),
    sessions: Type.Integer({ description: 'when it began; while it is open, now' }),
    left: Type.Integer(),
    comeBackWithin: Type.Optional(
      Type.Number({ description: 'over so many seconds those sent away were told to come back' }),
    ),
  },
  { title: 'Drain' },
)
export const ProblemPage = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  advice: Type.String(),
})
