const polynomial = 0x82f63b78

const table = new Uint32Array(256)
for (let byte = 0; byte < 256; byte++) {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1
  table[byte] = value
}

/** The checksum LevelDB has on all it writes; Node knows only the other CRC-32. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length, before = 0): number {
  let value = ~before
  for (let at = from; at < to; at++) value = table[(value ^ bytes[at]!) & 0xff]! ^ (value >>> 8)
  return ~value >>> 0
}

/** As LevelDB stores it: a checksum of bytes that hold their own checksum would be weak. */
export const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
