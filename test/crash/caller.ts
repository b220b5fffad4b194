import type { Answer, Api } from './http.ts'
import { sleep } from './load.ts'

/** What came of a request. Times are ms since 1970. */
export type Called =
  | {
      readonly kind: 'answered'
      readonly answer: Answer
      readonly askedAtMs: number
      readonly answeredAtMs: number
    }
  /** Nobody listened: certainly nothing was done. */
  | { readonly kind: 'unreached' }
  /** No answer, or one that came when we were cut off already. */
  | { readonly kind: 'unclear'; readonly askedAtMs: number }

/**
 * Longer than any pause: what a gateway does of a call that was given up on would be done at a
 * moment nobody knows.
 */
const timeoutMs = 60_000

/** Asks, and says honestly whether there was an answer. */
export class Caller {
  readonly #api: Api
  readonly #era: () => number

  constructor(api: Api, era: () => number) {
    this.#api = api
    this.#era = era
  }

  async call(
    method: string,
    path: string,
    options: {
      readonly body?: unknown
      readonly key?: string | undefined
      readonly headers?: Readonly<Record<string, string>>
    } = {},
  ): Promise<Called> {
    const era = this.#era()
    const askedAtMs = Date.now()
    try {
      const answer = await this.#api.call(method, path, { timeoutMs, ...options })
      if (this.#era() !== era) return { kind: 'unclear', askedAtMs }
      return { kind: 'answered', answer, askedAtMs, answeredAtMs: Date.now() }
    } catch (error) {
      return isUnreached(error) ? { kind: 'unreached' } : { kind: 'unclear', askedAtMs }
    }
  }

  /** Once more, and again, until it is answered with something that is not "not now". */
  async insist(
    method: string,
    path: string,
    options: { readonly body?: unknown } = {},
  ): Promise<Answer> {
    for (let patience = 600; ; patience--) {
      const called = await this.call(method, path, options)
      if (called.kind === 'answered' && !isUnavailable(called.answer)) return called.answer
      if (patience === 0) throw new Error(`${method} ${path} was not answered`)
      await sleep(100)
    }
  }
}

export function isUnreached(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException
  return code === 'ECONNREFUSED' || /is not running/.test(message)
}

export const isUnavailable = ({ status }: Answer): boolean => status === 503 || status === 507
