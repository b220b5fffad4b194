import { type Limits, limits } from '../contract/index.ts'

export type LimitName = keyof Limits

/** One limit as it came out, for `pike config`. */
export interface ChosenLimit {
  readonly name: LimitName
  readonly value: number
  /** `flag`, `environment`, `default`, or the file's name. */
  readonly origin: string
}

/** `name=value` as somebody wrote it, and where. */
export interface GivenLimit {
  readonly name: string
  readonly text: string
  /** As above; earlier ones win over later ones of another origin. */
  readonly origin: string
  /** For people: `the flag --limit`. */
  readonly where: string
}

/**
 * The least that makes sense, where that is not 1: below it nothing would work, or a slip of the
 * pen (seconds for milliseconds, kilobytes for bytes) is likelier than a wish.
 */
const least: Partial<Record<LimitName, number>> = {
  lateStepsMax: 0,
  connectionLifetimeMs: 0,
  aliasHistoryMax: 0,
  waitersMax: 0,
  slaAppsMax: 0,
  slaClassesMax: 0,
  recorderMaxBytes: 0,
  recorderPayloadMaxBytes: 0,
  mailboxMaxBytes: 1_024,
  payloadMaxBytes: 1_024,
  nameMaxBytes: 16,
  windowMaxBytes: 1_024,
  linkMaxBytes: 4_096,
  besideUrgentMaxBytes: 0,
  handshakeTimeoutMs: 500,
  handshakeMaxBytes: 512,
  frameMaxBytes: 2_048,
  queueTtlMs: 1_000,
  nowTtlMs: 1_000,
  replyTimeoutMs: 1_000,
  inDoubtGraceMs: 100,
  keepaliveMinMs: 1_000,
  keepaliveMaxMs: 1_000,
  keepaliveDefaultMs: 1_000,
  keepaliveStartMs: 1_000,
  keepalivePoweredMaxMs: 1_000,
  ackOverdueMinMs: 100,
  ackOverdueMaxMs: 500,
  takeoverWindowMs: 1_000,
  conflictHoldMs: 1_000,
  idempotencyMs: 60_000,
  waitMaxMs: 1_000,
  eventsMaxAgeMs: 60_000,
  eventsRecentMax: 64,
  bodyMaxBytes: 4_096,
  commitMaxPending: 100,
  aliasKeptMs: 1_000,
  scheduleMaxMs: 60_000,
  webhookBatchMaxBytes: 1_024,
  webhookHeldMaxBytes: 65_536,
  webhookTimeoutMs: 100,
  webhookRetryMinMs: 100,
  webhookRetryMaxMs: 100,
  webhookDeadAfterMs: 1_000,
  eventsMaxBytes: 1_048_576,
  storeMaxBytes: 67_108_864,
  patrolMs: 1_000,
}

/** The most that the wire, the store or another bound can take, where there is such a thing. */
const most: Partial<Record<LimitName, number>> = {
  nameMaxBytes: limits.nameMaxBytes,
  windowMaxCommands: 1_024,
  connectionMaxChannels: limits.connectionMaxChannels,
  frameMaxBytes: 16 * 1_048_576,
  bodyMaxBytes: 64 * 1_048_576,
  webhookLanes: 1_024,
  webhookBatchMaxEvents: 1_000,
  recorderMaxBytes: 1_073_741_824,
  recorderPayloadMaxBytes: 1_024,
  patrolMs: 3_600_000,
}

/** What every back end was promised in the API's description. */
const fixed: readonly LimitName[] = ['ttlMaxMs', 'replyTimeoutMaxMs']

/** The first holds at most what the second says, less so much beside. */
const within: readonly (readonly [inner: LimitName, outer: LimitName, beside: number])[] = [
  ['keepaliveMinMs', 'keepaliveDefaultMs', 0],
  ['keepaliveDefaultMs', 'keepaliveMaxMs', 0],
  ['ackOverdueMinMs', 'ackOverdueMaxMs', 0],
  ['queueTtlMs', 'ttlMaxMs', 0],
  ['nowTtlMs', 'ttlMaxMs', 0],
  ['replyTimeoutMs', 'replyTimeoutMaxMs', 0],
  ['payloadMaxBytes', 'mailboxMaxBytes', 0],
  ['payloadMaxBytes', 'linkMaxBytes', 0],
  ['payloadMaxBytes', 'frameMaxBytes', 1_024],
  ['payloadMaxBytes', 'bodyMaxBytes', 1_024],
  ['scheduledMaxCommands', 'scheduledMaxTotal', 0],
  ['webhookRetryMinMs', 'webhookRetryMaxMs', 0],
  ['webhookBatchMaxBytes', 'webhookHeldMaxBytes', 0],
]

/** `name=value,name=value` in its parts; a part without `=` keeps its text as name. */
export function splitLimits(text: string): readonly (readonly [name: string, value: string])[] {
  const parts: [string, string][] = []
  for (const part of text.split(',')) {
    if (part.trim() === '') continue
    const at = part.indexOf('=')
    if (at === -1) parts.push([part.trim(), ''])
    else parts.push([part.slice(0, at).trim(), part.slice(at + 1).trim()])
  }
  return parts
}

/**
 * Every limit with its value and origin.
 * @param given the strongest origin first.
 * @returns one line that says what is wrong and what to do, or all of them.
 */
export function chooseLimits(given: readonly GivenLimit[]): string | readonly ChosenLimit[] {
  const chosen = new Map<LimitName, ChosenLimit>()
  for (const one of given) {
    const wrong = wrongLimit(one)
    if (wrong !== undefined) return `limit ${one.name} (from ${one.where}): ${wrong}`
    const name = one.name as LimitName
    const before = chosen.get(name)
    const value = Number(one.text)
    if (before === undefined) chosen.set(name, { name, value, origin: one.origin })
    else if (before.origin === one.origin && before.value !== value)
      return `limit ${name} (from ${one.where}): is there twice, ${before.value} and ${value}; remove one`
  }
  const all = limitNames.map(
    (name) => chosen.get(name) ?? { name, value: limits[name], origin: 'default' },
  )
  return clash(asLimits(all)) ?? all
}

export const limitNames = Object.keys(limits) as readonly LimitName[]

export const asLimits = (chosen: readonly ChosenLimit[]): Limits =>
  Object.fromEntries(chosen.map(({ name, value }) => [name, value])) as unknown as Limits

function wrongLimit({ name, text }: GivenLimit): string | undefined {
  if (!Object.hasOwn(limits, name))
    return `there is no such limit; did you mean ${nearest(name)}? "pike config --limits" lists them all`
  if (text === '') return 'has no value; write name=value'
  const value = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value))
    return `${JSON.stringify(text)} is no whole number; use digits only, in the unit its name ends with`
  const known = name as LimitName
  if (fixed.includes(known) && value !== limits[known])
    return `is part of what /openapi.json promises and cannot be set; leave it out`
  const min = least[known] ?? 1
  const max = most[known] ?? Number.MAX_SAFE_INTEGER
  if (value < min) return `${value} is too small to work with; use ${min} or more`
  if (value > max) return `${value} is more than can be; use ${max} or less`
  return undefined
}

/** Limits that do not go together. */
function clash(all: Limits): string | undefined {
  for (const [inner, outer, beside] of within) {
    if (all[inner] + beside <= all[outer]) continue
    const room = beside === 0 ? '' : ` and ${beside} beside`
    return `limits ${inner}=${all[inner]} and ${outer}=${all[outer]} do not go together: ${outer} must hold ${inner}${room}; set both`
  }
  // A payload of bytes comes as base64.
  const base64 = Math.ceil(all.payloadMaxBytes / 3) * 4 + 1_024
  if (base64 > all.bodyMaxBytes)
    return `limits payloadMaxBytes=${all.payloadMaxBytes} and bodyMaxBytes=${all.bodyMaxBytes} do not go together: a body must hold a payload as base64, ${base64}; set both`
  return undefined
}

/** The known name that takes the fewest changes of one letter. */
function nearest(name: string): LimitName {
  const asked = name.slice(0, 64).toLowerCase()
  let best = limitNames[0]!
  let bestDistance = Number.POSITIVE_INFINITY
  for (const known of limitNames) {
    const distance = changes(asked, known.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [known, distance]
  }
  return best
}

/** Levenshtein's distance. */
function changes(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < to.length; j++) {
      const swap = row[j]! + (from[i] === to[j] ? 0 : 1)
      next.push(Math.min(swap, row[j + 1]! + 1, next[j]! + 1))
    }
    row = next
  }
  return row[to.length]!
}
