import { backendBounds } from './bounds.ts'
import { isRecord, PikeProblem, PikeUnreachable } from './errors.ts'
import { LineCall } from './lines.ts'
import { abortable, retryDelayMs, sleep } from './retry.ts'
import { passes, problemOf, type Transport, undone } from './transport.ts'

/** A line to be sent, and whatever the caller needs with its answer. */
export interface Line {
  /** Without its line break. */
  readonly text: string
}

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

interface Held<Entry> {
  readonly entry: Entry
  sent: boolean
  repeated: boolean
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
  const source = new Source(options.lines)
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
  source: Source<Entry>,
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

/** A source of which the next is looked at before it is taken, so that no connection's end loses it. */
class Source<Entry> {
  readonly #lines: AsyncIterator<Entry>
  #next: Promise<Entry | undefined> | undefined
  #ended = false
  failed = false
  error: unknown

  constructor(lines: AsyncIterator<Entry>) {
    this.#lines = lines
  }

  /** Undefined at the end. What the source throws is kept until all answers are in. */
  peek(): Promise<Entry | undefined> {
    this.#next ??= this.#read()
    return this.#next
  }

  take(): void {
    this.#next = undefined
  }

  /** Not waited for: a source in the middle of its next line would hold us up. */
  close(): void {
    if (this.#ended) return
    this.#ended = true
    this.#lines.return?.()?.catch(() => {})
  }

  async #read(): Promise<Entry | undefined> {
    if (this.#ended) return undefined
    try {
      const { done, value } = await this.#lines.next()
      if (done !== true) return value
    } catch (error) {
      this.failed = true
      this.error = error
    }
    this.#ended = true
    return undefined
  }
}

/** Lines sent and not answered, oldest first, bounded. */
class Unanswered<Entry extends Line> {
  #lines: Held<Entry>[] = []
  #first = 0
  #chars = 0
  #wake: (() => void) | undefined

  get length(): number {
    return this.#lines.length - this.#first
  }

  push(entry: Entry): void {
    this.#lines.push({ entry, sent: true, repeated: false })
    this.#chars += entry.text.length
  }

  shift(): Held<Entry> | undefined {
    const one = this.#lines[this.#first]
    if (one === undefined) return undefined
    this.#first++
    this.#chars -= one.entry.text.length
    if (this.#first > backendBounds.linesMaxUnanswered) {
      this.#lines = this.#lines.slice(this.#first)
      this.#first = 0
    }
    this.#wake?.()
    return one
  }

  /** Those to be written again, from the oldest. */
  *again(): Generator<Held<Entry>> {
    const lines = this.#lines.slice(this.#first)
    for (const one of lines) {
      one.repeated ||= one.sent
      one.sent = true
      yield one
    }
  }

  /** The last connection was refused: nothing written to it was read. */
  unsent(): void {
    for (let i = this.#first; i < this.#lines.length; i++) this.#lines[i]!.sent = false
  }

  /** Something to wait for when there is no room. */
  room(): Promise<void> | undefined {
    if (
      this.length < backendBounds.linesMaxUnanswered &&
      this.#chars < backendBounds.linesMaxUnansweredChars
    )
      return undefined
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
    })
  }

  /** Whoever waits for room of a connection that is gone waits no longer. */
  disconnected(): void {
    this.#wake?.()
  }
}
