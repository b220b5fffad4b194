import { type Static, Type } from 'typebox'
import { eventKinds } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { eventIdPattern } from './patterns.ts'
import { closed, Identifier, Nullable, pageLimit, Time } from './schemas.ts'

export const WebhookPath = Type.Object({ webhook: Identifier })
export const WebhookQuery = Type.Object(
  { after: Type.Optional(Identifier), limit: pageLimit },
  closed,
)

const filters = {
  types: Type.Optional(
    Type.Array(Type.Enum([...eventKinds]), {
      minItems: 1,
      uniqueItems: true,
      description: 'Only these; left out: all.',
    }),
  ),
  device: Type.Optional(Identifier),
  tag: Type.Optional(Identifier),
}

export const WebhookPut = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      maxLength: apiBounds.callbackMaxChars,
      description: 'http or https; its host must not be in a private network unless allowed.',
    }),
    ...filters,
    disabled: Type.Optional(
      Type.Boolean({ description: 'Nothing is sent; where it stands is kept.', default: false }),
    ),
  },
  {
    ...closed,
    title: 'WebhookPut',
    examples: [{ url: 'https://example.com/pike', types: ['command.ended'] }],
  },
)

const count = (description?: string) =>
  Type.Integer({ minimum: 0, ...(description !== undefined && { description }) })

const Status = Type.Object(
  {
    delivered: count('Events that were taken.'),
    failedAttempts: count(),
    waiting: count('Events read from the log and not yet taken.'),
    behind: Type.Boolean({ description: 'More wait in the log.' }),
    lanesFailing: count('Of 64, each for its share of the devices.'),
    deadLetters: count(),
    lastDeliveredAt: Type.Optional(Time),
    lastError: Type.Optional(Type.Object({ at: Time, text: Type.String() })),
    nextAt: Type.Optional(Time),
  },
  { title: 'WebhookStatus' },
)

export const Webhook = Type.Object(
  {
    name: Identifier,
    url: Type.Optional(
      Type.String({ description: 'none of `callbacks`: each command has its own' }),
    ),
    ...filters,
    disabled: Type.Boolean(),
    createdAt: Time,
    changedAt: Time,
    secretIds: Type.Array(Type.String(), { description: 'the newest first; all of them sign' }),
    status: Status,
    secret: Type.Optional(Type.String({ description: 'shown this once, when it was made' })),
  },
  { title: 'Webhook' },
)
export type Webhook = Static<typeof Webhook>
export const WebhookList = Type.Object(
  { items: Type.Array(Webhook), next: Nullable(Type.String()) },
  { title: 'WebhookPage' },
)

export const WebhookSecret = Type.Object(
  { id: Type.String(), secret: Type.String({ description: 'shown this once' }) },
  { title: 'WebhookSecret' },
)

const EventId = Type.String({ pattern: eventIdPattern, description: 'an event id' })
export const DeadLetterQuery = Type.Object(
  { after: Type.Optional(EventId), limit: pageLimit },
  closed,
)
export const DeadLetterPick = Type.Object(
  { event: Type.Optional(EventId) },
  { ...closed, title: 'DeadLetterPick', description: 'One; left out: all.' },
)
export const DeadLetter = Type.Object(
  {
    event: Type.String(),
    device: Identifier,
    type: Type.Enum([...eventKinds]),
    setAsideAt: Time,
    attempts: count(),
    lastError: Type.String(),
  },
  { title: 'DeadLetter' },
)
export const DeadLetterList = Type.Object(
  { items: Type.Array(DeadLetter), next: Nullable(Type.String()) },
  { title: 'DeadLetterPage' },
)
export const Sending = Type.Object({ sending: count() })
export const Discarded = Type.Object({ discarded: count() })
