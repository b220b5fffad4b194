import type { FastifyError } from 'fastify'
import { type ProblemName, Refused } from './problems.ts'

const byCode: Readonly<Record<string, ProblemName>> = Object.assign(Object.create(null), {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad-request',
})

/** What is wrong with a request that was refused before its route saw it; undefined: that is not it. */
export const problemOf = (error: Error): ProblemName | undefined =>
  error instanceof Refused ? error.problem : byCode[(error as FastifyError).code]
