import { Agent, request } from 'node:http'
import { secretOf } from '../gateway.ts'
import { type Bystander, eventBody, type Happenings, type Place } from './bystander.ts'

interface Said {
  readonly status: number
  readonly text: string
}

interface Polled {
  readonly epoch: string
  readonly after: string
  readonly items: readonly { readonly payload: { readonly n: number } }[]
}

/** Polls for its commands and posts its events. */
export class HttpBystander implements Bystander {
  readonly protocol = 'http'
  readonly device = 'by-http'
  readonly #agent = new Agent({ keepAlive: true })
  readonly #place: Place
  readonly #happenings: Happenings
  #stopped = false

  constructor(place: Place, happenings: Happenings) {
    this.#place = place
    this.#happenings = happenings
  }

  async start(): Promise<void> {
    const first = await this.#ask('GET', 'commands?wait=0&channel=main')
    if (first.status !== 200) throw new Error(`HTTP: ${first.status} ${first.text}`)
    void this.#poll(JSON.parse(first.text) as Polled)
  }

  async report(n: number): Promise<void> {
    const { status, text } = await this.#ask('POST', 'events/alive', eventBody(n))
    if (status !== 204) this.#happenings.harmed(`its event was answered ${status} ${text}`)
  }

  stop(): void {
    this.#stopped = true
    this.#agent.destroy()
  }

  async #poll(from: Polled): Promise<void> {
    let at = from
    while (!this.#stopped) {
      const path = `commands?wait=30&channel=main&epoch=${at.epoch}&after=${at.after}`
      let said: Said
      try {
        said = await this.#ask('GET', path)
      } catch (error) {
        if (!this.#stopped) this.#happenings.harmed(`its poll failed: ${(error as Error).message}`)
        return
      }
      if (said.status !== 200) {
        this.#happenings.harmed(`its poll was answered ${said.status} ${said.text}`)
        return
      }
      at = JSON.parse(said.text) as Polled
      for (const { payload } of at.items) this.#happenings.commanded(payload.n)
    }
  }

  #ask(method: string, path: string, body = ''): Promise<Said> {
    return new Promise((resolve, reject) => {
      const asking = request(
        {
          host: '127.0.0.1',
          port: this.#place.ports.http,
          method,
          path: `/device/v1/${path}`,
          agent: this.#agent,
          auth: `${this.device}:${secretOf(this.device)}`,
          headers: body === '' ? {} : { 'content-type': 'application/json' },
        },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (part: string) => {
            text += part
          })
          response.on('end', () => resolve({ status: response.statusCode!, text }))
          response.on('error', reject)
        },
      )
      asking.on('error', reject)
      asking.end(body)
    })
  }
}
