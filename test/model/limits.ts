import { limits as defaults, type Limits } from '../../src/contract/index.ts'

const minuteMs = 60_000

/** Small enough that every bound is met in a story of a hundred calls. */
export const limits: Limits = {
  ...defaults,
  mailboxMaxCommands: 8,
  mailboxMaxBytes: 6_000,
  payloadMaxBytes: 4_000,
  windowMaxCommands: 3,
  windowMaxBytes: 5_000,
  lateStepsMax: 2,
  attemptsMax: 3,
  queueTtlMs: 60 * minuteMs,
  eventsMaxAgeMs: 10 * 60 * minuteMs,
  idempotencyMs: 4 * 60 * minuteMs,
  // found: only some calls say in /openapi.json that their body may be too large, so the bodies of
  // the others must fit, the largest attributes among them.
  bodyMaxBytes: 32_768,
  appsMax: 4,
  keysMax: 5,
  aliasesMax: 3,
  aliasHistoryMax: 2,
  scheduledMaxCommands: 2,
  scheduledMaxTotal: 6,
  broadcastMaxDevices: 3,
  broadcastsMaxRunning: 3,
  broadcastsMaxKept: 4,
  broadcastMaxPending: 2,
  lineCallsMax: 1,
  webhooksMax: 2,
}
