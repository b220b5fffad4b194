import { backendBounds } from './bounds.ts'
import { CursorGone, isRecord, PikeProblem, PikeUnreachable } from './errors.ts'
import { type RetryPolicy, retryDelayMs, sleep } from './retry.ts'

/** What every call takes. */
export interface CallOptions {
  /** Ends the call, and everything it would still try; it rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** For one try, beyond what the call asks to wait. */
  readonly timeoutMs?: number
}

export interface Request extends CallOptions {
  readonly query?: Readonly<Record<string, QueryValue>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Answers outside 2xx that the caller has words for; of `404` only that a thing is unknown. */
  readonly expected?: readonly number[]
  /**
   * `always`: doing it twice is the same as once. `if-undone`: only where it certainly was not
   * done, since what it answers is told but once. Default `always`.
   */
  readonly repeat?: 'always' | 'if-undone'
  /** What this call lets the gateway wait, ms: added to its time. */
  readonly waitMs?: number
}
export type QueryValue = string | number | readonly string[] | undefined

export interface Answer<Body> {
  readonly status: number
  readonly body: Body
  readonly headers: Headers
  /** An earlier try failed in a way that leaves open whether it was done. */
  readonly repeated: boolean
}

/** The HTTP of the client: JSON in, JSON out, repeated where that is safe, refusals as errors. */
export class Transport {
  readonly url: string
  readonly retry: RetryPolicy
  readonly #headers: Readonly<Record<string, string>>
  readonly #timeoutMs: number

  constructor(options: { url: string; key: string; retry: RetryPolicy; timeoutMs: number }) {
    this.url = options.url.replace(/\/+$/, '')
    this.retry = options.retry
    this.#timeoutMs = options.timeoutMs
    this.#headers = { authorization: `Bearer ${options.key}` }
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#headers
  }

  async call<Body>(method: string, path: string, request: Request = {}): Promise<Answer<Body>> {
    const url = this.url + path + queryText(request.query)
    // Once for all tries: an idempotency key stands for these very bytes.
    const text = request.body === undefined ? undefined : JSON.stringify(request.body)
    const untilMs = performance.now() + this.retry.forMs
    let repeated = false
    for (let attempt = 1; ; attempt++) {
      try {
        return { ...(await this.#try<Body>(method, url, text, request)), repeated }
      } catch (error) {
        const failure = this.#mayRepeat(error, request.repeat ?? 'always', attempt)
        if (failure === undefined) throw error
        const delayMs = retryDelayMs(this.retry, attempt, failure.retryAfterSeconds)
        if (performance.now() + delayMs > untilMs) throw error
        repeated ||= failure.unclear
        this.retry.onRetry?.({ error: error as Error, attempt, delayMs })
        await sleep(delayMs, request.signal)
      }
    }
  }

  /**
   * An answer that goes on: its head within the time of a call, its body for as long as it takes.
   * One try. `abort` ends it.
   */
  async open(
    path: string,
    request: Request,
  ): Promise<{ response: Response; abort: (why: Error) => void }> {
    const url = this.url + path + queryText(request.query)
    const timed = new Timed(request.signal, request.timeoutMs ?? this.#timeoutMs)
    try {
      const response = await fetch(url, {
        headers: { ...request.headers, ...this.#headers },
        signal: timed.signal,
      })
      if (!response.ok) throw await this.#problem(response)
      timed.untimed()
      return { response, abort: (why) => timed.end(why) }
    } catch (error) {
      timed.release()
      throw this.failure(error, request.signal)
    }
  }

  /** As an error of ours; what the caller's own signal did stays as it is. */
  failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason
    if (error instanceof PikeProblem || error instanceof PikeUnreachable) return error
    return new PikeUnreachable(this.url, error)
  }

  async #try<Body>(
    method: string,
    url: string,
    text: string | undefined,
    { headers, signal, expected, timeoutMs, waitMs = 0 }: Request,
  ): Promise<Omit<Answer<Body>, 'repeated'>> {
    const timed = new Timed(signal, (timeoutMs ?? this.#timeoutMs) + waitMs)
    try {
      const response = await fetch(url, {
        method,
        headers: {
          ...headers,
          ...this.#headers,
          ...(text !== undefined && { 'content-type': 'application/json' }),
        },
        signal: timed.signal,
        ...(text !== undefined && { body: text }),
      })
      const { status, headers: said } = response
      if (!response.ok && !expected?.includes(status)) throw await this.#problem(response)
      const answer = await response.text()
      // A call that is not there, or a page of some other server, says nothing about the thing.
      if (status === 404 && !unknownThing.test(answer))
        throw problemOf(this.url, status, parsed(answer), undefined)
      return { status, headers: said, body: this.#json(status, answer) as Body }
    } catch (error) {
      throw this.failure(error, signal)
    } finally {
      timed.release()
    }
  }

  #json(status: number, text: string): unknown {
    if (text === '') return undefined
    try {
      return JSON.parse(text)
    } catch {
      throw new PikeProblem(this.url, status, { title: 'It does not answer in JSON' })
    }
  }

  async #problem(response: Response): Promise<PikeProblem> {
    const body: unknown = await response.json().catch(() => undefined)
    return problemOf(this.url, response.status, body, response.headers.get('retry-after'))
  }

  /** Undefined: not to be repeated. */
  #mayRepeat(
    error: unknown,
    repeat: 'always' | 'if-undone',
    attempt: number,
  ): { unclear: boolean; retryAfterSeconds: number | undefined } | undefined {
    if (attempt >= this.retry.tries) return undefined
    if (error instanceof PikeUnreachable) {
      if (error.maybeDone && repeat === 'if-undone') return undefined
      if (!error.maybeDone && attempt === 1 && this.retry.failFast) return undefined
      return { unclear: error.maybeDone, retryAfterSeconds: undefined }
    }
    if (!(error instanceof PikeProblem) || !passes(error.status)) return undefined
    const unclear = !undone.has(error.code)
    if (unclear && repeat === 'if-undone') return undefined
    return { unclear, retryAfterSeconds: error.retryAfterSeconds }
  }
}

/** Refusals that pass by themselves: too many, short of space, stopping, a proxy's own. */
export const passes = (status: number): boolean =>
  [408, 429, 500, 502, 503, 504, 507].includes(status)

/** Problems after which certainly nothing was done. */
export const undone: ReadonlySet<string> = new Set([
  'mailbox-full',
  'over-quota',
  'schedule-full',
  'too-many-broadcasts',
  'too-many-streams',
  'too-many-bodies',
  'too-many-wrong-keys',
  'not-ready',
  'stopping',
])

export function problemOf(
  url: string,
  status: number,
  body: unknown,
  retryAfter: string | null | undefined,
): PikeProblem {
  if (status === 410 && isRecord(body) && body.oldest !== undefined)
    return new CursorGone(url, body)
  const seconds = Number(retryAfter ?? Number.NaN)
  return new PikeProblem(url, status, body, Number.isFinite(seconds) ? seconds : undefined)
}

/** The body of a 404 that is about what was asked for, e.g. `unknown-device`. */
const unknownThing = /"type":\s*"\/problems\/unknown-/

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function queryText(query: Request['query']): string {
  const text = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue
    text.set(name, typeof value === 'object' ? value.join(',') : String(value))
  }
  return text.size === 0 ? '' : `?${text}`
}

/** A signal of our own, aborted by the caller's or by time, that leaves nothing behind on the caller's. */
class Timed {
  readonly #controller = new AbortController()
  readonly #outer: AbortSignal | undefined
  readonly #abort = (): void => this.end(this.#outer!.reason)
  readonly #timer: NodeJS.Timeout

  constructor(outer: AbortSignal | undefined, timeoutMs: number) {
    this.#outer = outer
    this.#timer = setTimeout(() => this.end(new TimedOut(timeoutMs)), timeoutMs)
    if (outer?.aborted) this.end(outer.reason)
    else outer?.addEventListener('abort', this.#abort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Only the caller ends it from now on. */
  untimed(): void {
    clearTimeout(this.#timer)
  }

  end(why: unknown): void {
    this.release()
    this.#controller.abort(why)
  }

  release(): void {
    clearTimeout(this.#timer)
    this.#outer?.removeEventListener('abort', this.#abort)
  }
}

class TimedOut extends Error {
  readonly code = 'TIMEOUT'

  constructor(ms: number) {
    super(`no answer in ${ms} ms`)
  }
}

export const timeoutDefaultMs: number = backendBounds.timeoutMs
