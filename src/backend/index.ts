/**
 * The back end's side of Pike IoT, published as `pike-iot/backend`: send commands, wait for their
 * outcomes, follow events, verify webhooks. docs/client.md shows it by example.
 */
export type { Apps, Keys } from './admin.ts'
export type { Broadcasts } from './broadcasts.ts'
export { type EventPageQuery, PikeBackend, type PikeBackendOptions } from './client.ts'
export type { Canceled, EndedCommand, SendOptions, Sent } from './commands.ts'
export type { DeviceFilter, Devices } from './devices.ts'
export { CursorGone, PikeProblem, PikeUnreachable, WebhookNotGenuine } from './errors.ts'
export type { EventFilter, EventFollower, FollowOptions } from './events.ts'
export type { ImportAnswer, ImportLine, ImportOptions } from './import.ts'
export type { Listing, PageQuery } from './listing.ts'
export type { Aliases, Tags } from './names.ts'
export type { RetryOptions } from './retry.ts'
export type { ManyAnswer, ManyLine, ManyOptions } from './send-many.ts'
export type { TraceOptions } from './traces.ts'
export type { CallOptions } from './transport.ts'
export type * from './types.ts'
export { type Delivery, type VerifyWebhook, verifyWebhook } from './verify-webhook.ts'
export type { Webhooks } from './webhooks.ts'
