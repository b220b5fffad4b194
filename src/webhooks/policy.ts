import type { Limits } from '../contract/index.ts'
import { webhookBounds } from './bounds.ts'
import type { LanePolicy } from './lane.ts'

/** A callback goes alone: nothing is gained by waiting for the next. */
export const policyOf = (limits: Limits, lanes: number, isCallbacks: boolean): LanePolicy => ({
  batchMaxEvents: isCallbacks ? 1 : limits.webhookBatchMaxEvents,
  batchMaxBytes: limits.webhookBatchMaxBytes,
  heldMaxBytes: Math.floor(limits.webhookHeldMaxBytes / lanes),
  lingerMs: isCallbacks ? 0 : webhookBounds.webhookLingerMs,
  retryMinMs: limits.webhookRetryMinMs,
  retryMaxMs: limits.webhookRetryMaxMs,
  deadAfterMs: limits.webhookDeadAfterMs,
})

/** Doubled each time, up to its limit, and somewhat at random so that not all come at once. */
export const backoffMs = (
  { retryMinMs, retryMaxMs }: Pick<LanePolicy, 'retryMinMs' | 'retryMaxMs'>,
  attempts: number,
  random: number,
): number => Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(30, attempts - 1)) * (0.5 + random / 2)
