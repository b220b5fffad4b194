export interface Message {
  /** The three words of its first line; the third may have more in it. */
  readonly words: readonly string[]
  readonly headers: ReadonlyMap<string, string>
}

export interface Heard {
  readonly head?: (message: Message) => void
  /** Some of the body as it comes. */
  readonly piece?: (message: Message, text: string) => void
  readonly whole: (message: Message, body: Buffer) => void
}

const headEnd = '\r\n\r\n'

/**
 * One direction of an HTTP/1.1 connection, as bytes that pass by (RFC 9112 §6.3).
 *
 *     head ─▶ length ─▶ whole ─▶ head …
 *         └─▶ chunk ─▶ … ─▶ whole
 */
export class HttpReader {
  readonly #heard: Heard
  #rest: Buffer = Buffer.alloc(0)
  #message: Message | undefined
  /** Left of the body or the chunk; undefined: a chunk's size is next. */
  #left: number | undefined
  #chunked = false
  #body: Buffer[] = []

  constructor(heard: Heard) {
    this.#heard = heard
  }

  /** @returns false: this is no HTTP. */
  push(chunk: Buffer): boolean {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    try {
      while (this.#message === undefined ? this.#readHead() : this.#readBody());
      return true
    } catch {
      return false
    }
  }

  #readHead(): boolean {
    // What ends a chunked body before it.
    while (this.#rest[0] === 13 && this.#rest[1] === 10) this.#rest = this.#rest.subarray(2)
    const end = this.#rest.indexOf(headEnd)
    if (end < 0) return false
    const [first = '', ...lines] = this.#rest.toString('latin1', 0, end).split('\r\n')
    this.#rest = this.#rest.subarray(end + headEnd.length)
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
      }),
    )
    const words = first.split(' ')
    if (words.length < 2) throw new Error(`no first line: ${first}`)
    const message = { words, headers }
    // Interim answers have no body and are not the answer.
    if (words[0]!.startsWith('HTTP/') && words[1]!.startsWith('1')) return true
    this.#message = message
    this.#chunked = headers.get('transfer-encoding') === 'chunked'
    this.#left = this.#chunked ? undefined : Number(headers.get('content-length') ?? 0)
    if (this.#left !== undefined && !Number.isSafeInteger(this.#left)) throw new Error('length')
    this.#heard.head?.(message)
    if (this.#left === 0) this.#end()
    return true
  }

  #readBody(): boolean {
    if (this.#left === undefined) {
      const end = this.#rest.indexOf('\r\n')
      if (end < 0) return false
      const line = this.#rest.toString('latin1', 0, end)
      this.#rest = this.#rest.subarray(end + 2)
      // The end of the chunk before.
      if (line === '') return true
      this.#left = Number.parseInt(line, 16)
      if (!Number.isSafeInteger(this.#left)) throw new Error(`no chunk: ${line}`)
      if (this.#left === 0) this.#end()
      return true
    }
    if (this.#rest.length === 0) return false
    const piece = this.#rest.subarray(0, this.#left)
    this.#rest = this.#rest.subarray(piece.length)
    this.#left -= piece.length
    // A stream has no end to wait for.
    if (!isStream(this.#message!)) this.#body.push(piece)
    this.#heard.piece?.(this.#message!, piece.toString())
    if (this.#left > 0) return false
    if (this.#chunked) this.#left = undefined
    else this.#end()
    return true
  }

  #end(): void {
    const message = this.#message!
    const body = Buffer.concat(this.#body)
    this.#message = undefined
    this.#body = []
    this.#heard.whole(message, body)
  }
}

export const isStream = ({ headers }: Message): boolean =>
  headers.get('content-type')?.startsWith('text/event-stream') === true
