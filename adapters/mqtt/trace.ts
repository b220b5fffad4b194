import type { Trail } from '../../src/contract/index.ts'
import { packetType } from './gate.ts'
import type { Incoming } from './said.ts'

/** By the number in a packet's first byte. */
const names = [
  'RESERVED',
  ...['CONNECT', 'CONNACK', 'PUBLISH', 'PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP'],
  ...[
    'SUBSCRIBE',
    'SUBACK',
    'UNSUBSCRIBE',
    'UNSUBACK',
    'PINGREQ',
    'PINGRESP',
    'DISCONNECT',
    'AUTH',
  ],
] as const

/**
 * A packet for the flight recorder: what it is, how long, and its packet id. Never what is in a CONNECT
 * or AUTH. Of a PUBLISH whoever knows what it means tells more, so it is passed over here.
 */
export function tracePacket(way: 'in' | 'out', bytes: Uint8Array, trail: Trail): void {
  // What is written may be several packets, or a part of one: then nothing is said of it.
  for (let at = 0; at < bytes.length; ) {
    const type = bytes[at]! >> 4
    let length = 0
    let body = at + 1
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[body++]
      if (byte === undefined || shift > 21) return
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    const end = body + length
    if (end > bytes.length) return
    if (type !== packetType.publish) {
      const sequence = hasPacketId(type) && length >= 2 ? (bytes[body]! << 8) | bytes[body + 1]! : 0
      trail.frame(way, names[type]!, end - at, sequence === 0 ? undefined : { sequence })
    }
    at = end
  }
}

const hasPacketId = (type: number): boolean =>
  type >= packetType.puback && type <= packetType.unsuback

/** What a PUBLISH says. */
export function notePublish(trail: Trail, message: Incoming): void {
  const { topic, messageId, payload, command, stamp, dup } = message
  const sequence = stamp?.sequence ?? (messageId || undefined)
  const seen = { name: topic, sequence, command, payload, reason: dup ? 'dup' : undefined }
  trail.frame('in', 'PUBLISH', 0, seen)
}
