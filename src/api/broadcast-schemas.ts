import { Type } from 'typebox'
import { endStatuses } from '../contract/index.ts'
import { closed, Identifier, Nullable, pageLimit, Time } from './schemas.ts'

export const BroadcastPath = Type.Object({
  broadcast: Type.String({ description: 'A broadcast id.' }),
})

export const BroadcastAccepted = Type.Object(
  { broadcast: Type.String(), devices: Type.Integer({ description: 'that have the tag now' }) },
  { title: 'BroadcastAccepted' },
)

export const Broadcast = Type.Object(
  {
    id: Type.String(),
    tag: Type.String(),
    state: Type.Enum(['running', 'placed', 'stopped'], {
      description:
        '`running`: devices are still waiting for their command. `placed`: all have one. `stopped`: those that had none yet get none; `why` says so.',
    }),
    why: Type.Optional(Type.String()),
    name: Type.String(),
    channel: Type.String(),
    askedBy: Type.String({ description: 'the name of the API key that asked' }),
    traceparent: Type.Optional(Type.String({ description: 'of the call, for each device' })),
    createdAt: Time,
    rate: Type.Optional(Type.Number({ description: 'devices a second, at most' })),
    stopAfterFailures: Type.Optional(Type.Integer()),
    devices: Type.Integer({ description: 'that had the tag: waiting + notPlaced + open + ended' }),
    waiting: Type.Integer({ description: 'have no command yet' }),
    notPlaced: Type.Integer({
      description: 'got no command and get none, since the broadcast was stopped before their turn',
    }),
    open: Type.Integer(),
    ended: Type.Partial(
      Type.Object(Object.fromEntries(endStatuses.map((status) => [status, Type.Integer()]))),
      { description: 'how many, by outcome' },
    ),
  },
  { title: 'Broadcast' },
)

export const BroadcastList = Type.Object(
  { items: Type.Array(Broadcast), next: Nullable(Type.String()) },
  { title: 'BroadcastPage' },
)
export const BroadcastListQuery = Type.Object(
  { after: Type.Optional(Identifier), limit: pageLimit },
  closed,
)

const memberStatuses = ['waiting', 'not-placed', 'queued', 'sent', ...endStatuses, 'forgotten']
const MemberStatus = Type.Enum(memberStatuses, {
  description:
    '`waiting`: no command yet. `not-placed`: it gets none, the broadcast was stopped. `forgotten`: its command ended longer ago than history is kept.',
})
export const BroadcastDevices = Type.Object(
  {
    items: Type.Array(
      Type.Object({
        device: Type.String(),
        command: Type.Optional(Type.String()),
        status: MemberStatus,
      }),
    ),
    next: Nullable(Type.String()),
  },
  { title: 'BroadcastDevicePage' },
)
export const BroadcastDevicesQuery = Type.Object(
  {
    status: Type.Optional(MemberStatus),
    after: Type.Optional(Identifier),
    limit: pageLimit,
  },
  closed,
)
