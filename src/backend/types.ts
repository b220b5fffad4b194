import type { Static } from 'typebox'
import type * as Aliases from '../api/alias-schemas.ts'
import type * as Apps from '../api/app-schemas.ts'
import type * as Commands from '../api/command-schemas.ts'
import type * as Devices from '../api/device-schemas.ts'
import type * as Events from '../api/event-schemas.ts'
import type * as Shared from '../api/schemas.ts'

/*
 * What goes over the wire, as the gateway's own schemas say it. Times are RFC 3339, durations
 * seconds.
 */

/** Any bytes a back end or a device may send: JSON, or base64 with its type. */
export type CommandPost = Static<typeof Commands.CommandPost> & LaterFields
/** The answer to a command that has not ended. */
export type Accepted = Static<typeof Commands.Accepted>
export type Command = Static<typeof Commands.Command>
export type CommandStatus = Command['status']
export type Explanation = Static<typeof Commands.Explanation>
export type DevicePut = Static<typeof Devices.DevicePut>
export type Device = Static<typeof Devices.Device>
export type Event = Static<typeof Events.Event>
export type EventType = Event['type']
export type EventPage = Static<typeof Events.EventPageBody>
export type Problem = Static<typeof Shared.Problem>

interface LaterFields {
  readonly notBefore?: string
  readonly callback?: string
}

export interface Page<Item> {
  readonly items: readonly Item[]
  readonly next: string | null
}

/** Where a command goes. A bare string is a device. */
export type To = string | { readonly device: string } | { readonly alias: string }

export interface BroadcastPost extends CommandPost {
  /** Devices a second, at most. */
  readonly rate?: number
  /** After this many that ended badly no more are placed. */
  readonly stopAfterFailures?: number
}
export interface BroadcastAccepted {
  readonly broadcast: string
  readonly devices: number
}
export interface Broadcast {
  readonly id: string
  readonly tag: string
  readonly state: 'running' | 'placed' | 'stopped'
  readonly why?: string
  readonly name: string
  readonly channel: string
  readonly askedBy: string
  readonly createdAt: string
  readonly rate?: number
  readonly stopAfterFailures?: number
  readonly devices: number
  readonly waiting: number
  readonly open: number
  readonly ended: Readonly<Record<string, number>>
}
export interface BroadcastDevice {
  readonly device: string
  readonly command?: string
  readonly status: string
}

export type AliasPut = Static<typeof Aliases.AliasPut>
export type Alias = Static<typeof Aliases.Alias>
/** `secret` is shown this once. */
export type DeviceSecret = Static<typeof Devices.NewSecret>

export type AppPut = Static<typeof Apps.AppPut>
export type App = Static<typeof Apps.AppView>
export type Quota = NonNullable<App['quota']>
export type KeyPut = Static<typeof Apps.KeyPut>
/** `key` is shown this once, when it was made. */
export type Key = Static<typeof Apps.Key>
export type Scope = Key['scopes'][number]

export interface WebhookPut {
  readonly url: string
  readonly types?: readonly EventType[]
  readonly device?: string
  readonly tag?: string
  readonly disabled?: boolean
}
export interface Webhook {
  readonly name: string
  readonly url: string
  readonly types?: readonly EventType[]
  readonly device?: string
  readonly tag?: string
  readonly disabled: boolean
  readonly createdAt: string
  readonly changedAt: string
  readonly secretIds: readonly string[]
  readonly status: WebhookStatus
  /** Shown this once, when it was made. */
  readonly secret?: string
}
export interface WebhookStatus {
  readonly delivered: number
  readonly failedAttempts: number
  readonly waiting: number
  readonly behind: boolean
  readonly lanesFailing: number
  readonly deadLetters: number
  readonly lastDeliveredAt?: string
  readonly lastError?: { readonly at: string; readonly text: string }
  readonly nextAt?: string
}
export interface WebhookSecret {
  readonly id: string
  readonly secret: string
}
export interface DeadLetter {
  readonly event: string
  readonly device: string
  readonly type: EventType
  readonly setAsideAt: string
  readonly attempts: number
  readonly lastError: string
}
