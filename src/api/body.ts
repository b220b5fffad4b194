import type { FastifyRequest } from 'fastify'
import { readJson } from '../listen/json.ts'
import { Refused } from './problems.ts'

/**
 * The body parser. `__proto__` and `constructor` become ordinary members (JSON.parse defines, it
 * does not assign), so nothing needs to be refused for its name; schemas decide.
 */
export function parseBody(
  request: FastifyRequest,
  bytes: Buffer,
  done: (error: Error | null, body?: unknown) => void,
): void {
  // A DELETE with a content type and nothing behind it is common.
  if (bytes.length === 0) {
    done(null, undefined)
    return
  }
  const read = readJson(bytes)
  if ('problem' in read) {
    done(new Refused(read.problem, read.said))
    return
  }
  request.sent = read.sent
  done(null, read.value)
}
