/**
 * When to try again. Pure: chance comes in as an argument.
 *
 *     delay = base / 2 + rand(0, min(max, base x fib(failures)))        base 1 s, max 60 s
 *
 *     failures   1     2     3     4     5     6      7      8  ...
 *     up to s    1.5   1.5   2.5   3.5   5.5   8.5    13.5   21.5  ... 60.5
 *
 * Source: Pike 2.0's Fibonacci back-off, with full jitter, and a policy the server may dictate.
 */
export interface ReconnectPolicy {
  readonly baseMs: number
  readonly maxMs: number
}

export const reconnectPolicy: ReconnectPolicy = { baseMs: 1_000, maxMs: 60_000 }

/** The first try after a connection that did its work was lost on the way: soon, but not all at once. */
export const firstRetryMs = 1_000
/** A connection did its work once it was ready this long, or one message was acknowledged on it. */
export const provedMs = 30_000
/** The longest a server may send a device away: a mistake there must not cost a day here. */
export const retryAfterMaxMs = 3_600_000
/** Who was refused for good and may ask again does so no more often. */
export const refusedRetryMinMs = 3_600_000
/** Longest the server's policy may ask for between two tries, without what it says on closing. */
export const policyMaxMs = 3_600_000

/** 1, 1, 2, 3, 5, 8, … for 1, 2, 3, …; stops growing where it no longer matters. */
export function fibonacci(n: number): number {
  let [a, b] = [0, 1]
  for (let i = 1; i < n && b < 1e6; i++) [a, b] = [b, a + b]
  return b
}

/** @param failures at least 1. @param random 0 up to, not including, 1. */
export const delayMs = (failures: number, policy: ReconnectPolicy, random: number): number =>
  policy.baseMs / 2 + random * Math.min(policy.maxMs, policy.baseMs * fibonacci(failures))

/** What WELCOME dictates over our own; 0 in either: our own. */
export const dictated = (
  own: ReconnectPolicy,
  reconnectBaseMs: number,
  reconnectMaxMs: number,
): ReconnectPolicy => ({
  baseMs: reconnectBaseMs === 0 ? own.baseMs : Math.min(reconnectBaseMs, policyMaxMs),
  maxMs: reconnectMaxMs === 0 ? own.maxMs : Math.min(reconnectMaxMs, policyMaxMs),
})
