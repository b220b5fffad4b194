import type { Static } from 'typebox'
import type * as Aliases from '../api/alias-schemas.ts'
import type * as Apps from '../api/app-schemas.ts'
import type * as Broadcasts from '../api/broadcast-schemas.ts'
import type * as Commands from '../api/command-schemas.ts'
import type * as Devices from '../api/device-schemas.ts'
import type * as Events from '../api/event-schemas.ts'
import type * as Shared from '../api/schemas.ts'
import type * as Traces from '../api/trace-schemas.ts'
import type * as Webhooks from '../api/webhook-schemas.ts'

/*
 * What goes over the wire, as the gateway's own schemas say it. Times are RFC 3339, durations
 * seconds.
 */

export type CommandPost = Static<typeof Commands.CommandPost>
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
/** What the flight recorder tells of a device. */
export type Trace = Static<typeof Traces.TracePage>
export type TraceEntry = Static<typeof Traces.TraceEntry>
export type Connection = Static<typeof Traces.Connection>
export type Problem = Static<typeof Shared.Problem>
export type Drain = Static<typeof Shared.DrainView>

export interface Page<Item> {
  readonly items: readonly Item[]
  readonly next: string | null
}

/** Where a command goes. A bare string is a device. */
export type To = string | { readonly device: string } | { readonly alias: string }

export type BroadcastPost = Static<typeof Commands.BroadcastPost>
export type BroadcastAccepted = Static<typeof Broadcasts.BroadcastAccepted>
/** How one goes: `devices` = `waiting` + `notPlaced` + `open` + what `ended`. */
export type Broadcast = Omit<Static<typeof Broadcasts.Broadcast>, 'ended'> & {
  readonly ended: Readonly<Partial<Record<CommandStatus, number>>>
}
export interface BroadcastDevice {
  readonly device: string
  readonly command?: string
  /**
   * `waiting`: no command yet. `not-placed`: it gets none, the broadcast was stopped. `forgotten`: its
   * command ended longer ago than history is kept.
   */
  readonly status: CommandStatus | 'waiting' | 'not-placed' | 'forgotten'
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

export type WebhookPut = Static<typeof Webhooks.WebhookPut>
/** `secret` is shown this once, when it was made. `callbacks` has no `url`: each command has its own. */
export type Webhook = Static<typeof Webhooks.Webhook>
export type WebhookStatus = Webhook['status']
/** Shown this once. */
export type WebhookSecret = Static<typeof Webhooks.WebhookSecret>
export type DeadLetter = Static<typeof Webhooks.DeadLetter>
