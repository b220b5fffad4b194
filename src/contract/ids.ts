/** Names of things. All are plain strings that match {@link identifierPattern} unless said otherwise. */

/** A tenant. `default` exists from the start. */
export type AppId = string
/** Names one thing in the world within its app, e.g. a locker. */
export type DeviceId = string
/** One ordered conversation with a device. Every device has `main` and `urgent`. */
export type ChannelName = string
/** `app/device`. The slash stands in no identifier, so the three parts cannot run into each other. */
export type DeviceKey = string
/** `app/device/channel`: names one channel in the whole installation. */
export type ChannelId = string
/** Names one link; never used twice. Also the connection token by which a connection is traced. */
export type LinkId = string
/** Names one running process of ours; new at every start. */
export type NodeId = string
/** Names an API key within its app. */
export type KeyName = string
/** Another name an app gives to exactly one device: an order number, a site and slot. */
export type AliasName = string
/** A name for many devices of an app. */
export type TagName = string
/** Names a webhook within its app. */
export type WebhookName = string
/** Names one broadcast within its app; made by us, an identifier. */
export type BroadcastId = string

/** What an app, device, channel, alias, tag or key may be called. */
export const identifierPattern = '^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$'
const identifier = new RegExp(identifierPattern)

export const isIdentifier = (text: string): boolean => identifier.test(text)

export const defaultApp: AppId = 'default'
export const mainChannel: ChannelName = 'main'
export const urgentChannel: ChannelName = 'urgent'

export const deviceKey = (app: AppId, device: DeviceId): DeviceKey => `${app}/${device}`
export const channelId = (app: AppId, device: DeviceId, channel: ChannelName): ChannelId =>
  `${app}/${device}/${channel}`

/** The parts of a channel id. Only for ids made by {@link channelId}. */
export function channelParts(channel: ChannelId): {
  app: AppId
  device: DeviceId
  channel: ChannelName
} {
  const first = channel.indexOf('/')
  const last = channel.lastIndexOf('/')
  return {
    app: channel.slice(0, first),
    device: channel.slice(first + 1, last),
    channel: channel.slice(last + 1),
  }
}

/** The device a channel belongs to: `app/device`. */
export const deviceOf = (channel: ChannelId): DeviceKey =>
  channel.slice(0, channel.lastIndexOf('/'))
