/** Reads server-sent events from text that comes in any pieces. */
export class EventReader {
  readonly #heard: (event: string, data: string) => void
  #text = ''

  constructor(heard: (event: string, data: string) => void) {
    this.#heard = heard
  }

  read(chunk: string): void {
    this.#text += chunk
    for (let end = this.#text.indexOf('\n\n'); end !== -1; end = this.#text.indexOf('\n\n')) {
      const block = this.#text.slice(0, end)
      this.#text = this.#text.slice(end + 2)
      let event = 'message'
      const data: string[] = []
      for (const line of block.split('\n')) {
        if (line.startsWith('event: ')) event = line.slice(7)
        else if (line.startsWith('data: ')) data.push(line.slice(6))
      }
      if (data.length > 0) this.#heard(event, data.join('\n'))
    }
  }
}
