import { type Static, Type } from 'typebox'
import { scopes } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { visiblePattern } from './patterns.ts'
import { closed, Identifier, Nullable, pageLimit, Time } from './schemas.ts'

export const AppPath = Type.Object({ app: Identifier })
export const KeyPath = Type.Object({ app: Identifier, name: Identifier })
/** Both lists are short, but a page is a page everywhere. */
export const NameQuery = Type.Object({ after: Type.Optional(Identifier), limit: pageLimit }, closed)

const amount = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000_000, description }))
const Quota = Type.Object(
  {
    commandsPerSecond: amount('Commands accepted. Above: `429`, and NDJSON is read more slowly.'),
    eventsPerSecond: amount('Events kept. Above: its devices are read more slowly.'),
    sessions: amount('Links attached. Above: the further one is refused.'),
  },
  { ...closed, title: 'Quota', description: 'What is left out has no bound of its own.' },
)

export const AppPut = Type.Object(
  {
    quota: Type.Optional(
      Type.Union([Quota, Type.Null()], {
        description: 'Instead of the one before; left out: as before; null: none.',
      }),
    ),
  },
  { ...closed, title: 'AppPut', examples: [{ quota: { commandsPerSecond: 500 } }] },
)

const count = Type.Integer({ minimum: 0 })
export const AppView = Type.Object(
  {
    app: Identifier,
    createdAt: Time,
    quota: Type.Optional(Quota),
    devices: count,
    commands: Type.Object(
      {
        accepted: count,
        open: count,
        ended: Type.Record(Type.String(), count, { description: 'by outcome' }),
      },
      { description: 'Accepted = open + ended, always; since the app was made.' },
    ),
  },
  { title: 'App' },
)
export type AppView = Static<typeof AppView>
export const AppList = Type.Object(
  { items: Type.Array(AppView), next: Nullable(Type.String()) },
  { title: 'AppPage' },
)

export const KeyPut = Type.Object(
  {
    scopes: Type.Array(Type.Enum([...scopes]), {
      minItems: 1,
      uniqueItems: true,
      description: '`admin` has the others too, and alone may use /v1/apps and /v1/backup.',
    }),
    key: Type.Optional(
      Type.String({
        minLength: apiBounds.keyMinChars,
        maxLength: apiBounds.keyMaxChars,
        pattern: visiblePattern,
        description: 'A key of your own making: random, visible ASCII. Left out: one is made.',
      }),
    ),
  },
  { ...closed, title: 'KeyPut', examples: [{ scopes: ['commands', 'events'] }] },
)

export const Key = Type.Object(
  {
    app: Identifier,
    name: Identifier,
    scopes: Type.Array(Type.Enum([...scopes])),
    createdAt: Time,
    key: Type.Optional(Type.String({ description: 'shown this once, when it was made' })),
  },
  { title: 'Key' },
)
export type Key = Static<typeof Key>
export const KeyList = Type.Object(
  { items: Type.Array(Key), next: Nullable(Type.String()) },
  { title: 'KeyPage' },
)
