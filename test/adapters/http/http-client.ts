import { Agent, type IncomingMessage, request } from 'node:http'
import { Wire } from '../../support/wire.ts'

export interface Said {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  json(): unknown
}

export interface Asking {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** For what comes piece by piece; the answer then has no body. */
  readonly stream?: (chunk: string) => void
}

/** HTTP from Node's own client, over wires that can fall silent. */
export class HttpClient {
  port: number
  readonly #authorization: string
  readonly #wires = new Set<Wire>()
  #agent = this.#makeAgent()
  #muted = false

  constructor(port: number, user: string, secret: string) {
    this.port = port
    this.#authorization = `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`
  }

  /** Rejects when the connection is lost before the answer has come. */
  ask(path: string, { method = 'GET', headers = {}, body, stream }: Asking = {}): Promise<Said> {
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          agent: this.#agent,
          host: '127.0.0.1',
          port: this.port,
          path,
          method,
          headers: { authorization: this.#authorization, ...headers },
        },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => {
            if (stream === undefined || answer.statusCode !== 200) chunks.push(chunk)
            else stream(chunk.toString('utf8'))
          })
          answer.on('error', reject)
          answer.on('close', () => {
            if (!answer.complete) reject(new Error('cut'))
          })
          answer.on('end', () => {
            const all = Buffer.concat(chunks)
            const { statusCode = 0 } = answer
            resolve({
              status: statusCode,
              headers: answer.headers,
              body: all,
              json: () => JSON.parse(all.toString('utf8')),
            })
          })
        },
      )
      asked.on('error', reject)
      asked.end(body)
    })
  }

  /** All connections are cut; further ones work. */
  async cut(): Promise<void> {
    this.#muted = false
    const closed = [...this.#wires].map(
      (wire) => new Promise((resolve) => wire.once('close', resolve)),
    )
    for (const wire of this.#wires) wire.destroy()
    this.#agent.destroy()
    this.#agent = this.#makeAgent()
    await Promise.all(closed)
  }

  mute(): void {
    this.#muted = true
    for (const wire of this.#wires) wire.mute()
  }

  stall(): void {
    for (const wire of this.#wires) wire.stall()
  }

  unstall(): void {
    for (const wire of this.#wires) wire.unstall()
  }

  #makeAgent(): Agent {
    const agent = new Agent({ keepAlive: true })
    agent.createConnection = () => {
      const wire = new Wire(this.port)
      if (this.#muted) wire.mute()
      this.#wires.add(wire)
      wire.on('close', () => this.#wires.delete(wire))
      return wire
    }
    return agent
  }
}
