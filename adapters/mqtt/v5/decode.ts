import {
  type AckPacket,
  type ConnectPacket,
  code,
  type Fault,
  type Packet,
  type Qos,
  type Subscription,
  type Will,
} from './packets.ts'
import { isWild, readProperties } from './properties.ts'
import * as take from './read.ts'

const kinds = {
  connect: 1,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
  auth: 15,
} as const

/** By its first byte. */
export const isConnect = (packet: Uint8Array): boolean => packet[0]! >> 4 === kinds.connect

/** Flags of the first byte that are laid down (§2.1.3); PUBLISH has its own. */
const flagsOf: ReadonlyMap<number, number> = new Map([
  [kinds.connect, 0],
  [kinds.puback, 0],
  [kinds.pubrec, 0],
  [kinds.pubrel, 2],
  [kinds.pubcomp, 0],
  [kinds.subscribe, 2],
  [kinds.unsubscribe, 2],
  [kinds.pingreq, 0],
  [kinds.disconnect, 0],
  [kinds.auth, 0],
])

/** What is wrong with a first byte, for all 256 of them; known before its length is. */
export const headFaults: readonly (Fault | undefined)[] = Array.from({ length: 256 }, (_, head) => {
  const kind = head >> 4
  if (kind === kinds.publish) {
    if ((head & 6) === 6) return fault(code.malformed, 'QoS 3') // [MQTT-3.3.1-4]
    if ((head & 14) === 8) return fault(code.malformed, 'DUP with QoS 0') // [MQTT-3.3.1-2]
    return undefined
  }
  const flags = flagsOf.get(kind)
  if (flags === undefined) {
    return kind === 0
      ? fault(code.malformed, 'packet type 0')
      : fault(code.protocolError, `packet type ${kind} from a client`)
  }
  return flags === (head & 15) ? undefined : fault(code.malformed, 'reserved flags') // [MQTT-2.1.3-1]
})

function fault(why: Fault['code'], text: string): Fault {
  return { type: 'fault', code: why, text }
}

/**
 * Read the packet whose body lies between `from` and `to`. Payloads are views of `bytes`.
 * Never throws on what a peer sent.
 */
export function decodePacket(
  head: number,
  bytes: Uint8Array,
  from: number,
  to: number,
): Packet | Fault {
  const wrong = headFaults[head]
  if (wrong !== undefined) return wrong
  take.open(bytes, from, to)
  const packet = decodeBody(head, to - from)
  const found = take.finish()
  return found === undefined ? packet : { type: 'fault', ...found }
}

function decodeBody(head: number, length: number): Packet {
  switch (head >> 4) {
    case kinds.connect:
      return decodeConnect()
    case kinds.publish:
      return decodePublish(head)
    case kinds.puback:
      return decodeAck('puback', length, deliveryCodes)
    case kinds.pubrec:
      return decodeAck('pubrec', length, deliveryCodes)
    case kinds.pubrel:
      return decodeAck('pubrel', length, releaseCodes)
    case kinds.pubcomp:
      return decodeAck('pubcomp', length, releaseCodes)
    case kinds.subscribe:
      return decodeSubscribe()
    case kinds.unsubscribe:
      return decodeUnsubscribe()
    case kinds.disconnect:
      return decodeDisconnect(length)
    case kinds.auth:
      return decodeAuth(length)
    default:
      return pingreq
  }
}

const pingreq: Packet = { type: 'pingreq' }
const auth: Packet = { type: 'auth' }

function decodeConnect(): ConnectPacket {
  if (take.text() !== 'MQTT') take.fail(code.unsupportedVersion, 'a protocol that is not MQTT')
  if (take.uint8() !== 5) take.fail(code.unsupportedVersion, 'a version that is not 5')
  const flags = take.uint8()
  if ((flags & 1) !== 0) take.malformed('reserved connect flag') // [MQTT-3.1.2-3]
  const keepaliveS = take.uint16()
  const properties = readProperties('connect')
  const clientId = take.text()
  const will = decodeWill(flags)
  const username = (flags & 0x80) === 0 ? undefined : take.text()
  const password = (flags & 0x40) === 0 ? undefined : take.bytes()
  const cleanStart = (flags & 2) !== 0
  return {
    type: 'connect',
    cleanStart,
    keepaliveS,
    properties,
    clientId,
    will,
    username,
    password,
  }
}

function decodeWill(flags: number): Will | undefined {
  const qos = qosOf((flags >> 3) & 3)
  const retain = (flags & 0x20) !== 0
  if ((flags & 4) === 0) {
    // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    if (qos !== 0 || retain) take.malformed('will flags without a will')
    return undefined
  }
  const properties = readProperties('will')
  const topic = take.text()
  if (topic === '' || isWild(topic))
    take.fail(code.topicNameInvalid, 'a will without a plain topic')
  return { topic, payload: take.bytes(), qos, retain, properties }
}

function decodePublish(head: number): Packet {
  const qos = qosOf((head >> 1) & 3)
  const topic = take.text()
  if (isWild(topic)) take.fail(code.topicNameInvalid, 'a topic with a wildcard') // [MQTT-3.3.2-2]
  const id = qos === 0 ? 0 : take.packetId()
  const properties = readProperties('publish')
  if (topic === '' && properties.topicAlias === undefined) {
    take.disallowed('neither a topic nor an alias')
  }
  return {
    type: 'publish',
    dup: (head & 8) !== 0,
    qos,
    retain: (head & 1) !== 0,
    topic,
    id,
    properties,
    payload: take.rest(),
  }
}

/** §3.4.2.1, §3.5.2.1. */
const deliveryCodes = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
/** §3.6.2.1, §3.7.2.1. */
const releaseCodes = new Set([0x00, 0x92])

function decodeAck(type: AckPacket['type'], length: number, codes: ReadonlySet<number>): AckPacket {
  const id = take.packetId()
  // §3.4.2.1: without a code it is success; §3.4.2.2.1: below 4 bytes there are no properties.
  const why = length > 2 ? take.uint8() : code.success
  if (!codes.has(why)) take.malformed(`reason code ${why} in ${type}`)
  if (length > 3) readProperties('ack')
  return { type, id, code: why }
}

function decodeSubscribe(): Packet {
  const id = take.packetId()
  const properties = readProperties('subscribe')
  const subscriptions: Subscription[] = []
  if (take.left() === 0) take.disallowed('a SUBSCRIBE without a filter') // [MQTT-3.8.3-2]
  while (take.left() > 0) {
    const filter = take.text()
    const options = take.uint8()
    if ((options & 0xc0) !== 0) take.malformed('reserved subscription options') // [MQTT-3.8.3-5]
    if ((options & 0x30) === 0x30) take.disallowed('retain handling 3')
    // [MQTT-3.8.3-4]
    if ((options & 4) !== 0 && filter.startsWith('$share/')) {
      take.disallowed('no local for a shared subscription')
    }
    subscriptions.push({ filter, qos: qosOf(options & 3) })
  }
  return { type: 'subscribe', id, properties, subscriptions }
}

function decodeUnsubscribe(): Packet {
  const id = take.packetId()
  readProperties('unsubscribe')
  const filters: string[] = []
  if (take.left() === 0) take.disallowed('an UNSUBSCRIBE without a filter') // [MQTT-3.10.3-2]
  while (take.left() > 0) filters.push(take.text())
  return { type: 'unsubscribe', id, filters }
}

/** §3.14.2.1, those a client may send. */
const goodbyes = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
])

function decodeDisconnect(length: number): Packet {
  const why = length > 0 ? take.uint8() : code.success
  if (!goodbyes.has(why)) take.malformed(`reason code ${why} in DISCONNECT`)
  const properties = length > 1 ? readProperties('disconnect') : {}
  return { type: 'disconnect', code: why, properties }
}

function decodeAuth(length: number): Packet {
  if (length > 0) {
    const why = take.uint8()
    if (why !== 0 && why !== 0x18 && why !== 0x19) take.malformed(`reason code ${why} in AUTH`)
    if (length > 1) readProperties('auth')
  }
  return auth
}

function qosOf(bits: number): Qos {
  if (bits === 3) take.malformed('QoS 3')
  return bits === 1 ? 1 : bits === 2 ? 2 : 0
}
