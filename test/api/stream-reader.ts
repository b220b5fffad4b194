import { type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { App } from '../../src/api/index.ts'

export interface Block {
  readonly id?: string
  readonly event?: string
  readonly data?: string
  readonly comment?: string
}

/** A back end at the other end of an event stream; it keeps every block, also those without data. */
export class StreamReader {
  readonly response: IncomingMessage
  readonly blocks: Block[] = []
  ended = false
  #rest = ''
  #wake: (() => void) | undefined

  private constructor(response: IncomingMessage) {
    this.response = response
    response.setEncoding('utf8')
    response.on('data', (text: string) => {
      this.#rest += text
      const whole = this.#rest.split('\n\n')
      this.#rest = whole.pop()!
      for (const block of whole) this.blocks.push(parse(block))
      this.#wake?.()
    })
    response.on('error', () => {})
    response.on('close', () => {
      this.ended = true
      this.#wake?.()
    })
  }

  static open(app: App, path: string, headers: Record<string, string> = {}): Promise<StreamReader> {
    const { port } = app.server.address() as AddressInfo
    return new Promise((resolve, reject) => {
      const ask = request(
        {
          port,
          host: '127.0.0.1',
          path,
          agent: false,
          headers: { authorization: 'Bearer key-all', accept: 'text/event-stream', ...headers },
        },
        (response) => resolve(new StreamReader(response)),
      )
      ask.on('error', reject)
      ask.end()
    })
  }

  /** Blocks that are events. */
  get events(): Block[] {
    return this.blocks.filter(({ data }) => data !== undefined)
  }

  get lastId(): string | undefined {
    return this.blocks.findLast(({ id }) => id !== undefined)?.id
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.ended) throw new Error(`the stream ended: ${JSON.stringify(this.blocks.at(-1))}`)
      await this.#change()
    }
  }

  async untilEnd(): Promise<void> {
    while (!this.ended) await this.#change()
  }

  close(): void {
    this.response.destroy()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

function parse(text: string): Block {
  const block: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const at = line.indexOf(':')
    const value = line.slice(at + 1).trimStart()
    block[at === 0 ? 'comment' : line.slice(0, at)] = value
  }
  return block
}
