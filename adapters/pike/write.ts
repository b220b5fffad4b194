/**
 * The elements of the encoding, written: numbers, bytes, text.
 *
 * Frames of all encoders are written one behind the other into a slab and handed out as views, so a
 * frame costs one copy and one small object. The head is put before the body once its length is known.
 *
 *     | frame | frame | ....room.... | body of the next |            |
 *                     ^ start                           ^ at         ^ slab.length
 */
const slabBytes = 16 * 1024
const headMaxBytes = 9
let slab = Buffer.allocUnsafeSlow(slabBytes)
let start = 0
let at = 0

/** Begin a frame whose body has at most so many bytes. */
export function open(bodyMaxBytes: number): void {
  if (slab.length - start < headMaxBytes + bodyMaxBytes) {
    slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, headMaxBytes + bodyMaxBytes))
    start = 0
  }
  at = start + headMaxBytes
}

/** Put the head before the body. @returns the frame; nobody writes over it again. */
export function finish(head: number): Buffer {
  const bodyAt = start + headMaxBytes
  const end = at
  const length = end - bodyAt
  const from = bodyAt - 1 - numberBytes(length)
  slab[from] = head
  at = from + 1
  number(length)
  start = end
  return slab.subarray(from, end)
}

export function number(value: number): void {
  if (value >= 0 && value < 0x80) {
    slab[at++] = value
    return
  }
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`not a number for the wire: ${value}`)
  let left = value
  // Bits are cut off by arithmetic while the number is too large for 32-bit operators.
  while (left > 0x7fff_ffff) {
    const high = Math.floor(left / 0x80)
    slab[at++] = 0x80 | (left - high * 0x80)
    left = high
  }
  while (left >= 0x80) {
    slab[at++] = 0x80 | (left & 0x7f)
    left >>>= 7
  }
  slab[at++] = left
}

function numberBytes(value: number): number {
  let count = 1
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) count++
  return count
}

/** Octets without a length before them. */
export function octets(data: Uint8Array): void {
  const length = data.length
  if (length <= 24) {
    for (let i = 0; i < length; i++) slab[at + i] = data[i]!
  } else {
    slab.set(data, at)
  }
  at += length
}

export function bytes(data: Uint8Array): void {
  number(data.length)
  octets(data)
}

export function text(value: string): void {
  const length = textBytes(value)
  number(length)
  textOctets(value, length)
}

export function textBytes(value: string): number {
  for (let i = 0; i < value.length; i++) {
    if (value.charCodeAt(i) >= 0x80) return Buffer.byteLength(value)
  }
  return value.length
}

/** Text without a length before it; `length` is its length in bytes. */
export function textOctets(value: string, length: number): void {
  if (length === value.length) {
    for (let i = 0; i < length; i++) slab[at + i] = value.charCodeAt(i)
  } else {
    slab.write(value, at, length, 'utf8')
  }
  at += length
}
