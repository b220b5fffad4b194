/**
 * Leaving politely: nobody new is let in, and who is there is sent away in slices, told when to come
 * back.
 *
 *     open ──begin──▶ draining ──nobody is left, or the time is over──▶ drained
 *      ▲                 │                                                 │
 *      ╰─────cancel──────┴─────────────────────────────────────────────────╯
 *
 * Back ends are served all the while; what they send waits for its device.
 */
export interface Drain {
  /** Repeating it does nothing. */
  begin(): Draining
  /** Let devices in again. Those who were sent away come back when they were told to. */
  cancel(): Draining
  now(): Draining
}

export interface Draining {
  readonly state: 'open' | 'draining' | 'drained'
  /** When it began; undefined while it is open. */
  readonly sinceMs: number | undefined
  /** When the rest is sent away at once. */
  readonly untilMs: number | undefined
  /** Sessions when it began; now, while it is open. */
  readonly sessions: number
  readonly left: number
  /** Over how long those sent away were told to come back. */
  readonly comeBackWithinMs: number | undefined
}
