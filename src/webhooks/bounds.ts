/**
 * Bounds that only pushing has; those it shares are in `src/contract/limits.ts`.
 * Each says what happens there.
 */
export const webhookBounds = {
  /** Webhook events held in memory over all webhooks. At the bound a lane holds one event. */
  webhookHeldTotalMaxBytes: 128 * 1_048_576,
  /** Webhook requests under way over all webhooks. At the bound they wait, each webhook in turn. */
  webhookRequestsMax: 1_024,
  /** A lane that has just sent waits this long for more, unless a whole batch is there. */
  webhookLingerMs: 50,
  /** Events read at once for lanes that lag behind. */
  webhookReadEvents: 256,
  /** How far each webhook has come is kept this often; after a crash so much is sent again. */
  webhookProgressMs: 1_000,
  /** The same where nothing was sent, only looked at. */
  webhookIdleProgressMs: 60_000,
  /** An answer's body is read up to here. Longer: its connection is closed. */
  webhookAnswerMaxBytes: 4_096,
  /** Time for an answer's body, once its status is known. Above: its connection is closed. */
  webhookAnswerBodyMs: 1_000,
  /** An idle connection to a receiver. Above: closed. */
  webhookIdleMs: 60_000,
  /** Idle connections to receivers over all webhooks. At the bound the oldest is closed. */
  webhookIdleConnectionsMax: 256,
  /** Addresses of a receiver are looked up again after this long. */
  webhookLookupKeptMs: 10_000,
  /** Names of receivers whose addresses are remembered. At the bound all are forgotten. */
  webhookLookupsMax: 1_000,
  /** Longest a back end's call waits for a name to be looked up; then connecting decides. */
  webhookLookupWaitMs: 2_000,
  /** Callbacks of one app under way. At the bound each receiver still has one, and no more. */
  callbackRequestsMax: 64,
  /** Callbacks under way to one receiver; as many again that failed before. More wait. */
  callbackLanes: 8,
  /** Failed callbacks of one app that wait for another attempt. At the bound their lanes wait. */
  callbackRetriesMax: 10_000,
  /** Attempts in a row without any answer; then sending dead letters again is given up. */
  againUnansweredMax: 3,
  /** The longest URL. Longer: refused. */
  webhookUrlMaxChars: 2_048,
} as const
