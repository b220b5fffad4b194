import { type Static, Type } from 'typebox'
import { endStatuses, identifierPattern, limits } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { base64Pattern, contentTypePattern, printablePattern, visiblePattern } from './patterns.ts'
import {
  closed,
  Identifier,
  Nullable,
  Problem,
  pageLimit,
  payloadFields,
  ReplyStatus,
  Status,
  Step,
  Time,
} from './schemas.ts'

/** What is asked for, whomever it is for. */
const commandFields = {
  name: Type.String({
    minLength: 1,
    maxLength: limits.nameMaxBytes,
    pattern: printablePattern,
    description: `What to do; at most ${limits.nameMaxBytes} bytes of UTF-8.`,
  }),
  payload: Type.Optional(
    Type.Unknown({ description: 'Any JSON; the device gets its text as it stands here.' }),
  ),
  payloadBase64: Type.Optional(
    Type.String({ pattern: base64Pattern, description: 'Bytes, instead of `payload`.' }),
  ),
  contentType: Type.Optional(
    Type.String({
      maxLength: apiBounds.contentTypeMaxChars,
      pattern: contentTypePattern,
      description: 'Of `payloadBase64`; application/octet-stream if left out.',
    }),
  ),
  delivery: Type.Optional(
    Type.Enum(['queue', 'now'], {
      description: '`now`: given to a live link before its deadline or not at all.',
      default: 'queue',
    }),
  ),
  ttl: Type.Optional(
    Type.Number({
      minimum: 0.001,
      maximum: limits.ttlMaxMs / 1000,
      description: 's in which it may be handed over. Default: 7 days; 30 s for `now`.',
    }),
  ),
  expect: Type.Optional(
    Type.Enum(['ack', 'reply'], {
      description: "What ends it well: the device's acknowledgement, or its reply.",
      default: 'ack',
    }),
  ),
  replyTimeout: Type.Optional(
    Type.Number({
      minimum: 0.001,
      maximum: limits.replyTimeoutMaxMs / 1000,
      description: 's from delivered in which the reply must come. Default: 60.',
    }),
  ),
  channel: Type.Optional(Type.String({ pattern: identifierPattern, default: 'main' })),
  collapse: Type.Optional(
    Nullable(
      Type.String({
        minLength: 1,
        maxLength: apiBounds.collapseMaxChars,
        pattern: printablePattern,
        description: 'A newer command with the same key replaces an older one still queued.',
      }),
    ),
  ),
  callback: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: apiBounds.callbackMaxChars,
      description:
        'An http or https URL: the `command.ended` event is posted there, signed. Needs POST /v1/webhooks/callbacks/secrets once.',
    }),
  ),
}
const notBefore = Type.Optional(
  Type.String({
    format: 'date-time',
    maxLength: 64,
    description:
      'RFC 3339. Not handed over before; `ttl` counts from then. It takes its place in the channel at that moment, not before.',
  }),
)

export const CommandPost = Type.Object(
  {
    ...commandFields,
    notBefore,
  },
  {
    ...closed,
    title: 'CommandPost',
    examples: [
      {
        name: 'open',
        payload: { door: 7 },
        delivery: 'now',
        ttl: 30,
        expect: 'reply',
        replyTimeout: 60,
        channel: 'urgent',
      },
    ],
  },
)
export type CommandPost = Static<typeof CommandPost>

const broadcastFields = {
  rate: Type.Optional(
    Type.Number({
      minimum: 1,
      maximum: apiBounds.broadcastRateMax,
      description: 'Devices a second, at most.',
    }),
  ),
  stopAfterFailures: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        'Place no more once so many have ended other than `delivered`, `done`, `canceled` or `superseded`.',
    }),
  ),
}

export const BroadcastPost = Type.Object(
  { ...commandFields, ...broadcastFields },
  {
    ...closed,
    title: 'BroadcastPost',
    examples: [{ name: 'restart', expect: 'reply', rate: 50, stopAfterFailures: 10 }],
  },
)
export type BroadcastPost = Static<typeof BroadcastPost>

const Target = Type.Object(
  {
    device: Type.Optional(Identifier),
    alias: Type.Optional(Identifier),
    tag: Type.Optional(Identifier),
  },
  { ...closed, description: 'One of the three.' },
)

export const CommandLine = Type.Object(
  {
    to: Target,
    idempotencyKey: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: apiBounds.idempotencyKeyMaxChars,
        pattern: visiblePattern,
        description: 'Of this line, as the Idempotency-Key of a single call.',
      }),
    ),
    ...commandFields,
    notBefore,
    ...broadcastFields,
  },
  {
    ...closed,
    title: 'CommandLine',
    examples: [{ to: { device: 'SZ-0042' }, name: 'open', payload: { door: 7 } }],
  },
)
export type CommandLine = Static<typeof CommandLine>

export const LineAnswer = Type.Object(
  {
    line: Type.Integer({ minimum: 1, description: 'From 1; blank lines count.' }),
    status: Type.Integer({ description: 'What a single call would have been answered with.' }),
    id: Type.Optional(Type.String({ description: 'Of the command.' })),
    commandStatus: Type.Optional(Status),
    broadcast: Type.Optional(Type.String()),
    devices: Type.Optional(Type.Integer({ description: 'Of the broadcast.' })),
    problem: Type.Optional(Problem),
  },
  { ...closed, title: 'LineAnswer' },
)
export type LineAnswer = Static<typeof LineAnswer>

const place = {
  id: Type.String(),
  device: Type.String(),
  channel: Type.String(),
  epoch: Type.Optional(
    Type.Integer({ description: 'with `offset`: not while it waits for `notBefore`' }),
  ),
  offset: Type.Optional(Type.Integer()),
}
export const Accepted = Type.Object(
  { ...place, status: Status, notBefore: Type.Optional(Time), expiresAt: Time },
  { title: 'Accepted' },
)

const Reply = Type.Object(
  {
    status: ReplyStatus,
    reason: Type.Optional(Type.String()),
    ...payloadFields,
  },
  { title: 'Reply' },
)

export const Command = Type.Object(
  {
    ...place,
    name: Type.String(),
    status: Status,
    ended: Type.Boolean({ description: 'true: `status` is the outcome and never changes' }),
    reason: Type.Optional(Type.String()),
    delivery: Type.Enum(['queue', 'now']),
    expect: Type.Enum(['ack', 'reply']),
    acceptedAt: Time,
    notBefore: Type.Optional(Time),
    expiresAt: Time,
    callback: Type.Optional(Type.String()),
    broadcast: Type.Optional(Type.String({ description: 'the broadcast it is part of' })),
    traceparent: Type.Optional(
      Type.String({ description: 'as the call had it: W3C Trace Context' }),
    ),
    askedBy: Type.String({ description: 'the name of the API key that asked' }),
    timeline: Type.Array(Step),
    reply: Type.Optional(Reply),
  },
  { title: 'Command' },
)

export const Explanation = Type.Object(
  {
    code: Type.String({ description: 'for programs' }),
    sentence: Type.String({ description: 'for people' }),
    session: Type.Optional(
      Type.Object({
        connection: Type.String(),
        protocol: Type.String(),
        peer: Type.String(),
        since: Time,
        heardAt: Time,
        inFlight: Type.Integer(),
        windowMaxCommands: Type.Integer(),
      }),
    ),
    head: Type.Optional(
      Type.String({ description: 'the oldest undelivered command, for which the others wait' }),
    ),
    lastAcknowledgedAt: Type.Optional(Time),
    nextAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'when something becomes of it if nobody says anything',
      }),
    ),
    command: Command,
  },
  { title: 'Explanation' },
)

export const HistoryQuery = Type.Object(
  {
    status: Type.Optional(Type.Enum(['open', ...endStatuses])),
    after: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    limit: pageLimit,
  },
  closed,
)
export const History = Type.Object(
  { items: Type.Array(Command), next: Nullable(Type.String()) },
  { title: 'CommandPage' },
)
