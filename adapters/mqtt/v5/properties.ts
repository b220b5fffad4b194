import { code, type Properties } from './packets.ts'
import * as take from './read.ts'

/** What properties can stand in (§2.2.2.2, table 2-4), of what a client sends. */
export type Place =
  | 'connect'
  | 'will'
  | 'publish'
  | 'ack'
  | 'subscribe'
  | 'unsubscribe'
  | 'disconnect'
  | 'auth'

/** User properties that mean something here; of each the first counts. */
export const userNames = {
  'pike-stamp': 'stamp',
  'pike-status': 'status',
  'pike-reason': 'reason',
  'pike-name': 'name',
} as const satisfies Record<string, keyof Properties>
const known: ReadonlyMap<string, 'stamp' | 'status' | 'reason' | 'name'> = new Map(
  Object.entries(userNames),
)

type Names = { -readonly [name in keyof Properties]: Properties[name] }

interface Rule {
  readonly places: readonly Place[]
  /** Reads the value, and keeps it where it means something here. */
  readonly read: (into: Names) => void
  /** Only user properties may come more than once. */
  readonly many?: true
}

const skipText = (): void => take.skipText()
const skipBytes = (): void => {
  take.bytes()
}

/** 0 or 1 (§3.1.2.11.6 and its like). */
function flag(): boolean {
  const value = take.uint8()
  if (value > 1) take.disallowed('a flag that is neither 0 nor 1')
  return value === 1
}

function not0(value: number, what: string): number {
  if (value === 0) take.disallowed(`${what} 0`)
  return value
}

const rules: readonly (Rule | undefined)[] = (() => {
  const list = new Array<Rule | undefined>(0x30).fill(undefined)
  const publishing: readonly Place[] = ['publish', 'will']
  list[0x01] = { places: publishing, read: (into) => (into.payloadIsText = flag()) }
  list[0x02] = { places: publishing, read: (into) => (into.messageExpiryS = take.uint32()) }
  list[0x03] = { places: publishing, read: (into) => (into.contentType = take.text()) }
  list[0x08] = { places: publishing, read: readResponseTopic }
  list[0x09] = { places: publishing, read: (into) => (into.correlation = take.bytes()) }
  list[0x0b] = {
    places: ['subscribe'],
    read: (into) => (into.subscriptionId = not0(take.varint(), 'subscription identifier')),
  }
  list[0x11] = {
    places: ['connect', 'disconnect'],
    read: (into) => (into.sessionExpiryS = take.uint32()),
  }
  list[0x15] = { places: ['connect', 'auth'], read: (into) => (into.authMethod = take.text()) }
  list[0x16] = { places: ['connect', 'auth'], read: skipBytes }
  list[0x17] = { places: ['connect'], read: (into) => (into.wantsProblems = flag()) }
  list[0x18] = { places: ['will'], read: (into) => (into.willDelayS = take.uint32()) }
  list[0x19] = { places: ['connect'], read: (into) => (into.wantsResponseInfo = flag()) }
  list[0x1f] = { places: ['ack', 'disconnect', 'auth'], read: skipText }
  list[0x21] = {
    places: ['connect'],
    read: (into) => (into.receiveMaximum = not0(take.uint16(), 'receive maximum')),
  }
  list[0x22] = { places: ['connect'], read: (into) => (into.topicAliasMaximum = take.uint16()) }
  list[0x23] = { places: ['publish'], read: readTopicAlias }
  list[0x26] = {
    places: ['connect', 'will', 'publish', 'ack', 'subscribe', 'unsubscribe', 'disconnect', 'auth'],
    many: true,
    read: readUserProperty,
  }
  list[0x27] = {
    places: ['connect'],
    read: (into) => (into.packetMaxBytes = not0(take.uint32(), 'maximum packet size')),
  }
  return list
})()

function readResponseTopic(): void {
  if (isWild(take.text())) take.disallowed('a response topic with a wildcard') // [MQTT-3.3.2-14]
}

function readTopicAlias(into: Names): void {
  into.topicAlias = take.uint16()
  // [MQTT-3.3.2-8]
  if (into.topicAlias === 0) take.fail(code.topicAliasInvalid, 'topic alias 0')
}

function readUserProperty(into: Names): void {
  const name = known.get(take.text())
  if (name === undefined || into[name] !== undefined) take.skipText()
  else into[name] = take.text()
}

export const isWild = (topic: string): boolean => topic.includes('+') || topic.includes('#')

const none: Properties = {}

/** The properties that come next. Each at most once, each only where it may stand. */
export function readProperties(place: Place): Properties {
  const length = take.varint()
  if (length === 0 || take.wrong()) return none
  const into: Names = {}
  const end = take.narrow(length)
  // Identifiers end below 0x30: two words of bits are enough.
  let seenLow = 0
  let seenHigh = 0
  while (take.left() > 0) {
    const id = take.varint()
    const rule = rules[id]
    if (rule === undefined || !rule.places.includes(place)) {
      // §2.2.2.2: an identifier that is not valid for its packet is malformed.
      take.malformed(`property ${id} in ${place}`)
      break
    }
    const bit = 1 << (id & 31)
    const seen = id < 32 ? seenLow & bit : seenHigh & bit
    if (seen !== 0 && rule.many === undefined) take.disallowed(`property ${id} twice`)
    if (id < 32) seenLow |= bit
    else seenHigh |= bit
    rule.read(into)
  }
  take.widen(end)
  return into
}
