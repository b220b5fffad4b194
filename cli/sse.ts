/** One server-sent event. Source: WHATWG HTML, "Server-sent events". */
export interface ServerSentEvent {
  readonly id: string | undefined
  readonly type: string
  readonly data: string
}

/** A single event longer than this is none of ours. */
const eventMaxChars = 4 * 1024 * 1024

/** Reads events from a stream, however its bytes are cut. Ends with the stream. */
export async function* readEvents(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  let id: string | undefined
  let type = ''
  let data: string[] = []
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    // A carriage return at the end may be half of a pair: wait for what follows.
    const lines = rest.split(/\r\n|\n|\r(?=[^\n])/)
    rest = lines.pop()!
    if (rest.length > eventMaxChars) throw new Error('an event stream that never ends a line')
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0)
          yield { id, type: type === '' ? 'message' : type, data: data.join('\n') }
        type = ''
        data = []
        continue
      }
      const colon = line.indexOf(':')
      const field = colon === -1 ? line : line.slice(0, colon)
      const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (field === 'data') data.push(value)
      else if (field === 'event') type = value
      else if (field === 'id') id = value
      // Comments (an empty field name) keep the line alive; other fields mean nothing to us.
    }
  }
}
