/**
 * The bytes of a block that LevelDB compressed. Source: google/snappy, format_description.txt.
 * @throws RangeError for bytes that are none.
 */
export function unsnap(bytes: Uint8Array, maxBytes: number): Buffer {
  const [length, start] = varint(bytes, 0)
  if (length > maxBytes) throw new RangeError('a block larger than any')
  const out = Buffer.allocUnsafe(length)
  let to = 0
  let at = start
  const copy = (offset: number, count: number) => {
    if (offset === 0 || offset > to || to + count > length) throw new RangeError('a bad copy')
    for (let left = count; left > 0; left--, to++) out[to] = out[to - offset]!
  }
  while (at < bytes.length) {
    const tag = bytes[at++]!
    const kind = tag & 3
    if (kind === 0) {
      let count = tag >>> 2
      if (count >= 60) {
        const width = count - 59
        count = little(bytes, at, width)
        at += width
      }
      count += 1
      if (at + count > bytes.length || to + count > length) throw new RangeError('a bad literal')
      out.set(bytes.subarray(at, at + count), to)
      to += count
      at += count
    } else if (kind === 1) {
      copy(((tag >>> 5) << 8) | little(bytes, at, 1), ((tag >>> 2) & 7) + 4)
      at += 1
    } else {
      const width = kind === 2 ? 2 : 4
      copy(little(bytes, at, width), (tag >>> 2) + 1)
      at += width
    }
  }
  if (to !== length) throw new RangeError('a block of another length')
  return out
}

function little(bytes: Uint8Array, at: number, width: number): number {
  if (at + width > bytes.length) throw new RangeError('cut')
  let value = 0
  for (let byte = width - 1; byte >= 0; byte--) value = value * 256 + bytes[at + byte]!
  return value
}

/** @returns the number, and where it ends. */
export function varint(bytes: Uint8Array, from: number): [value: number, end: number] {
  let value = 0
  let scale = 1
  for (let at = from; at < from + 10; at++) {
    const byte = bytes[at]
    if (byte === undefined) throw new RangeError('cut')
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return [value, at + 1]
    scale *= 128
  }
  throw new RangeError('a number without end')
}
