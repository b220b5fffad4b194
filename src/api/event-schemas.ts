import { Type } from 'typebox'
import { endStatuses, eventKinds, identifierPattern, limits } from '../contract/index.ts'
import { eventIdPattern } from './patterns.ts'
import { closed, Identifier, pageLimit, payloadFields, ReplyStatus, Step, Time } from './schemas.ts'

export const EventsQuery = Type.Object(
  {
    after: Type.Optional(
      Type.String({ pattern: eventIdPattern, description: 'An event id or the `next` of a page.' }),
    ),
    limit: pageLimit,
    wait: Type.Optional(
      Type.Number({
        minimum: 0,
        description: `s to hold a page that would be empty; at most ${limits.waitMaxMs / 1000}.`,
      }),
    ),
    device: Type.Optional(Identifier),
    tag: Type.Optional(
      Type.String({
        pattern: identifierPattern,
        description: 'Only of devices that have this tag by the time it is read.',
      }),
    ),
    type: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 16,
        description: `Of ${eventKinds.join(', ')}; repeated, or joined by commas.`,
      }),
    ),
  },
  closed,
)

const about = {
  id: Type.String(),
  app: Type.String(),
  device: Type.String(),
  channel: Type.Optional(Type.String()),
  at: Time,
}
const traceparent = Type.Optional(
  Type.String({ description: 'as the call that sent the command had it: W3C Trace Context' }),
)
const Stamp = Type.Object({ epoch: Type.Integer(), sequence: Type.Integer() })

export const Event = Type.Union(
  [
    Type.Object({
      ...about,
      type: Type.Literal('event'),
      name: Type.String(),
      stamp: Type.Optional(Stamp),
      maybeRepeat: Type.Optional(Type.Boolean()),
      ...payloadFields,
    }),
    Type.Object({
      ...about,
      type: Type.Literal('reply'),
      traceparent,
      command: Type.String(),
      status: ReplyStatus,
      reason: Type.Optional(Type.String()),
      stamp: Type.Optional(Stamp),
      ...payloadFields,
    }),
    Type.Object({
      ...about,
      type: Type.Literal('presence'),
      state: Type.Enum(['online', 'suspect', 'asleep', 'offline']),
      term: Type.Optional(
        Type.Integer({
          description:
            'larger than that of every change of this device before it: what comes late is known by it',
        }),
      ),
      heardAt: Type.Optional(
        Type.String({ format: 'date-time', description: 'last proof of life; left out: `at`' }),
      ),
      protocol: Type.Optional(Type.String()),
      via: Type.Optional(
        Type.String({ description: 'the device that speaks for it, or did; left out: itself' }),
      ),
      reason: Type.Optional(Type.String()),
    }),
    Type.Object({
      ...about,
      type: Type.Literal('command.ended'),
      traceparent,
      command: Type.String(),
      name: Type.String(),
      status: Type.Enum([...endStatuses]),
      reason: Type.Optional(Type.String()),
      delivery: Type.Enum(['queue', 'now']),
      expect: Type.Enum(['ack', 'reply']),
      acceptedAt: Time,
      expiresAt: Time,
      askedBy: Type.String(),
      timeline: Type.Array(Step),
    }),
    Type.Object({
      ...about,
      type: Type.Literal('command.late'),
      traceparent,
      command: Type.String(),
      proof: Type.Enum(['acknowledged', 'reply']),
      status: Type.Optional(ReplyStatus),
      reason: Type.Optional(Type.String()),
      ...payloadFields,
    }),
    Type.Object({
      ...about,
      type: Type.Literal('session.conflict'),
      hold: Type.Number({ description: 's for which neither may attach' }),
    }),
    Type.Object({
      ...about,
      type: Type.Literal('position.unknown'),
      claimed: Type.Object({ epoch: Type.Integer(), offset: Type.Integer() }),
    }),
  ],
  { title: 'Event' },
)

export const EventPageBody = Type.Object(
  {
    items: Type.Array(Event),
    next: Type.String({ description: '`after` of the next call; there always is one' }),
    caughtUp: Type.Boolean({ description: 'false: more lies behind `next`, ask again at once' }),
  },
  { title: 'EventPage' },
)
