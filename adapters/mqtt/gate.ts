/** Why a peer is not read any further. */
export type GateProblem = 'malformed' | 'protocol-error' | 'too-large'

/** Types of control packets, the upper half of the first byte. Source: MQTT 3.1.1 §2.2.1. */
export const packetType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const

/** Where whole packets go. */
export interface Taker {
  take(packet: Buffer): void
}

const fixedHeaderMaxBytes = 5
const nothing = Buffer.alloc(0)

/**
 * Cuts a stream into whole packets, and decides what is too long by its fixed header, before its
 * bytes are held: a length is a claim, memory follows bytes.
 *
 *     | type, flags | remaining length, 1 to 4 bytes | ... |      a packet
 *       first byte    7 bits each, least first
 */
export class PacketGate {
  /** Longest packet, with its fixed header. */
  maxBytes: number
  /** The beginning of a packet whose end has not come. */
  #held: Buffer = nothing
  #heldBytes = 0
  #stopped = false

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Bytes of a packet that is not complete. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Nothing that still comes is looked at. */
  stop(): void {
    this.#stopped = true
    this.#held = nothing
    this.#heldBytes = 0
  }

  /**
   * @param taker gets each whole packet, perhaps a part of `chunk`; it may stop the gate.
   * @returns why nothing more is read; those before were taken.
   */
  push(chunk: Buffer, taker: Taker): GateProblem | undefined {
    let at = 0
    while (!this.#stopped && at < chunk.length) {
      if (this.#heldBytes > 0) {
        at = this.#complete(chunk, at)
        const length = packetLength(this.#held, 0, this.#heldBytes, this.maxBytes)
        if (typeof length === 'string') return this.#fail(length)
        if (length === undefined || length > this.#heldBytes) continue
        const packet = this.#held.subarray(0, length)
        this.#held = nothing
        this.#heldBytes = 0
        taker.take(packet)
        continue
      }
      const length = packetLength(chunk, at, chunk.length, this.maxBytes)
      if (typeof length === 'string') return this.#fail(length)
      if (length === undefined || length > chunk.length - at) {
        this.#hold(chunk, at, chunk.length)
        return undefined
      }
      const packet = chunk.subarray(at, at + length)
      at += length
      taker.take(packet)
    }
    return undefined
  }

  /** Take no more than what is missing to know the length, or to its end. */
  #complete(chunk: Buffer, at: number): number {
    const length = packetLength(this.#held, 0, this.#heldBytes, this.maxBytes)
    const wanted = typeof length === 'number' ? length : this.#heldBytes + 1
    const end = Math.min(chunk.length, at + wanted - this.#heldBytes)
    this.#hold(chunk, at, end)
    return end
  }

  #hold(chunk: Buffer, from: number, end: number): void {
    const bytes = this.#heldBytes + end - from
    if (bytes > this.#held.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.maxBytes, Math.max(2 * bytes, 64)))
      this.#held.copy(grown, 0, 0, this.#heldBytes)
      this.#held = grown
    }
    chunk.copy(this.#held, this.#heldBytes, from, end)
    this.#heldBytes = bytes
  }

  #fail(problem: GateProblem): GateProblem {
    this.stop()
    return problem
  }
}

/** @returns with its fixed header; undefined: not known yet. */
function packetLength(
  bytes: Buffer,
  at: number,
  end: number,
  maxBytes: number,
): number | GateProblem | undefined {
  const problem = firstByteProblem(bytes[at]!)
  if (problem !== undefined) return problem
  let remaining = 0
  for (let i = 1; i < fixedHeaderMaxBytes; i++) {
    if (at + i >= end) return undefined
    const byte = bytes[at + i]!
    remaining += (byte & 0x7f) * 2 ** (7 * (i - 1))
    if (1 + i + remaining > maxBytes) return 'too-large'
    if (byte < 0x80) return 1 + i + remaining
  }
  return 'malformed' // MQTT 3.1.1 §2.2.3: four bytes at most
}

/** Reserved flags [MQTT-2.2.2-2], and types that only a server sends. */
function firstByteProblem(first: number): GateProblem | undefined {
  const type = first >> 4
  const flags = first & 0x0f
  switch (type) {
    case packetType.publish:
      // QoS 3 [MQTT-3.3.1-4]; a repeat at QoS 0 [MQTT-3.3.1-2].
      return (flags & 0x06) === 0x06 || (flags & 0x0e) === 0x08 ? 'malformed' : undefined
    case packetType.pubrel:
    case packetType.subscribe:
    case packetType.unsubscribe:
      return flags === 0x02 ? undefined : 'malformed'
    case 0:
      return 'malformed'
    case packetType.connack:
    case packetType.suback:
    case packetType.unsuback:
    case packetType.pingresp:
      return 'protocol-error'
    default:
      return flags === 0 ? undefined : 'malformed'
  }
}

/** What the first packet says about itself, before anybody reads it with care. */
export type Opening =
  | { readonly kind: 'connect'; readonly level: 3 | 4 | 5 }
  /** A version nobody here speaks [MQTT-3.1.2-2]. */
  | { readonly kind: 'unsupported' }
  | { readonly kind: 'malformed' }

/**
 * The protocol's name and level of a CONNECT.
 *
 *     | 0x10 | length | 0 4 M Q T T | level | ...      3.1: 0 6 M Q I s d p
 */
export function sniff(packet: Buffer): Opening {
  if (packet[0] !== packetType.connect << 4) return { kind: 'malformed' }
  let at = 1
  while ((packet[at] ?? 0) >= 0x80) at++
  at++
  if (packet.length < at + 2) return { kind: 'malformed' }
  const nameLength = packet.readUInt16BE(at)
  const name = packet.toString('latin1', at + 2, at + 2 + nameLength)
  const level = packet[at + 2 + nameLength]
  if (level === undefined || name.length !== nameLength) return { kind: 'malformed' }
  if (name === 'MQTT') {
    return level === 4 || level === 5 ? { kind: 'connect', level } : { kind: 'unsupported' }
  }
  if (name === 'MQIsdp') return level === 3 ? { kind: 'connect', level } : { kind: 'unsupported' }
  return { kind: 'malformed' }
}
