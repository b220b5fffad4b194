import { type Static, Type } from 'typebox'
import { DevicePut } from './device-schemas.ts'
import { closed, Identifier, Problem } from './schemas.ts'

export const DeviceLine = Type.Object(
  { device: Identifier, ...DevicePut.properties },
  { ...closed, title: 'DeviceLine', description: 'One line each.' },
)
export type DeviceLine = Static<typeof DeviceLine>

export const DeviceRows = Type.String({
  title: 'DeviceRows',
  description:
    'A header row, then one device a row. Columns: device, secret, disabled (true or false), tags (separated by ;), attributes.NAME (text). An empty cell says nothing: that stays as it is.',
})

export const DeviceLineAnswer = Type.Object(
  {
    line: Type.Integer({ description: 'Of NDJSON: the line. Of CSV: the row after the header.' }),
    status: Type.Integer({ description: '201: registered. 200: changed. Else see `problem`.' }),
    device: Type.Optional(Identifier),
    secret: Type.Optional(Type.String({ description: 'shown this once, where we made one' })),
    problem: Type.Optional(Problem),
  },
  { title: 'DeviceLineAnswer' },
)
