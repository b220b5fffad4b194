import type {
  AliasName,
  AppId,
  BroadcastId,
  ChannelId,
  DeviceId,
  DeviceKey,
  KeyName,
  Offset,
  TagName,
  WebhookName,
} from '../../contract/index.ts'

/**
 * Every key of the store. Names hold no slash, so no name can run into the next part, and numbers
 * have a fixed width, so that they sort.
 *
 *     m/<app>/<device>/<channel>/<offset>   open command                     command-record.ts
 *     h/<app>/<device>/<channel>/<offset>   ended command: where its outcome is, late proof  event-record.ts
 *     c/<app>/<device>/<channel>            record of a channel              record.ts
 *     r/<app>/<device>/<channel>            last number of what is scheduled schedule.ts
 *     q/<app>/<device>/<channel>/<number>   when a scheduled command is due  schedule.ts
 *     y/<app>/<device>/<channel>/<number>   that command, while it waits     command-record.ts
 *     p/<app>/<device>/<channel>/<number>   where it lies since              schedule-record.ts
 *     b/<app>/<broadcast>                   broadcast as it was made         broadcast-record.ts
 *     v/<app>/<broadcast>                   how far it is                    broadcast-record.ts
 *     j/<app>/<broadcast>/<device>          member, and its command          casts.ts
 *     u/<app>/<broadcast>                   its members are to be forgotten  casts.ts
 *     e/<app>/<sequence>                    event                            event-record.ts
 *     n/<app>                               counters of an app, and its log  apps.ts
 *     l/<app>                               epochs of its log                apps.ts
 *     a/<app>   k/<app>/<name>   d/<app>/<device>        names               names.ts
 *     t/<app>/<tag>/<device>                has this tag; no value         tags.ts
 *     o/<app>/<alias>                       other names of devices         aliases.ts
 *     w/<app>/<name>                        webhooks                       names.ts
 *     x/<path>                              small records of services      shelf.ts
 *     i/<day>/<app>/<key>                   answer to an idempotency key     idempotency.ts
 *     s/<word>                              the store itself                 meta.ts
 */
const numberDigits = 11

const digits = (value: number): string => value.toString(36).padStart(numberDigits, '0')
const numberAtEnd = (key: string): number => Number.parseInt(key.slice(-numberDigits), 36)

export const commandKey = (channel: ChannelId, offset: Offset): string =>
  `m/${channel}/${digits(offset)}`
export const historyKey = (channel: ChannelId, offset: Offset): string =>
  `h/${channel}/${digits(offset)}`
export const offsetOf = numberAtEnd

export const channelPrefix = 'c/'
export const channelKey = (channel: ChannelId): string => channelPrefix + channel
export const channelOfKey = (key: string): ChannelId => key.slice(channelPrefix.length)

export const lastScheduledKey = (channel: ChannelId): string => `r/${channel}`
export const ripeKey = (channel: ChannelId, scheduled: number): string =>
  `q/${channel}/${digits(scheduled)}`
export const scheduledKey = (channel: ChannelId, scheduled: number): string =>
  `y/${channel}/${digits(scheduled)}`
export const placedKey = (channel: ChannelId, scheduled: number): string =>
  `p/${channel}/${digits(scheduled)}`
export const scheduledOf = numberAtEnd
/** Of a key that ends with a number. */
export const channelBeforeNumber = (key: string): ChannelId => key.slice(2, -numberDigits - 1)

export const broadcastKey = (app: AppId, id: BroadcastId): string => `b/${app}/${id}`
export const castKey = (app: AppId, id: BroadcastId): string => `v/${app}/${id}`
export const memberKey = (app: AppId, id: BroadcastId, device: DeviceId): string =>
  `j/${app}/${id}/${device}`
export const forgottenKey = (app: AppId, id: BroadcastId): string => `u/${app}/${id}`

export const eventKey = (app: AppId, sequence: number): string => `e/${app}/${digits(sequence)}`
export const sequenceOf = numberAtEnd

export const appKey = (app: AppId): string => `a/${app}`
export const countersKey = (app: AppId): string => `n/${app}`
export const logKey = (app: AppId): string => `l/${app}`
export const apiKeyKey = (app: AppId, name: KeyName): string => `k/${app}/${name}`
export const deviceRecordKey = (app: AppId, device: DeviceId): string => `d/${app}/${device}`
export const webhookKey = (app: AppId, name: WebhookName): string => `w/${app}/${name}`
export const aliasPrefix = 'o'
export const aliasKey = (app: AppId, alias: AliasName): string => `o/${app}/${alias}`
export const tagKey = (app: AppId, tag: TagName, device: DeviceId): string =>
  `t/${app}/${tag}/${device}`
export const shelfKey = (path: string): string => `x/${path}`
export const pathOfShelf = (key: string): string => key.slice(2)

/** Written to see whether the store can be written, and gone at once. */
export const probeKey = 's/probe'
/** This store was made from a backup and has not been started since. */
export const restoredKey = 's/restored'

/** The last part of a key. */
export const nameAtEnd = (key: string): string => key.slice(key.lastIndexOf('/') + 1)

export const answerKey = (day: number, app: AppId, key: string): string =>
  `i/${day.toString(36).padStart(6, '0')}/${app}/${key}`

export interface Range {
  readonly gte: string
  readonly lt: string
}

/** Everything below a prefix that ends where a name ends: '0' is the character after '/'. */
export const under = (prefix: string): Range => ({ gte: `${prefix}/`, lt: `${prefix}0` })

export const underAsBytes = (prefix: string) => ({
  gte: Buffer.from(`${prefix}/`),
  lt: Buffer.from(`${prefix}0`),
})

export const channelsOf = (device: DeviceKey): Range => under(`c/${device}`)
export const scheduledChannelsOf = (device: DeviceKey): Range => under(`r/${device}`)
export const scheduledFor = (device: DeviceKey): Range => under(`y/${device}`)
export const membersOf = (app: AppId, id: BroadcastId): Range => under(`j/${app}/${id}`)
export const devicesOf = (app: AppId): Range => under(`d/${app}`)
export const aliasesOf = (app: AppId): Range => under(`o/${app}`)
export const taggedWith = (app: AppId, tag: TagName): Range => under(`t/${app}/${tag}`)
export const shelfUnder = (path: string): Range => under(`x/${path}`)

/** All answers of days before this one. */
export const answersBefore = (day: number): Range => ({
  gte: 'i/',
  lt: `i/${day.toString(36).padStart(6, '0')}/`,
})
export const answersOn = (day: number): Range => under(`i/${day.toString(36).padStart(6, '0')}`)
