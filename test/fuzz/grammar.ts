import type { Shape } from './mutate.ts'
import type { Random } from './random.ts'

/** A device, as it proves itself. */
export interface Who {
  readonly app: string
  readonly device: string
  readonly secret: string
  /** The session it was given, where a session has a name: `s/…` of CoAP; empty before. */
  readonly session: string
}

/** What valid clients of a protocol say. */
export interface Grammar extends Shape {
  /** The first packets of one who comes. */
  opening(who: Who, random: Random): Buffer[]
  /** A few packets of one who was let in. */
  session(who: Who, random: Random): Buffer[]
}

/** Names and types as firmware has them, and some as nobody should. */
export const oddNames = [
  'open',
  'door-opened',
  'a/b/c',
  '__proto__',
  'constructor',
  'toString',
  '',
  ' ',
  '..',
  '%2e%2e',
  '\u{1f512}',
  'e\u0301',
  '\ufeff',
  '\u202e',
  '\u0000',
  'n'.repeat(128),
  'n'.repeat(129),
  '\u00e9'.repeat(64),
  '\u00e9'.repeat(65),
  '#',
  '+',
  '$SYS',
] as const

const oddPayloads = [
  '',
  '{}',
  '{"door":7}',
  '1e999',
  '{"__proto__":{"a":1}}',
  '[[[[[[[[[[',
  '"\ud800"',
  '\u0000',
  'x',
  '[1,2,3]',
  '{"a":',
  'null',
].map((text) => Buffer.from(text))

export function payloadOf(random: Random): Buffer {
  if (random.chance(0.05)) return Buffer.alloc(random.pick([1_000, 5_000, 49_152, 49_153]), 0x78)
  if (random.chance(0.05)) return Buffer.from('['.repeat(random.pick([63, 64, 65, 2_000])))
  return random.pick(oddPayloads)
}

/** Mostly as it should be: whoever errs everywhere is turned away at the first word. */
export const nameOf = (random: Random): string =>
  random.chance(0.9) ? random.pick(['open', 'door-opened', 'temperature']) : random.pick(oddNames)

/** As ids of commands look, and as they should not. */
export const commandIds = (device: string): readonly string[] => [
  `${device}:main:1:1`,
  `${device}:urgent:k3f9:9007199254740991`,
  'x',
  '',
  ':::',
  `${device}:main:1:1:1`,
  `${device}:main:zzzzzzzzzzzzz:1`,
  `${device}:main:-1:-1`,
  'other:main:1:1',
]
