import { packetType } from '../gate.ts'
import type { Outgoing } from '../wire.ts'

/**
 * A PUBLISH of MQTT 3.
 *
 *     | 3 dup qos 0 | remaining length | length topic | packet id, at QoS 1 | payload |
 */
export function publishPacket(
  { topic, qos, messageId, dup }: Pick<Outgoing, 'topic' | 'qos' | 'messageId' | 'dup'>,
  payload: Uint8Array,
): Buffer {
  const topicBytes = Buffer.byteLength(topic)
  const remaining = 2 + topicBytes + (qos > 0 ? 2 : 0) + payload.length
  const packet = Buffer.allocUnsafe(1 + lengthBytes(remaining) + remaining)
  packet[0] = (packetType.publish << 4) | (dup ? 8 : 0) | (qos << 1)
  let at = writeLength(packet, 1, remaining)
  at = packet.writeUInt16BE(topicBytes, at)
  at += packet.write(topic, at, 'utf8')
  if (qos > 0) at = packet.writeUInt16BE(messageId, at)
  packet.set(payload, at)
  return packet
}

const lengthBytes = (length: number): number =>
  length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : 4

function writeLength(packet: Buffer, at: number, length: number): number {
  let left = length
  let to = at
  do {
    packet[to++] = (left & 0x7f) | (left >= 0x80 ? 0x80 : 0)
    left = Math.floor(left / 0x80)
  } while (left > 0)
  return to
}
