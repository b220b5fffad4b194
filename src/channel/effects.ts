import type { Offset, OpenCommand, Reason, Settlement } from '../contract/index.ts'

/**
 * What a channel wants done. The hub carries them out in order; whatever they bring back enters the
 * channel as another call with its own time.
 */
export type Effect =
  /** Write a command to the link; when it takes no more, that comes back as `linkFull`. */
  | { readonly kind: 'deliver'; readonly command: OpenCommand; readonly repeated: boolean }
  /** Look for commands after an offset; the answer comes back as `offer`. */
  | { readonly kind: 'read'; readonly after: Offset; readonly max: number }
  /** Keep the intent to send up to here; comes back as `intended`. */
  | { readonly kind: 'intend'; readonly upTo: Offset }
  /** Keep these changes; comes back as `settled`. */
  | { readonly kind: 'settle'; readonly settlement: Settlement }
  /** Ask the device for a sign of life. */
  | { readonly kind: 'probe' }
  | { readonly kind: 'close'; readonly reason: Reason; readonly retryAfterMs?: number }

/** Why nothing is being written to the link at this moment. */
export type Pause =
  | 'caught-up'
  | 'window-full'
  | 'link-full'
  | 'keeping-intent'
  | 'no-link'
  | 'leaving'
