import { Agent, type ClientRequest, request } from 'node:http'
import type { Place } from './bystander.ts'

export interface Said {
  readonly status: number
  readonly body: unknown
}

interface Event {
  readonly type: string
  readonly device: string
  readonly name?: string
  readonly payload?: { readonly n?: number }
}

/** The honest back end: it sends commands, and reads all events of its app from one stream. */
export class BackEnd {
  readonly #agent = new Agent({ keepAlive: true })
  readonly #place: Place
  #stream: ClientRequest | undefined
  #stopped = false

  constructor(place: Place) {
    this.#place = place
  }

  ask(method: string, path: string, body?: object, headers: object = {}): Promise<Said> {
    return new Promise((resolve, reject) => {
      const asking = request(
        {
          host: '127.0.0.1',
          port: this.#place.ports.api,
          method,
          path,
          agent: this.#agent,
          headers: {
            authorization: `Bearer ${this.#place.apiKey}`,
            ...(body !== undefined && { 'content-type': 'application/json' }),
            ...headers,
          },
        },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (part: string) => {
            text += part
          })
          response.on('end', () =>
            resolve({ status: response.statusCode!, body: text === '' ? {} : JSON.parse(text) }),
          )
          response.on('error', reject)
        },
      )
      asking.on('error', reject)
      asking.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  /** @param heard the number of each event of an honest device, as it comes. */
  listen(heard: (device: string, n: number) => void, cut: (why: string) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream = request(
        {
          host: '127.0.0.1',
          port: this.#place.ports.api,
          path: '/v1/events?type=event',
          headers: {
            authorization: `Bearer ${this.#place.apiKey}`,
            accept: 'text/event-stream',
          },
        },
        (response) => {
          if (response.statusCode !== 200) reject(new Error(`the stream: ${response.statusCode}`))
          else resolve()
          let rest = ''
          response.setEncoding('utf8').on('data', (part: string) => {
            const lines = (rest + part).split('\n')
            rest = lines.pop()!
            for (const line of lines) {
              if (!line.startsWith('data:')) continue
              const event = JSON.parse(line.slice(5)) as Event
              if (event.name === 'alive') heard(event.device, event.payload?.n ?? Number.NaN)
            }
          })
          response.on('close', () => {
            if (!this.#stopped) cut('the stream of events was closed')
          })
        },
      )
      this.#stream.on('error', (error) => {
        if (!this.#stopped) cut(`the stream of events: ${error.message}`)
        reject(error)
      })
      this.#stream.end()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#stream?.destroy()
    this.#agent.destroy()
  }
}
