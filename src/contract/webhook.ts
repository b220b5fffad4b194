import type { EventId, EventKind } from './event.ts'
import type { AppId, DeviceId, TagName, WebhookName } from './ids.ts'

/** Where an app's events are pushed to, in signed batches (rule 33). */
export interface WebhookRecord {
  readonly app: AppId
  readonly name: WebhookName
  readonly url: string
  /** What batches are signed with: `whsec_` and base64, as Standard Webhooks writes them; newest first, at most two. */
  readonly secrets: readonly WebhookSecret[]
  /** Only these; absent: all. */
  readonly kinds?: readonly EventKind[]
  readonly device?: DeviceId
  readonly tag?: TagName
  readonly disabled: boolean
  readonly createdAtMs: number
  readonly changedAtMs: number
}

export interface WebhookSecret {
  /** Names it to the receiver. */
  readonly id: string
  readonly secret: string
}

/** How a webhook is doing. */
export interface WebhookStatus {
  readonly delivered: number
  readonly failedAttempts: number
  /** Events read from the log and not yet delivered; `behind` when there are more than are held. */
  readonly waiting: number
  readonly behind: boolean
  readonly lanesFailing: number
  readonly deadLetters: number
  readonly lastDeliveredAtMs?: number
  readonly lastError?: { readonly atMs: number; readonly text: string }
  /** When the next attempt of a failing lane comes. */
  readonly nextAtMs?: number
}

/** An event that was not taken within a day. It stays in the log as long as any other. */
export interface DeadLetter {
  /** The event; of a callback, the event of the command's end. */
  readonly event: EventId
  readonly device: DeviceId
  readonly kind: EventKind
  readonly setAsideAtMs: number
  readonly attempts: number
  readonly lastError: string
}

/** What the API may ask of whoever pushes events. Callbacks of commands are the webhook `callbacks` of their app. */
export interface Webhooks {
  /** Why this URL is not called; undefined: it may be. Names are looked up, addresses checked again when connecting. */
  refuses(url: string): Promise<string | undefined>
  /** Records were changed: look at them again. */
  changed(app: AppId, name: WebhookName): void
  status(app: AppId, name: WebhookName): Promise<WebhookStatus>
  deadLetters(
    app: AppId,
    name: WebhookName,
    query: { readonly after?: EventId; readonly limit: number },
  ): Promise<{ readonly items: readonly DeadLetter[]; readonly next: EventId | undefined }>
  /** Send one again, or all. Resolves with how many are on their way; those taken leave the list. */
  sendAgain(app: AppId, name: WebhookName, event?: EventId): Promise<number>
  /** Resolves with how many went. */
  discard(app: AppId, name: WebhookName, event?: EventId): Promise<number>
}

/** Name under which callbacks of commands are looked at; no webhook may be called so. */
export const callbacksName: WebhookName = 'callbacks'
