import { type Packet, parser } from 'mqtt-packet'

export const bytesOf = {
  sharedNoLocal: '82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 67 2f 61 05',
} as const

/** What a library that is not ours reads in it. */
export function parsed(bytes: Buffer): Packet[] {
  const packets: Packet[] = []
  const reader = parser({ protocolVersion: 5 })
  reader.on('packet', (packet) => packets.push(packet))
  reader.on('error', (error) => {
    throw error
  })
  reader.parse(bytes)
  return packets
}
