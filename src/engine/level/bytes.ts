const shortText = 32

/** Writes one value after another into memory that is used again: copy or hand over before `reset`. */
export class Writer {
  #bytes = Buffer.allocUnsafeSlow(4_096)
  #at = 0

  reset(): this {
    this.#at = 0
    return this
  }

  u8(value: number): void {
    this.#room(1)
    this.#bytes[this.#at++] = value
  }

  u32(value: number): void {
    this.#room(4)
    this.#at = this.#bytes.writeUInt32LE(value, this.#at)
  }

  f64(value: number): void {
    this.#room(8)
    this.#at = this.#bytes.writeDoubleLE(value, this.#at)
  }

  /** UTF-8 with its length before it. */
  text(value: string): void {
    this.#room(4 + value.length * 3)
    const start = this.#at + 4
    const length =
      value.length <= shortText && this.#ascii(value, start)
        ? value.length
        : this.#bytes.write(value, start, 'utf8')
    this.#bytes.writeUInt32LE(length, this.#at)
    this.#at = start + length
  }

  /** Short plain text is written here, cheaper than asking Node to. False: it is not plain. */
  #ascii(value: string, start: number): boolean {
    const bytes = this.#bytes
    for (let at = 0; at < value.length; at++) {
      const unit = value.charCodeAt(at)
      if (unit > 0x7f) return false
      bytes[start + at] = unit
    }
    return true
  }

  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
  }

  /** What was written since `reset`; changes with the next one. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + length))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
  }
}

/** Reads what {@link Writer} wrote; throws a RangeError past the end. */
export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#at++)
  }

  u32(): number {
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  f64(): number {
    const value = this.#bytes.readDoubleLE(this.#at)
    this.#at += 8
    return value
  }

  /** A whole number written as f64, small where it can be: V8 holds a small one in its field. */
  integer(): number {
    const value = this.f64()
    return (value | 0) === value ? value | 0 : value
  }

  text(): string {
    const length = this.u32()
    const end = this.#at + length
    if (end > this.#bytes.length) throw new RangeError('text beyond the end of its record')
    const value = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end
    return value
  }

  get isOver(): boolean {
    return this.#at >= this.#bytes.length
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at)
  }
}

/** All values of the engine are written by this one, one after the other: LevelDB copies at once. */
export const writer = new Writer()

/** Whether holding these bytes would hold much more: a view of a large buffer, e.g. a socket's. */
export const isHeavy = (bytes: Uint8Array): boolean =>
  bytes.buffer.byteLength > 16_384 && bytes.buffer.byteLength > 2 * bytes.length
