/**
 * Bounds that only HTTP for devices has; those it shares are in `src/contract/limits.ts`.
 * Each says what happens there.
 */
export const httpBounds = {
  /** A polling device's link stays this long after an answer without a new poll. Then it is asleep or offline. */
  pollLingerMs: 5_000,
  /** A poll that waits for nothing (`wait=0`) still lets the gateway look this long. */
  pollLookMs: 100,
  /** An answer that is not read. Above: its connection is reset. */
  answerStalledMs: 30_000,
  /** Longest `sleep` a device may say, s. Above: `400`. */
  sleepMaxS: 7 * 24 * 3_600,
  /** A silent stream of commands carries a comment this often, so that nothing on the way cuts it. */
  commentMs: 15_000,
  /** A proved secret is believed this long. Then it is proved again. */
  provedMs: 10_000,
  /** Proved secrets remembered, as hashes. At the bound the oldest go. */
  provedMax: 20_000,
  /** Secrets being proved at once that were not proved before. Above: `overloaded`. */
  provingMax: 64,
  /** A device that posts is forgotten this long after its last request. */
  visitorIdleMs: 60_000,
  /** One body of events, one a line, and its lines. Above: `413`. */
  eventsBodyMaxBytes: 128 * 1024,
  eventsMaxLines: 256,
  /** A content type. Longer: `400`. */
  contentTypeMaxChars: 128,
  /** A part of a path. Longer: `414`. */
  pathPartMaxChars: 512,
  /** Headers of a request. More: `431`. Their bytes are bounded by Node: 16 KiB. */
  headersMaxCount: 100,
  /** The headers of a request. Above: `408`. */
  headersTimeoutMs: 10_000,
  /** A whole body. Above: `408`. */
  bodyTimeoutMs: 25_000,
  /** How often the two above are looked at. */
  timeoutsCheckMs: 2_000,
  /** Bodies on their way into memory, together; of one app half. Above: `503`. */
  bodiesMaxBytes: 32 * 1_048_576,
  /** Requests behind another of their connection (pipelining), over all connections. Above: one on each. */
  pipelinedMax: 2_048,
  /** Requests behind another of their connection. Above: it is reset, and what waits is not begun. */
  pipelinedPerConnectionMax: 256,
  /** An idle connection between two requests. Above: closed. */
  keepAliveTimeoutMs: 72_000,
  /** A connection on which nothing moves, beyond the longest wait. Above: closed. */
  silentTimeoutMs: 30_000,
  /** `Retry-After` where nothing better is known, s. */
  retryAfterS: 5,
} as const
