import { jsonMaxDepth } from '../listen/json.ts'

/**
 * Bounds that only northbound HTTP has; those it shares are in `src/contract/limits.ts`.
 * Each says what happens there.
 */
export const apiBounds = {
  /** Nesting of a JSON body. Deeper: `400` before anything parses it. */
  jsonMaxDepth,
  /** Tags of one device. More: `400`. */
  tagsMax: 64,
  /** A device's attributes as JSON. Larger: `400`. */
  attributesMaxBytes: 16 * 1024,
  /** Channels of one device beside `main` and `urgent`. More: `400`. */
  channelsMax: 16,
  /** Devices that may speak for one device. More: `400`. */
  gatewaysMax: 16,
  /** A device secret that a back end chooses. Outside: `400`. */
  secretMinChars: 8,
  secretMaxChars: 256,
  /** A collapse key. Longer: `400`. */
  collapseMaxChars: 128,
  /** A content type. Longer: `400`. */
  contentTypeMaxChars: 128,
  /** An Idempotency-Key. Longer: `400`. */
  idempotencyKeyMaxChars: 255,
  /** Headers whose key's hash is remembered. At the bound all are forgotten. */
  keyHashesMax: 1_000,
  /** Items of a page, unless `limit` says otherwise, and the most it may say. More: `400`. */
  pageItems: 100,
  pageMaxItems: 1_000,
  /** Bytes of a page of events, or of commands, after which it ends early; `next` goes on from there. */
  pageMaxBytes: 4 * 1024 * 1024,
  /** Pages of events, and of commands, read at once, over all callers. At the bound the others wait their turn. */
  pagesAtOnce: 4,
  /** Commands read at once for a page. */
  historyReadCommands: 64,
  /** Events read at once for a stream. */
  streamReadEvents: 64,
  /** A stream's events are joined up to this size before they are written. */
  streamChunkBytes: 16 * 1024,
  /** A silent stream says that it lives this often. */
  streamHeartbeatMs: 15_000,
  /** A reader that takes nothing for this long loses its stream, where it may resume, or its backup. */
  streamStalledMs: 60_000,
  /** Events looked at for one page that is filtered by tag; then it ends, and `next` goes on. */
  tagScanMaxEvents: 10_000,
  /** Devices registered in one batch of the store. */
  registerBatchMaxDevices: 500,
  /** Short device secrets stretched at once. The others wait. */
  slowSecretsMax: 2,
  /** An API key that an administrator chooses. Outside: `400`. */
  keyMinChars: 22,
  keyMaxChars: 256,
  /** Backups under way at once. Above: `503`. */
  backupsMax: 1,
  /** A part of a path. Longer: `414`. */
  pathPartMaxChars: 512,
  /** Headers of a request. More: `431`. Their bytes are bounded by Node: 16 KiB. */
  headersMaxCount: 100,
  /** The headers of a request. Above: `408`. */
  headersTimeoutMs: 10_000,
  /** A whole body. Above: `408`. Calls line by line may last. */
  requestTimeoutMs: 20_000,
  /** A call line by line in which nothing moves. Above: it ends where it stands. */
  lineIdleTimeoutMs: 60_000,
  /** How often the three above are looked at. */
  timeoutsCheckMs: 2_000,
  /** Bodies on their way into memory, together; of one app half. Above: `429`. */
  bodiesMaxBytes: 64 * 1_048_576,
  /** Bytes of one NDJSON call's unanswered lines. At the bound it is not read. */
  linesPendingMaxBytes: 1_048_576,
  /** Lines of one NDJSON call taken in one go; then it is the turn of others. */
  linesPerTurn: 128,
  /** A callback URL. Longer: `400`. */
  callbackMaxChars: 2_048,
  /** Callback URLs of which is remembered whether they are called, and for how long. */
  callbacksKnownMax: 1_000,
  callbackKnownMs: 10_000,
  /** Devices a second of a broadcast. More: `400`. */
  broadcastRateMax: 10_000,
  /** Wrong API keys a minute from one address. Above: `429` instead of `401`. */
  wrongKeysPerMinute: 100,
  /** Addresses of which wrong keys are counted. At the bound the oldest is forgotten. */
  wrongKeyAddressesMax: 10_000,
  /** Calls behind another of their connection (pipelining), over all connections. Above: one on each. */
  pipelinedMax: 2_048,
  /** Calls behind another of their connection. Above: it is reset, and what waits is not begun. */
  pipelinedPerConnectionMax: 256,
  /** An idle connection between two calls. Above: closed. */
  keepAliveTimeoutMs: 72_000,
  /** A connection on which nothing moves, beyond the longest wait. Above: closed. */
  silentTimeoutMs: 30_000,
  /** Connections at once. Above: closed at once, unanswered. */
  connectionsMax: 16_384,
  /** `Retry-After` where nothing better is known, s. */
  retryAfterSeconds: 5,
} as const
