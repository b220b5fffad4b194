import { type Static, Type } from 'typebox'
import { identifierPattern, limits } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { visiblePattern } from './patterns.ts'
import { closed, Identifier, Nullable, pageLimit, Time } from './schemas.ts'

const ChannelSettings = Type.Object(
  {
    maxCommands: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.mailboxMaxCommands })),
    overflow: Type.Optional(Type.Enum(['reject', 'drop-oldest'])),
    connection: Type.Optional(
      Type.Enum(['shared', 'independent'], {
        description:
          '`independent`: it has a connection to itself, where the device speaks Pike and can. What is connected is moved at once; nothing is lost or repeated by that. Left out: as `PIKE_INDEPENDENT_CHANNELS` says for all channels of that name; without that, `shared`.',
      }),
    ),
  },
  closed,
)
const ChannelMap = Type.Record(Type.String({ pattern: identifierPattern }), ChannelSettings, {
  ...closed,
  maxProperties: apiBounds.channelsMax,
  description: 'Settings of channels; beside `main` and `urgent`, which every device has.',
})
const Attributes = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: `What you like to keep with the device: at most ${apiBounds.attributesMaxBytes} bytes of JSON.`,
})
const Gateways = Type.Array(Identifier, {
  maxItems: apiBounds.gatewaysMax,
  uniqueItems: true,
  description:
    'Names of devices of this app that may speak for it over their own connections, e.g. the controller of its cabinet. They need not be registered yet. Who is taken off the list is cut off at once.',
})
const Tags = Type.Array(Identifier, { maxItems: apiBounds.tagsMax, uniqueItems: true })

export const DevicePut = Type.Object(
  {
    secret: Type.Optional(
      Type.String({
        minLength: apiBounds.secretMinChars,
        maxLength: apiBounds.secretMaxChars,
        pattern: visiblePattern,
        description:
          'Visible ASCII. Of a device that exists: the new one, while the one before stays valid too.',
      }),
    ),
    disabled: Type.Optional(Type.Boolean()),
    tags: Type.Optional(Tags),
    attributes: Type.Optional(Attributes),
    channels: Type.Optional(ChannelMap),
    gateways: Type.Optional(Gateways),
  },
  { ...closed, title: 'DevicePut', examples: [{ tags: ['berlin'], attributes: { doors: 24 } }] },
)
export type DevicePut = Static<typeof DevicePut>

const Presence = Type.Object({
  state: Type.Enum(['online', 'suspect', 'asleep', 'offline']),
  since: Type.Optional(Time),
  heardAt: Type.Optional(Type.String({ format: 'date-time', description: 'last proof of life' })),
  protocol: Type.Optional(Type.String()),
  via: Type.Optional(Type.String({ description: 'the device that speaks for it now' })),
  reason: Type.Optional(
    Type.String({
      description:
        'Why it is offline: how its last link ended, or `device-disabled`; why it is suspect: `acknowledgement-overdue`, or `restarted`: it was there when the gateway died.',
    }),
  ),
  term: Type.Optional(
    Type.Integer({ description: 'of its last change, as in the event that told it' }),
  ),
  backAt: Type.Optional(
    Type.String({
      format: 'date-time',
      description: 'While it is asleep: when it said that it comes back. After that it is offline.',
    }),
  ),
})
const MailboxDepth = Type.Object({
  commands: Type.Integer({ description: 'open commands' }),
  bytes: Type.Integer({ description: 'payload bytes not yet delivered' }),
  oldestAt: Type.Optional(Time),
})
const Keepalive = Type.Object(
  {
    grantedS: Type.Optional(
      Type.Number({
        description: 'how long it may be silent, as it was told, s; while it is here',
      }),
    ),
    provenS: Type.Optional(
      Type.Number({
        description:
          'The longest silence that a connection of it has survived where it was last, s. Absent: none yet, or not at hand since a restart, until it comes.',
      }),
    ),
  },
  { description: 'How long its connections may be silent, as far as that was learned' },
)
export const Device = Type.Object(
  {
    device: Identifier,
    disabled: Type.Boolean(),
    tags: Type.Array(Type.String()),
    attributes: Attributes,
    channels: Type.Record(Type.String(), ChannelSettings),
    gateways: Type.Optional(Type.Array(Type.String())),
    credentials: Type.Integer({ description: 'secrets that are valid now: 1, or 2 in a rotation' }),
    createdAt: Time,
    changedAt: Time,
    presence: Presence,
    mailbox: MailboxDepth,
    keepalive: Type.Optional(Keepalive),
    secret: Type.Optional(Type.String({ description: 'shown this once, when we made it' })),
  },
  { title: 'Device' },
)
export type Device = Static<typeof Device>

export const DeviceList = Type.Object(
  { items: Type.Array(Device), next: Nullable(Type.String()) },
  { title: 'DevicePage' },
)
export const DeviceListQuery = Type.Object(
  {
    after: Type.Optional(Identifier),
    limit: pageLimit,
    tag: Type.Optional(Identifier),
    presence: Type.Optional(
      Type.Enum(['online', 'suspect', 'asleep', 'offline'], {
        description:
          'only those in this state now. A page may have fewer items than `limit`, or none, and a `next`',
      }),
    ),
  },
  closed,
)

export const NewSecret = Type.Object(
  {
    device: Identifier,
    secret: Type.String({ description: 'shown this once' }),
    credentials: Type.Integer({ description: 'secrets that are valid now' }),
  },
  { title: 'NewSecret' },
)
/** Some clients send `{}` where there is nothing to say. */
export const EmptyBody = Type.Object({}, closed)

/** Why a body that fits its schema is no device all the same. */
export function deviceFault(body: DevicePut): { path: string; message: string } | undefined {
  const { attributes } = body
  if (attributes === undefined) return undefined
  if (Buffer.byteLength(JSON.stringify(attributes)) <= apiBounds.attributesMaxBytes)
    return undefined
  return { path: '/attributes', message: `is over ${apiBounds.attributesMaxBytes} bytes of JSON` }
}
