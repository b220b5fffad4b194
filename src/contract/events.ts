import type { EventId, EventKind, KeptEvent, NewEvent } from './event.ts'
import type { AppId, DeviceId } from './ids.ts'
import type { Settled } from './mailbox.ts'

/**
 * The log of everything back ends read: one a app, in the order it was kept.
 *
 * Exam: test/exams/events.exam.ts.
 */
export interface Events {
  /** Keep events that belong to no channel's settlement, e.g. presence. */
  append(events: readonly NewEvent[], settled?: (outcome: Settled) => void): void
  /**
   * Durable events after a cursor, oldest first. Without one: from the oldest kept.
   * @returns 'gone' when the cursor lies before the oldest kept or in an epoch unknown here;
   * the caller answers `410` with `oldest`.
   */
  read(app: AppId, query: EventQuery): Promise<EventPage>
  /** The cursor after which only what comes from now on lies. */
  latest(app: AppId): Promise<EventId>
  /**
   * Called after each sync with what it made durable, in order, over all apps.
   * @param without 'reports': what devices report (`event`) may be left out, then perhaps of all there
   * was. There are thousands a second, and looking at each of them to pass it over costs.
   * @returns stops listening.
   */
  listen(heard: (events: readonly KeptEvent[]) => void, without?: 'reports'): () => void
  /**
   * Forget what is older, in every log or in that of one app, and then the oldest of all while the
   * logs together are larger than `maxBytes`. Resolves with how many went.
   */
  purge(
    beforeMs: number,
    options?: { readonly app?: AppId; readonly maxBytes?: number },
  ): Promise<number>
  /** One event, if it is still kept. */
  find(app: AppId, id: EventId): Promise<KeptEvent | undefined>
}

export interface EventQuery {
  readonly after?: EventId
  readonly limit: number
  readonly device?: DeviceId
  readonly kinds?: readonly EventKind[]
}

export type EventPage =
  | {
      readonly kind: 'page'
      readonly items: readonly KeptEvent[]
      /** The cursor to go on from: behind the last event looked at, matching or not. */
      readonly next: EventId
      /** True when nothing lies after `next`. */
      readonly caughtUp: boolean
    }
  | { readonly kind: 'gone'; readonly oldest: EventId }
