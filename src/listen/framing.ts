import type { IncomingMessage } from 'node:http'
import type { Said } from './problem.ts'

/** Why a request is not taken, as a problem of whoever listens. */
export interface FramingFault {
  readonly problem: 'bad-request' | 'headers-too-large'
  readonly said?: Said
}

/**
 * What Node's parser lets through and another server on the way may understand differently: where two
 * do not agree on where a request ends, one of them can be made to take a part of its body for the
 * next request. Whatever is refused here ends its connection.
 */
export function framingFault(
  request: IncomingMessage,
  headersMaxCount: number,
): FramingFault | undefined {
  const { rawHeaders, headers, httpVersion } = request
  if (rawHeaders.length > headersMaxCount * 2) return { problem: 'headers-too-large' }
  // HTTP/0.9 has neither headers nor a status.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return bad('HTTP/1.1 is spoken here')
  const coding = headers['transfer-encoding']
  if (coding !== undefined) {
    // RFC 9112 §6.1
    if (httpVersion === '1.0') return bad('HTTP/1.0 knows no Transfer-Encoding')
    if (coding.toLowerCase() !== 'chunked') return bad('only chunked is known here')
  }
  // RFC 9112 §3.2
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1 ? bad('more than one Host') : undefined
}

const bad = (detail: string): FramingFault => ({ problem: 'bad-request', said: { detail } })
