/** A length takes at most four bytes of seven bits (MQTT 3.1.1 §2.2.3). */
const lengthMaxBits = 28

/**
 * Watches the lengths of packets as their bytes come by: the library holds a packet until it is
 * whole, however long it says it will be.
 *
 *     | type | length, 1-4 bytes | … length bytes … | type | length | …
 */
export class PacketLengths {
  maxBytes: number
  /** Bytes left of the packet that comes. */
  #left = 0
  #length = 0
  /** Of the length that comes; -1: a packet begins. */
  #bits = -1

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** @returns false: a packet is longer than it may be, or this is no MQTT. */
  fits(bytes: Uint8Array): boolean {
    let at = 0
    while (at < bytes.length) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, bytes.length - at)
        this.#left -= skipped
        at += skipped
      } else if (this.#bits < 0) {
        at++
        this.#bits = 0
        this.#length = 0
      } else {
        if (this.#bits === lengthMaxBits) return false
        const byte = bytes[at++]!
        this.#length += (byte & 0x7f) * 2 ** this.#bits
        this.#bits += 7
        if (this.#length > this.maxBytes) return false
        if (byte >= 0x80) continue
        this.#left = this.#length
        this.#bits = -1
      }
    }
    return true
  }
}
