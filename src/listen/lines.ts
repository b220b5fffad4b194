/** One JSON value a line. */
export const linesMediaType = 'application/x-ndjson'

const newline = 0x0a
const nothing = Buffer.alloc(0)

/** Stands for a line that is longer than may be. */
export const tooLong: unique symbol = Symbol('too long')

/**
 * Cuts what arrives into lines, one at a time, so that whoever reads may stop between any two.
 *
 *     chunks   {"name":"a"}\n{"na | me":"b"}\n\n{"name … | … }\n
 *     lines    {"name":"a"}        {"name":"b"}          too long: passed over, not held
 *
 * Never more is held than one chunk and the beginning of one line.
 */
export class LineCutter {
  readonly #maxBytes: number
  #chunk: Buffer = nothing
  #at = 0
  /** The beginning of a line whose end has not come. */
  #begun: Buffer[] = []
  #begunBytes = 0
  #skipping = false

  /** @param maxBytes of one line, without its end. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Only once `next` has answered that there is no whole line left. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** The next line, without its end; undefined when it is not all here yet. */
  next(): Buffer | typeof tooLong | undefined {
    const end = this.#chunk.indexOf(newline, this.#at)
    if (end === -1) {
      this.#hold(this.#chunk.subarray(this.#at))
      this.#chunk = nothing
      this.#at = 0
      return undefined
    }
    const part = this.#chunk.subarray(this.#at, end)
    this.#at = end + 1
    return this.#whole(part)
  }

  /** After the last chunk: what stands there without an end; undefined for nothing. */
  last(): Buffer | typeof tooLong | undefined {
    if (this.#begunBytes === 0 && !this.#skipping) return undefined
    return this.#whole(nothing)
  }

  #whole(part: Buffer): Buffer | typeof tooLong {
    const bytes = this.#begunBytes + part.length
    const skipped = this.#skipping || bytes > this.#maxBytes
    const line =
      skipped || this.#begun.length === 0 ? part : Buffer.concat([...this.#begun, part], bytes)
    this.#begun = []
    this.#begunBytes = 0
    this.#skipping = false
    return skipped ? tooLong : line
  }

  #hold(part: Buffer): void {
    if (part.length === 0 || this.#skipping) return
    this.#begunBytes += part.length
    if (this.#begunBytes > this.#maxBytes) {
      this.#skipping = true
      this.#begun = []
      return
    }
    // A line that comes in crumbs must not cost more than its bytes.
    const before = this.#begun.at(-1)
    if (before !== undefined && part.length < crumbBytes && before.length < crumbBytes)
      this.#begun[this.#begun.length - 1] = Buffer.concat([before, part])
    else this.#begun.push(Buffer.from(part))
  }
}

/** Pieces smaller than this are joined at once. */
const crumbBytes = 1_024

/** Nothing but white space: counted, and passed over. */
export function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false
  return true
}
