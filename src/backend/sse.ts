import { backendBounds } from './bounds.ts'

/** One server-sent event. Source: WHATWG HTML, "Server-sent events". */
export interface ServerSentEvent {
  readonly id: string | undefined
  readonly type: string
  /** Empty for a block that only moves the id. */
  readonly data: string
}

/**
 * Makes blocks of a stream's bytes, however they are cut. A block that has an id but no data comes
 * too: it says how far one has come.
 */
export class SseParser {
  readonly #decoder = new TextDecoder()
  #rest = ''
  #id: string | undefined
  #named = false
  #type = ''
  #data: string[] = []
  #held = 0

  /** Throws when a block grows without end. */
  push(chunk: Uint8Array): ServerSentEvent[] {
    const blocks: ServerSentEvent[] = []
    this.#rest += this.#decoder.decode(chunk, { stream: true })
    // A carriage return at the end may be half of a pair: wait for what follows.
    const lines = this.#rest.split(/\r\n|\n|\r(?=[^\n])/)
    this.#rest = lines.pop()!
    for (const line of lines) {
      if (line === '') this.#dispatch(blocks)
      else this.#field(line)
    }
    if (this.#rest.length + this.#held > backendBounds.textMaxChars)
      throw new Error('an event stream whose event never ends')
    return blocks
  }

  #field(line: string): void {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') {
      this.#data.push(value)
      this.#held += value.length
    } else if (field === 'event') this.#type = value
    else if (field === 'id') {
      this.#id = value
      this.#named = true
    }
    // Comments (an empty field name) keep the line alive; other fields mean nothing to us.
  }

  #dispatch(blocks: ServerSentEvent[]): void {
    if (this.#data.length > 0 || this.#named)
      blocks.push({
        id: this.#id,
        type: this.#type === '' ? 'message' : this.#type,
        data: this.#data.join('\n'),
      })
    this.#named = false
    this.#type = ''
    this.#data = []
    this.#held = 0
  }
}
