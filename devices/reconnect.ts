/**
 * When to try again. Pure: chance comes in as an argument.
 *
 * A row of tries begins where a connection that did its work ends, and draws its place, 0 up to 1.
 * Each try has a window, the next beginning where this one ends, and comes at that place in it:
 *
 *     lost        |·····x···|·····x···|··········x·······|···············x··········| …
 *                 0    1 s      1 s          2 s                    3 s      5, 8, … 60 s
 *
 *     sent away   |·····x···|·····x···|·····x···|  …ten of the spread, at least 1 s; then as above
 *
 * So the devices of a gateway come back as evenly as they were spread, whenever it is there again:
 * with windows that grow by Fibonacci the busiest moment has at most 1.7 times the mean. With a new
 * draw for each try it would be the more the longer it was away: those who had waited long lag behind.
 *
 * Source: Pike 2.0's Fibonacci back-off, with a policy the server may dictate.
 */
export interface ReconnectPolicy {
  readonly baseMs: number
  readonly maxMs: number
}

export const reconnectPolicy: ReconnectPolicy = { baseMs: 1_000, maxMs: 60_000 }

/** The first window after a connection was lost on the way: soon, but not all at once. */
export const firstWindowMs = 1_000
/** Who was sent away comes as often as the spread says, so many times: a restart takes a while. */
export const patientTries = 10
/** A connection did its work once it was ready this long, or one message was acknowledged on it. */
export const provedMs = 30_000
/** The longest a server may send a device away: a mistake there must not cost a day here. */
export const retryAfterMaxMs = 3_600_000
/** Who was refused for good and may ask again does so no more often. */
export const refusedRetryMinMs = 3_600_000
/** Longest the server's policy may ask for between two tries, without what it says on closing. */
export const policyMaxMs = 3_600_000

/** Tries in a row. */
export interface Row {
  /** 0 up to, not including, 1. */
  readonly place: number
  /** Over how long the gateway wanted those it sent away to come back; absent: it said nothing. */
  readonly spreadMs: number | undefined
}

/** 1, 1, 2, 3, 5, 8, … for 1, 2, 3, …; stops growing where it no longer matters. */
export function fibonacci(n: number): number {
  let [a, b] = [0, 1]
  for (let i = 1; i < n && b < 1e6; i++) [a, b] = [b, a + b]
  return b
}

/** How long the window of a try is. @param n the how many-th of its row, at least 1. */
export function windowMs(n: number, { spreadMs }: Row, policy: ReconnectPolicy): number {
  const grownMs = (step: number): number => Math.min(policy.maxMs, policy.baseMs * fibonacci(step))
  if (spreadMs === undefined) return n === 1 ? firstWindowMs : grownMs(n)
  if (n === 1) return spreadMs
  const paceMs = Math.min(policy.maxMs, Math.max(firstWindowMs, spreadMs))
  return n <= patientTries ? paceMs : Math.max(paceMs, grownMs(n + 1 - patientTries))
}

/** How long to wait before a try, from the end of the one before it. */
export function delayMs(n: number, row: Row, policy: ReconnectPolicy): number {
  const thisMs = windowMs(n, row, policy)
  if (n === 1) return row.place * thisMs
  const lastMs = windowMs(n - 1, row, policy)
  // A shorter one than the last: its pace is kept, and so is the order.
  return Math.min(thisMs, lastMs) + row.place * Math.max(0, thisMs - lastMs)
}

/** What WELCOME dictates over our own; 0 in either: our own. */
export const dictated = (
  own: ReconnectPolicy,
  reconnectBaseMs: number,
  reconnectMaxMs: number,
): ReconnectPolicy => ({
  baseMs: reconnectBaseMs === 0 ? own.baseMs : Math.min(reconnectBaseMs, policyMaxMs),
  maxMs: reconnectMaxMs === 0 ? own.maxMs : Math.min(reconnectMaxMs, policyMaxMs),
})
