/**
 * Why a link ends or an attach is refused, and what the peer should do next.
 *
 * `retry`: `now` come back at once, `later` after a backoff (or `retryAfterMs`), `elsewhere` at
 * another node, `never` until reconfigured. `reset`: what lies in the link's buffers must not
 * arrive later, so the transport is reset, not ended politely (`rules.md` 20).
 *
 * Every adapter translates all of it: a reason left out does not compile.
 */
export const reasons = {
  normal: { retry: 'now', reset: false, text: 'the peer or the gateway said goodbye' },
  independent: {
    retry: 'now',
    reset: false,
    text: 'this channel is to have a connection of its own',
  },
  shared: {
    retry: 'now',
    reset: false,
    text: 'this channel may join the others on one connection again',
  },
  'going-away': { retry: 'elsewhere', reset: false, text: 'this gateway is stopping' },
  'taken-over': { retry: 'later', reset: false, text: 'the same device attached again' },
  conflict: {
    retry: 'later',
    reset: false,
    text: 'two clients take this channel from each other; both wait',
  },
  'keepalive-expired': { retry: 'later', reset: true, text: 'silent past its dead-line' },
  unresponsive: { retry: 'later', reset: true, text: 'a probe was not answered in time' },
  'too-slow': { retry: 'later', reset: true, text: 'what was sent was not read in time' },
  'handshake-timeout': {
    retry: 'later',
    reset: true,
    text: 'the handshake did not finish in time or size',
  },
  overloaded: { retry: 'later', reset: false, text: 'a limit of this gateway is reached' },
  'rate-limited': { retry: 'later', reset: false, text: 'too many attempts; wait' },
  unavailable: { retry: 'later', reset: false, text: 'the store cannot be written at the moment' },
  malformed: { retry: 'never', reset: false, text: 'bytes that are not this protocol' },
  'protocol-error': {
    retry: 'never',
    reset: false,
    text: 'well formed, but not allowed at this point',
  },
  'too-large': { retry: 'never', reset: false, text: 'a frame or message over its limit' },
  'unknown-channel': {
    retry: 'never',
    reset: false,
    // The field at fault, wherever it stands.
    text: 'channel: this device has no such channel',
  },
  unsupported: { retry: 'never', reset: false, text: 'a version or critical part not known here' },
  unauthorized: { retry: 'never', reset: false, text: 'credential missing, wrong or revoked' },
  'device-removed': { retry: 'never', reset: false, text: 'the device was removed' },
  'device-disabled': { retry: 'never', reset: false, text: 'the device was disabled' },
} as const satisfies Record<
  string,
  { retry: 'now' | 'later' | 'elsewhere' | 'never'; reset: boolean; text: string }
>

export type Reason = keyof typeof reasons

/** Why a command ended as it did, beside its status; for the timeline, the event and `explain`. */
export const endReasons = {
  'no-link': 'no live link when it was accepted, and `now` never waits for one',
  'too-large': 'larger than the link can carry',
  'device-removed': 'the device was removed',
  damaged: 'its record in the store cannot be read any more',
  attempts: 'sent at the head of its channel in ten sessions and never acknowledged',
  late: 'the device got it after its deadline and refused',
  'no-acknowledgement': 'the link cannot acknowledge, so nobody knows',
  'maybe-sent': 'written to a link, never acknowledged',
  restarted: 'the gateway stopped between writing it and hearing of it',
  'not-received': 'the device came back standing before it',
  'ttl-passed': 'its time to live passed before it could be handed over',
  'reply-timeout': 'delivered, but no reply came in time',
  'mailbox-full': 'the oldest of a full mailbox whose overflow is drop-oldest',
  collapsed: 'replaced by a newer command with the same collapse key',
  requested: 'canceled by a back end',
  'device-disabled': 'the device was disabled when its turn in the broadcast came',
  'unknown-channel': 'the device has no such channel',
} as const

export type EndReason = keyof typeof endReasons
