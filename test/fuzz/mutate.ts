import type { Random } from './random.ts'

/** What mutations need to know of a protocol. */
export interface Shape {
  /** Pieces worth putting anywhere: words, lengths, endings. */
  readonly words: readonly Buffer[]
  /** The same packet with a length that fits what is in it, where it has one. */
  reframe?(packet: Buffer): Buffer
  /** False: its reader waits for more. Left out where nobody can tell but the reader. */
  endsWhole?(bytes: Buffer): boolean
}

/** Lengths, counts and markers at which readers go wrong. */
const telling = [0x00, 0x01, 0x02, 0x0d, 0x0e, 0x0f, 0x7f, 0x80, 0x81, 0xf0, 0xf7, 0xfe, 0xff]
/** Text that is none: overlong, a surrogate, beyond the last, cut off, and U+0000, which MQTT forbids. */
const badText = ['c080', 'eda080', 'f4908080', 'e282', 'ff', '00', 'efbfbf'].map((hex) =>
  Buffer.from(hex, 'hex'),
)
const numbers = [0, 1, 2, 4, 127, 128, 16_383, 16_384, 65_535, 2 ** 31, 2 ** 32 - 1]

/**
 * A valid exchange made wrong in one to four ways: packets as wholes, the bytes of one, or both.
 *
 *     packets   | a | b | c |   left out, twice, swapped, cut, joined with another's end
 *     bytes     flips, lengths, bad text, words where they do not belong; then the length may be put right
 */
export function mutate(packets: readonly Buffer[], shape: Shape, random: Random): Buffer[] {
  const all = [...packets]
  for (let changes = random.pick([1, 1, 1, 1, 2, 3, 4]); changes > 0; changes--) {
    if (all.length === 0) break
    const at = random.int(0, all.length - 1)
    if (random.chance(0.2)) rearrange(all, at, random)
    else {
      const changed = changeBytes(all[at]!, shape, random)
      all[at] =
        shape.reframe !== undefined && random.chance(0.75) ? shape.reframe(changed) : changed
    }
  }
  return all
}

function rearrange(all: Buffer[], at: number, random: Random): void {
  const packet = all[at]!
  const other = random.int(0, all.length - 1)
  switch (random.int(0, 5)) {
    case 0:
      all.splice(at, 1)
      return
    case 1:
      all.splice(other, 0, packet)
      return
    case 2:
      all[at] = all[other]!
      all[other] = packet
      return
    case 3: {
      const cut = random.int(0, packet.length)
      const from = random.int(0, all[other]!.length)
      all[at] = Buffer.concat([packet.subarray(0, cut), all[other]!.subarray(from)])
      return
    }
    case 4:
      all[at] = packet.subarray(0, random.int(0, packet.length))
      return
    default:
      for (let more = random.int(1, 8); more > 0; more--) all.splice(at, 0, packet)
  }
}

function changeBytes(packet: Buffer, { words }: Shape, random: Random): Buffer {
  const at = random.int(0, Math.max(0, packet.length - 1))
  const put = (bytes: Uint8Array, over: number): Buffer =>
    Buffer.concat([packet.subarray(0, at), bytes, packet.subarray(at + over)])
  switch (random.int(0, 9)) {
    case 0: {
      const bytes = Buffer.from(packet)
      if (bytes.length > 0) bytes[at]! ^= 1 << random.int(0, 7)
      return bytes
    }
    case 1:
      return put(Buffer.from([random.int(0, 255)]), 1)
    case 2:
      return put(Buffer.from([random.pick(telling)]), 1)
    case 3:
      return put(Buffer.from([random.pick(telling)]), 0)
    case 4:
      return put(Buffer.alloc(0), random.int(1, 4))
    case 5:
      return put(random.pick(badText), random.int(0, 2))
    case 6:
      return put(random.pick(words), random.chance(0.5) ? 0 : random.int(1, 8))
    case 7:
      return put(numberBytes(random), random.int(0, 4))
    case 8: {
      // A part of it again, or much of one octet.
      const end = Math.min(packet.length, at + random.int(1, 32))
      return random.chance(0.8)
        ? put(packet.subarray(at, end), 0)
        : put(Buffer.alloc(random.int(1, 3_000), random.pick(telling)), 0)
    }
    default:
      return packet.subarray(0, at)
  }
}

/** A number as protocols write it: in two or four octets, by sevens, or as text. */
function numberBytes(random: Random): Buffer {
  const value = random.pick(numbers)
  switch (random.int(0, 3)) {
    case 0: {
      const bytes = Buffer.alloc(2)
      bytes.writeUInt16BE(value & 0xffff)
      return bytes
    }
    case 1: {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(value >>> 0)
      return bytes
    }
    case 2:
      return sevens(value)
    default:
      return Buffer.from(String(value))
  }
}

/** Seven bits an octet, least first: lengths of MQTT and numbers of Pike. */
export function sevens(value: number): Buffer {
  const bytes: number[] = []
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) {
      bytes.push(left)
      return Buffer.from(bytes)
    }
    bytes.push((left % 128) | 0x80)
  }
}

/** A packet of a type octet, a length by sevens and a body, with the length its body has. */
export function reframeBySevens(packet: Buffer): Buffer {
  let at = 1
  while (at < packet.length && at < 9 && packet[at]! >= 0x80) at++
  const body = packet.subarray(at + 1)
  return Buffer.concat([packet.subarray(0, 1), sevens(body.length), body])
}

/** Does it end where a packet of that kind ends? Then whoever reads it has all there is. */
export function endsWhole(bytes: Buffer): boolean {
  let at = 0
  while (at < bytes.length) {
    let length = 0
    let i = 1
    for (let scale = 1; ; scale *= 128, i++) {
      const byte = bytes[at + i]
      if (byte === undefined || i > 9) return false
      length += (byte & 0x7f) * scale
      if (byte < 0x80) break
    }
    at += i + 1 + length
  }
  return at === bytes.length
}

/** As the network may cut it: whole, or in up to five pieces. */
export function segments(bytes: Buffer, random: Random): Buffer[] {
  const pieces: Buffer[] = []
  let at = 0
  for (
    let more = random.chance(0.6) ? 0 : random.int(1, 4);
    more > 0 && at < bytes.length;
    more--
  ) {
    const end = random.int(at, bytes.length)
    if (end > at) pieces.push(bytes.subarray(at, end))
    at = end
  }
  if (at < bytes.length) pieces.push(bytes.subarray(at))
  return pieces
}
