import { isUtf8 } from 'node:buffer'
import type { Limits } from '../../../src/contract/index.ts'
import { type GateProblem, packetType } from '../gate.ts'

/** Of a CONNECT: how it is refused, where it can be read but not granted. MQTT 3.1.1 §3.2.2.3. */
export type ConnectProblem = GateProblem | 'identifier-rejected'

/**
 * What aedes does not look at, looked at before it sees a packet of MQTT 3.1 or 3.1.1: strings, packet
 * ids, lengths, flags, topics.
 *
 * Where a packet says something the contract can only say otherwise, it is changed: QoS 2 in a
 * SUBSCRIBE becomes 1, which is then what SUBACK grants.
 */
export function problemOf(packet: Buffer, limits: Limits): GateProblem | undefined {
  const type = packet[0]! >> 4
  const at = bodyStart(packet)
  switch (type) {
    case packetType.publish:
      return problemOfPublish(packet, at, limits)
    case packetType.puback:
    case packetType.pubrel:
      if (packet.length - at !== 2) return 'malformed'
      return packet.readUInt16BE(at) === 0 ? 'protocol-error' : undefined
    case packetType.subscribe:
      return problemOfFilters(packet, at, limits, true)
    case packetType.unsubscribe:
      return problemOfFilters(packet, at, limits, false)
    case packetType.pingreq:
    case packetType.disconnect:
      return packet.length === at ? undefined : 'malformed'
    default:
      // A second CONNECT [MQTT-3.1.0-2]; PUBREC and PUBCOMP of what is never sent at QoS 2; AUTH.
      return 'protocol-error'
  }
}

/** Where the packet goes on behind its fixed header. */
export function bodyStart(packet: Buffer): number {
  let at = 1
  while (packet[at]! >= 0x80) at++
  return at + 1
}

function problemOfPublish(packet: Buffer, start: number, limits: Limits): GateProblem | undefined {
  const topic = stringAt(packet, start)
  if (topic === undefined || topic.end === topic.start) return 'malformed'
  const problem = topicProblem(packet, topic, limits)
  if (problem !== undefined) return problem
  for (let i = topic.start; i < topic.end; i++) {
    if (packet[i] === hash || packet[i] === plus) return 'malformed' // [MQTT-3.3.2-2]
  }
  if ((packet[0]! & 0x06) === 0) return undefined
  if (packet.length < topic.end + 2) return 'malformed'
  return packet.readUInt16BE(topic.end) === 0 ? 'protocol-error' : undefined // [MQTT-2.3.1-1]
}

/**
 *     | packet id | length filter qos | length filter qos | ...      SUBSCRIBE
 *     | packet id | length filter | length filter | ...              UNSUBSCRIBE
 */
function problemOfFilters(
  packet: Buffer,
  start: number,
  limits: Limits,
  withQos: boolean,
): GateProblem | undefined {
  if (packet.length < start + 2) return 'malformed'
  if (packet.readUInt16BE(start) === 0) return 'protocol-error'
  const seen = new Set<string>()
  let at = start + 2
  let count = 0
  while (at < packet.length) {
    const filter = stringAt(packet, at)
    if (filter === undefined || filter.start === filter.end) return 'malformed'
    const problem = topicProblem(packet, filter, limits)
    if (problem !== undefined) return problem
    const text = packet.toString('utf8', filter.start, filter.end)
    if (!isFilter(text)) return 'malformed'
    // aedes would answer two of one kind with one code [MQTT-3.8.4-5].
    if (seen.has(text)) return 'protocol-error'
    seen.add(text)
    at = filter.end
    if (withQos) {
      const qos = packet[at]
      if (qos === undefined || qos > 2) return 'malformed' // [MQTT-3.8.3-4]
      if (qos === 2) packet[at] = 1
      at++
    }
    if (++count > limits.mqttSubscriptionsMax) return 'too-large'
  }
  return count === 0 ? 'protocol-error' : undefined // [MQTT-3.8.3-3]
}

/** `+` stands alone in its level, `#` alone in the last. MQTT 3.1.1 §4.7.1. */
export const isFilter = (filter: string): boolean =>
  filter.split('/').every((level, index, all) => {
    if (level === '+') return true
    if (level === '#') return index === all.length - 1
    return !/[+#]/.test(level)
  })

interface Span {
  readonly start: number
  readonly end: number
}

const hash = 0x23
const plus = 0x2b
const slash = 0x2f

/** @returns undefined: it does not fit in the packet. */
function stringAt(packet: Buffer, at: number): Span | undefined {
  if (at + 2 > packet.length) return undefined
  const start = at + 2
  const end = start + packet.readUInt16BE(at)
  return end > packet.length ? undefined : { start, end }
}

/** [MQTT-1.5.3-1] and -2: well-formed UTF-8 without U+0000. */
function isText(packet: Buffer, { start, end }: Span): boolean {
  const bytes = packet.subarray(start, end)
  return isUtf8(bytes) && !bytes.includes(0)
}

function topicProblem(packet: Buffer, span: Span, limits: Limits): GateProblem | undefined {
  if (span.end - span.start > limits.mqttTopicMaxBytes) return 'too-large'
  let levels = 1
  for (let i = span.start; i < span.end; i++) if (packet[i] === slash) levels++
  if (levels > limits.mqttTopicMaxLevels) return 'too-large'
  return isText(packet, span) ? undefined : 'malformed'
}

/**
 *     | name | level | flags | keep-alive | client id | will topic, will payload | user | password |
 *
 *     flags   user  password  will retain  will QoS (2)  will  clean  0
 */
export function problemOfConnect(
  packet: Buffer,
  level: 3 | 4,
  limits: Limits,
): ConnectProblem | undefined {
  const name = stringAt(packet, bodyStart(packet))
  if (name === undefined || packet.length < name.end + 4) return 'malformed'
  const flags = packet[name.end + 1]!
  const hasUser = (flags & 0x80) !== 0
  const hasPassword = (flags & 0x40) !== 0
  const hasWill = (flags & 0x04) !== 0
  const willQos = (flags & 0x18) >> 3
  if ((flags & 0x01) !== 0) return 'malformed' // [MQTT-3.1.2-3]
  if (hasWill ? willQos === 3 : (flags & 0x38) !== 0) return 'malformed' // [MQTT-3.1.2-11] to -15
  if (hasPassword && !hasUser) return 'malformed' // [MQTT-3.1.2-22]
  const clientId = stringAt(packet, name.end + 4)
  if (clientId === undefined || !isText(packet, clientId)) return 'malformed'
  let { end } = clientId
  if (hasWill) {
    const topic = stringAt(packet, end)
    if (topic === undefined || topic.start === topic.end) return 'malformed'
    const problem = topicProblem(packet, topic, limits)
    if (problem !== undefined) return problem
    if (/[+#]/.test(packet.toString('latin1', topic.start, topic.end))) return 'malformed'
    const payload = stringAt(packet, topic.end)
    if (payload === undefined) return 'malformed'
    end = payload.end
  }
  for (const [there, isString] of [
    [hasUser, true],
    [hasPassword, false],
  ] as const) {
    if (!there) continue
    const field = stringAt(packet, end)
    if (field === undefined || (isString && !isText(packet, field))) return 'malformed'
    end = field.end
  }
  if (end !== packet.length) return 'malformed'
  const idBytes = clientId.end - clientId.start
  const isClean = (flags & 0x02) !== 0
  // Without a name there is nothing to come back to [MQTT-3.1.3-8]; 3.1 has no clients without one.
  if (idBytes === 0 && (level === 3 || !isClean)) return 'identifier-rejected'
  return idBytes > limits.mqttClientIdMaxBytes ? 'identifier-rejected' : undefined
}
