import { backendBounds } from './bounds.ts'

export interface RetryOptions {
  /** Time for all tries of a call together, ms. 0: one try. Default 60 s. */
  readonly forMs?: number
  /** How often at most. Default 10. */
  readonly tries?: number
  /** Delay before the second try, ms; doubled for each further one. Default 200. */
  readonly minMs?: number
  /** The longest of those, ms. Default 10 s. */
  readonly maxMs?: number
  /** Give up at once when nobody was there at the first try: for a person at a terminal. */
  readonly failFast?: boolean
  /** A try failed and another comes. */
  readonly onRetry?: (about: { error: Error; attempt: number; delayMs: number }) => void
}

export type RetryPolicy = Required<Omit<RetryOptions, 'onRetry'>> & Pick<RetryOptions, 'onRetry'>

export const retryPolicy = (options: RetryOptions = {}): RetryPolicy => ({
  forMs: options.forMs ?? backendBounds.retryForMs,
  tries: options.tries ?? backendBounds.triesMax,
  minMs: options.minMs ?? backendBounds.retryMinMs,
  maxMs: options.maxMs ?? backendBounds.retryMaxMs,
  failFast: options.failFast ?? false,
  ...(options.onRetry !== undefined && { onRetry: options.onRetry }),
})

/**
 * How long to wait after the `attempt`-th failure (from 1): half of it fixed, half by chance, so
 * that many callers do not come back in step; never before `Retry-After`.
 */
export function retryDelayMs(
  { minMs, maxMs }: Pick<RetryPolicy, 'minMs' | 'maxMs'>,
  attempt: number,
  retryAfterSeconds: number | undefined,
  random: () => number = Math.random,
): number {
  const fullMs = Math.min(maxMs, minMs * 2 ** Math.min(attempt - 1, 30))
  const backoffMs = fullMs * (0.5 + random() / 2)
  const askedMs = (retryAfterSeconds ?? 0) * 1000
  return askedMs <= backoffMs ? backoffMs : askedMs * (1 + random() / 10)
}

/** Rejects with the signal's reason when it is aborted. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}

/** The promise, or the signal's reason if that comes first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
