import { backendBounds } from './bounds.ts'
import { devicePath } from './commands.ts'
import { PikeProblem } from './errors.ts'
import { retryDelayMs, sleep } from './retry.ts'
import { SseParser } from './sse.ts'
import { type CallOptions, passes, type Transport } from './transport.ts'
import type { Connection, Trace, TraceEntry } from './types.ts'

export interface TraceOptions extends CallOptions {
  /** The `id` of an entry or the `next` of a page: what came after it; or a time (RFC 3339). */
  readonly since?: string
  readonly limit?: number
  /** Only what went over this connection. */
  readonly connection?: string
  /** Show how payloads begin; needs the scope `payloads`. */
  readonly payloads?: boolean
}

const traceQuery = ({ since, limit, connection, payloads }: TraceOptions) => ({
  since,
  limit,
  connection,
  payloads: payloads === true ? 'true' : undefined,
})

export async function traceOf(
  transport: Transport,
  device: string,
  options: TraceOptions,
): Promise<Trace> {
  const { since, limit, connection, payloads, ...call } = options
  const { body } = await transport.call<Trace>('GET', `${devicePath(device)}/trace`, {
    ...call,
    headers: { accept: 'application/json' },
    query: traceQuery({
      ...(since !== undefined && { since }),
      ...(limit !== undefined && { limit }),
      ...(connection !== undefined && { connection }),
      ...(payloads !== undefined && { payloads }),
    }),
  })
  return body
}

/** undefined: no device of this app is or was there, as far as is remembered. */
export async function connectionOf(
  transport: Transport,
  token: string,
  { limit, payloads, ...call }: Omit<TraceOptions, 'since' | 'connection'>,
): Promise<Connection | undefined> {
  const path = `/v1/connections/${encodeURIComponent(token)}`
  const query = { limit, payloads: payloads === true ? 'true' : undefined }
  const answer = await transport.call<Connection>('GET', path, { ...call, query, expected: [404] })
  return answer.status === 404 ? undefined : answer.body
}

/**
 * What there is, then what comes, until `signal` ends it. It comes back by itself; a gateway that
 * started anew begins with what it remembers.
 */
export async function* followTrace(
  transport: Transport,
  device: string,
  options: TraceOptions,
): AsyncGenerator<TraceEntry> {
  const { signal } = options
  let last: string | undefined
  let failures = 0
  for (;;) {
    let abort: ((why: Error) => void) | undefined
    try {
      const opened = await transport.open(`${devicePath(device)}/trace`, {
        query: traceQuery(options),
        headers: {
          accept: 'text/event-stream',
          ...(last !== undefined && { 'last-event-id': last }),
        },
        ...(signal !== undefined && { signal }),
      })
      abort = opened.abort
      const parser = new SseParser()
      for await (const chunk of silenced(opened.response.body!, opened.abort)) {
        for (const { id, data } of parser.push(chunk)) {
          if (data !== '') yield JSON.parse(data) as TraceEntry
          last = id ?? last
        }
        failures = 0
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      if (error instanceof PikeProblem && !passes(error.status)) throw error
      if (last === undefined && (transport.retry.failFast || failures >= transport.retry.tries))
        throw error
    } finally {
      abort?.(new Error('closed'))
    }
    failures++
    await sleep(retryDelayMs(transport.retry, failures, undefined), signal)
  }
}

/** A stream that says nothing for long, not even that it lives, is over. */
async function* silenced(
  body: ReadableStream<Uint8Array>,
  abort: (why: Error) => void,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  const { streamSilentMs } = backendBounds
  for (;;) {
    const timer = setTimeout(() => abort(new Error('silent')), streamSilentMs)
    try {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    } finally {
      clearTimeout(timer)
    }
  }
}
