/** Bounds of the client. Each says what happens there. */
export const backendBounds = {
  /** One try of a call, beyond what it asks to wait. Above: repeated, where that is safe. */
  timeoutMs: 30_000,
  /** Tries of one call, and the time they may take together. Then the last failure is thrown. */
  triesMax: 10,
  retryForMs: 60_000,
  /** Delay between tries, doubled each time, with jitter; `Retry-After` where it is longer. */
  retryMinMs: 200,
  retryMaxMs: 10_000,
  /** The longest wait one call may ask for; longer ones are made of several. */
  waitCallMaxMs: 60_000,
  /** An event stream silent for this long (heartbeats come every 15 s) is opened anew. */
  streamSilentMs: 45_000,
  /** One event, or one answer, as text. Longer: the connection is given up. */
  textMaxChars: 4 * 1_048_576,
  /** Lines sent and not answered. At the bound the source is not read. */
  linesMaxUnanswered: 2_048,
  linesMaxUnansweredChars: 8 * 1_048_576,
  /** Lines are joined up to this size before they are written. */
  linesChunkChars: 16 * 1024,
  /** Lines that are not answered for this long are sent again over a new connection. */
  linesSilentMs: 60_000,
} as const
