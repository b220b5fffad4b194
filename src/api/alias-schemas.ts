import { type Static, Type } from 'typebox'
import { closed, Identifier, Nullable, pageLimit, Time } from './schemas.ts'

export const AliasPath = Type.Object({ alias: Identifier })

export const AliasPut = Type.Object(
  {
    device: Identifier,
    expiresAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'RFC 3339, in the future; from then on nobody has it. Left out: never.',
      }),
    ),
  },
  {
    ...closed,
    title: 'AliasPut',
    examples: [{ device: 'SZ-0042', expiresAt: '2126-11-21T09:00:00Z' }],
  },
)

export const Alias = Type.Object(
  {
    alias: Identifier,
    device: Identifier,
    expiresAt: Type.Optional(Time),
    createdAt: Time,
    changedAt: Time,
    history: Type.Array(Type.Object({ device: Identifier, from: Time, until: Time }), {
      description: 'Which devices it stood for before, newest first.',
    }),
  },
  { title: 'Alias' },
)
export type Alias = Static<typeof Alias>

export const AliasList = Type.Object(
  { items: Type.Array(Alias), next: Nullable(Type.String()) },
  { title: 'AliasPage' },
)
export const AliasListQuery = Type.Object(
  { after: Type.Optional(Identifier), limit: pageLimit },
  closed,
)
