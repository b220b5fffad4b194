/**
 * The only source of time.
 *
 * One axis: ms since 1970, wall time at start plus monotonic time, so it never goes back and does
 * not jump while the process runs; across restarts it never starts before the last time mark of
 * the store (`rules.md` 34).
 */
export interface Clock {
  nowMs(): number
  /** What `nowMs` told whoever asked last; for records of what follows from that. Left out: ask. */
  readonly lastMs?: number
  /** Run once, at or after `atMs`. `name` is for listing what is waiting. */
  at(atMs: number, name: string, run: () => void): Timer
}

export interface Timer {
  cancel(): void
}
