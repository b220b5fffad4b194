import { isRecord, PikeProblem, PikeUnreachable } from './errors.ts'
import { type Line, LineSource, Unanswered } from './line-queue.ts'
import { LineCall } from './lines.ts'
import { abortable, retryDelayMs, sleep } from './retry.ts'
import { passes, problemOf, type Transport, undone } from './transport.ts'

export interface Exchange<Entry extends Line> {
  readonly path: string
  readonly contentType: string
  /** Begins every body: the header row of CSV. */
  readonly head?: string
  readonly lines: AsyncIterator<Entry>
  readonly signal?: AbortSignal
}

export interface Answered<Entry> {
  readonly entry: Entry
  readonly answer: Record<string, unknown>
  /** It was sent before over a connection that broke, so an earlier sending may have been carried out. */
  readonly repeated: boolean
}

/**
 * Sends lines and gives their answers in order, over as many connections as it takes.
 *
 *     source ──▶ | unanswered: kept here |
 *                  └─▶ written ──▶ gateway ──▶ answers ──▶ the oldest leaves, with its answer
 *
 * When a connection breaks, those unanswered are written again over the next. The gateway answers
 * in order, so an answer is always the oldest's.
 */
export async function* exchange<Entry extends Line>(
  transport: Transport,
  options: Exchange<Entry>,
): AsyncGenerator<Answered<Entry>> {
  const { signal } = options
  const source = new LineSource(options.lines)
  const held = new Unanswered<Entry>()
  let failures = 0
  let untilMs = 0
  try {
    while (held.length > 0 || (await abortable(source.peek(), signal)) !== undefined) {
      signal?.throwIfAborted()
      const call = new LineCall(transport, options.path, options.contentType, signal)
      void pump(call, options.head, source, held)
      let failure: unknown
      try {
        for await (const text of call.answers(() => held.length > 0)) {
          const answer = JSON.parse(text) as Record<string, unknown>
          failure = endOf(transport.url, answer)
          const one = failure === undefined ? held.shift() : undefined
          // What came before this is answered; from here on lines are sent again, or it is an error.
          if (one === undefined) break
          failures = 0
          yield { entry: one.entry, answer, repeated: one.repeated }
        }
        if (held.length > 0) failure ??= new PikeUnreachable(transport.url, new Error('cut short'))
      } catch (error) {
        failure = transport.failure(error, signal)
      } finally {
        call.close()
        held.disconnected()
      }
      if (signal?.aborted) throw signal.reason
      // A call that was idle for long is ended by the gateway: another is made when there is need.
      if (failure === undefined || (held.length === 0 && isPassing(failure))) continue
      if (wasNotRead(failure)) held.unsent()
      if (++failures === 1) untilMs = performance.now() + transport.retry.forMs
      await again(transport, failure, failures, untilMs, signal)
    }
    if (source.failed) throw source.error
  } finally {
    source.close()
  }
}

async function again(
  { retry }: Transport,
  failure: unknown,
  failures: number,
  untilMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (!isPassing(failure)) throw failure
  const refused = failure instanceof PikeProblem
  if (retry.failFast && failures === 1 && !refused && !(failure as PikeUnreachable).maybeDone)
    throw failure
  const delayMs = retryDelayMs(retry, failures, refused ? failure.retryAfterSeconds : undefined)
  if (failures >= retry.tries || performance.now() + delayMs > untilMs) throw failure
  retry.onRetry?.({ error: failure as Error, attempt: failures, delayMs })
  await sleep(delayMs, signal)
}

/**
 * Answers that speak of the call rather than of their line: from that line on nothing was read, or
 * the store cannot be written. Undefined for all others.
 */
function endOf(url: string, { status, problem }: Record<string, unknown>): PikeProblem | undefined {
  if (!isRecord(problem) || typeof status !== 'number') return undefined
  const failure = problemOf(url, status, problem, undefined)
  const { retryAfter } = problem
  if (!ofTheCall.has(failure.code)) return undefined
  return typeof retryAfter === 'number'
    ? problemOf(url, status, problem, String(retryAfter))
    : failure
}

const notRead = new Set(['stopping', 'request-timeout', 'not-ready', 'unauthorized'])
const ofTheCall = new Set([...notRead, 'store-unavailable', 'store-full'])

const isPassing = (failure: unknown): boolean =>
  failure instanceof PikeProblem ? passes(failure.status) : failure instanceof PikeUnreachable

/** Certainly nothing of what is unanswered was read. */
const wasNotRead = (failure: unknown): boolean =>
  failure instanceof PikeProblem
    ? notRead.has(failure.code) || undone.has(failure.code)
    : !(failure as PikeUnreachable).maybeDone

/** Writes what is unanswered, then what the source has, until that or the call is at its end. */
async function pump<Entry extends Line>(
  call: LineCall,
  head: string | undefined,
  source: LineSource<Entry>,
  held: Unanswered<Entry>,
): Promise<void> {
  if (head !== undefined) await call.write(`${head}\n`)
  for (const one of held.again()) {
    if (call.closed) return
    await call.write(`${one.entry.text}\n`)
  }
  for (;;) {
    const full = held.room()
    if (full !== undefined) await full
    if (call.closed) return
    const entry = await source.peek()
    // Another connection takes it.
    if (call.closed) return
    if (entry === undefined) break
    source.take()
    held.push(entry)
    const wait = call.write(`${entry.text}\n`)
    if (wait !== undefined) await wait
  }
  call.end()
}
