/** How bad a network is. Shares are 0 to 1, of packets or pieces; times 0: never. */
export interface Conditions {
  /** Lost: a datagram is gone; what TCP carries comes after a retransmission, and all behind it. */
  readonly loss: number
  /** There and back. */
  readonly rttMs: number
  /** Up to so much more, each way, by chance. */
  readonly jitterMs: number
  /** Split, the rest a little later; a datagram cannot be, and is spared. */
  readonly torn: number
  /** The connection is reset instead. */
  readonly reset: number
  /** Everything waits for a few seconds. */
  readonly stall: number
  /** A datagram comes again. */
  readonly twice: number
  /** A datagram is overtaken by those behind it. */
  readonly reorder: number
  /** Mean time until the link dies: half of them aloud, half in silence; of datagrams for seconds. */
  readonly flapMs: number
  /** A link idle for longer is forgotten by the NAT on the way. */
  readonly natMs: number
  /** A device that sends datagrams has a new address so often. */
  readonly rebindMs: number
}

export const fair: Conditions = {
  loss: 0,
  rttMs: 0,
  jitterMs: 0,
  torn: 0,
  reset: 0,
  stall: 0,
  twice: 0,
  reorder: 0,
  flapMs: 0,
  natMs: 0,
  rebindMs: 0,
}

type Writable = { -readonly [name in keyof Conditions]: Conditions[name] }

interface Part {
  readonly unit: 'share' | 'time'
  readonly field: keyof Conditions
}

const parts: ReadonlyMap<string, Part> = new Map([
  ['loss', { unit: 'share', field: 'loss' }],
  ['rtt', { unit: 'time', field: 'rttMs' }],
  ['jitter', { unit: 'time', field: 'jitterMs' }],
  ['torn', { unit: 'share', field: 'torn' }],
  ['reset', { unit: 'share', field: 'reset' }],
  ['stall', { unit: 'share', field: 'stall' }],
  ['twice', { unit: 'share', field: 'twice' }],
  ['reorder', { unit: 'share', field: 'reorder' }],
  ['flap', { unit: 'time', field: 'flapMs' }],
  ['nat', { unit: 'time', field: 'natMs' }],
  ['rebind', { unit: 'time', field: 'rebindMs' }],
])

const msIn: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
const timeMaxMs = 24 * 3_600_000

/** `loss=5%,rtt=200ms,flap=30s,nat=60s,torn=2%`. @returns a string: which part is wrong, and how to write it. */
export function readConditions(text: string): Conditions | string {
  const conditions: Writable = { ...fair }
  const seen = new Set<string>()
  for (const written of text.split(',')) {
    const [, name = '', value = ''] = /^\s*([^=\s]*)\s*=?\s*(.*?)\s*$/.exec(written) ?? []
    const part = parts.get(name)
    if (part === undefined) return `"${name}" is none of ${[...parts.keys()].join(', ')}`
    if (seen.has(name)) return `${name} is there twice`
    seen.add(name)
    const read = part.unit === 'share' ? share(value) : time(value)
    if (read === undefined)
      return part.unit === 'share'
        ? `${name}: write a share like ${name}=5%, of at most 100%, not "${value}"`
        : `${name}: write a time like ${name}=200ms, ${name}=30s or ${name}=5m, not "${value}"`
    conditions[part.field] = read
  }
  return conditions
}

function share(text: string): number | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text)
  const value = match === null ? Number.NaN : Number(match[1]) / 100
  return value <= 1 ? value : undefined
}

function time(text: string): number | undefined {
  const match = /^(\d{1,8}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text)
  const value = match === null ? Number.NaN : Number(match[1]) * msIn[match[2]!]!
  return value <= timeMaxMs ? value : undefined
}
