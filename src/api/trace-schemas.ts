import { Type } from 'typebox'
import { closed, pageLimit, Time } from './schemas.ts'

export const ConnectionPath = Type.Object({
  connection: Type.String({ maxLength: 128, description: 'A token, as traces and logs name it.' }),
})

const payloads = Type.Optional(
  Type.Boolean({
    default: false,
    description: 'Show how payloads begin; needs the scope `payloads`.',
  }),
)

export const TraceQuery = Type.Object(
  {
    since: Type.Optional(
      Type.String({
        maxLength: 64,
        description:
          'The `id` of an entry, or the `next` of a page: what came after it. Or a time (RFC 3339): from then on. Left out: the last `limit`.',
      }),
    ),
    limit: pageLimit,
    connection: Type.Optional(
      Type.String({ maxLength: 128, description: 'Only what went over this one.' }),
    ),
    payloads,
  },
  closed,
)

export const ConnectionQuery = Type.Object({ limit: pageLimit, payloads }, closed)

export const TraceEntry = Type.Object(
  {
    id: Type.String({ description: 'Grows, until the gateway starts anew.' }),
    at: Time,
    way: Type.Enum(['in', 'out', 'state'], {
      description: '`in`: from the device. `out`: to it. `state`: what became of it, or a command.',
    }),
    type: Type.String({
      description:
        'The frame in the words of its protocol, e.g. `COMMAND`, `PUBACK`, `POST`; or the state, e.g. `accepted`, `attached`, `taken-over`, `ended`.',
    }),
    connection: Type.Optional(Type.String({ description: 'The token of the connection.' })),
    protocol: Type.Optional(Type.String()),
    channel: Type.Optional(Type.String()),
    command: Type.Optional(Type.String({ description: 'Its id.' })),
    epoch: Type.Optional(Type.Integer()),
    offset: Type.Optional(
      Type.Integer({
        description: 'Of an ACK: everything up to and with it, where that is meant.',
      }),
    ),
    sequence: Type.Optional(Type.Integer()),
    name: Type.Optional(Type.String()),
    bytes: Type.Optional(Type.Integer({ description: 'on the wire' })),
    reason: Type.Optional(Type.String()),
    about: Type.Optional(
      Type.String({ description: 'who or what else: a key, a peer, a packet id, a connection' }),
    ),
    payload: Type.Optional(Type.String({ description: 'how long it was, e.g. `12 bytes`' })),
    text: Type.Optional(Type.String({ description: 'with `payloads`: how it begins' })),
    base64: Type.Optional(Type.String({ description: 'the same, where it is no text' })),
    truncated: Type.Optional(Type.Literal(true, { description: 'there was more of it' })),
  },
  { title: 'TraceEntry' },
)

export const TracePage = Type.Object(
  {
    items: Type.Array(TraceEntry, { description: 'newest last' }),
    next: Type.String({ description: 'as `since`: go on from here' }),
    caughtUp: Type.Boolean({ description: 'nothing lies behind it yet' }),
    ringFrom: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'as far back as anything is remembered, of any device',
      }),
    ),
  },
  { title: 'Trace' },
)

export const Connection = Type.Object(
  {
    connection: Type.String(),
    protocol: Type.String(),
    peer: Type.String(),
    state: Type.Enum(['open', 'ended']),
    since: Time,
    endedAt: Type.Optional(Time),
    reason: Type.Optional(Type.String()),
    devices: Type.Array(Type.String(), { description: 'of your app: who proved to be there' }),
    entries: Type.Array(TraceEntry, { description: 'newest last' }),
  },
  { title: 'Connection' },
)
