/** One event longer than this ends the stream: no command is. */
const eventMaxChars = 256 * 1024

/**
 * Reads server-sent events from text that comes in any pieces. Source: HTML Living Standard,
 * server-sent events; as much of it as this server writes.
 */
export class EventStream {
  readonly #heard: (event: string, data: string) => void
  #text = ''

  constructor(heard: (event: string, data: string) => void) {
    this.#heard = heard
  }

  /** @returns false when this is no such stream. */
  read(piece: string): boolean {
    this.#text += piece
    for (;;) {
      const end = this.#text.indexOf('\n\n')
      if (end === -1) return this.#text.length <= eventMaxChars
      const block = this.#text.slice(0, end)
      this.#text = this.#text.slice(end + 2)
      let event = ''
      let data = ''
      for (const line of block.split('\n')) {
        if (line.startsWith('event: ')) event = line.slice(7)
        else if (line.startsWith('data: ')) data += line.slice(6)
      }
      if (event !== '') this.#heard(event, data)
    }
  }
}
