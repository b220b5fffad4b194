import http from 'node:http'
import https from 'node:https'
import type { Clock } from '../contract/index.ts'
import type { Addresses } from './addresses.ts'
import { webhookBounds } from './bounds.ts'
import { Idle } from './idle.ts'

/** What became of one attempt. */
export interface Attempt {
  /** The receiver said 2xx. */
  readonly taken: boolean
  /** False: nobody answered. */
  readonly answered: boolean
  /** For people; never holds the URL or what the receiver wrote. */
  readonly text: string
}

/**
 * Posts to receivers. Never follows a redirect, believes only the status, reads no more of an answer
 * than it must, and is never kept waiting longer than the limit.
 */
export class Sender {
  readonly #addresses: Addresses
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #userAgent: string
  readonly #idle: Idle

  constructor(
    addresses: Addresses,
    clock: Clock,
    timeoutMs: number,
    version: string,
    idleMax: number = webhookBounds.webhookIdleConnectionsMax,
  ) {
    this.#addresses = addresses
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#userAgent = `pike-iot/${version}`
    this.#idle = new Idle(idleMax)
  }

  /** Connections of one webhook, kept open between requests as far as there is room for all. */
  connections(max: number): Connections {
    const options: http.AgentOptions = {
      keepAlive: true,
      maxSockets: max,
      maxFreeSockets: max,
      timeout: webhookBounds.webhookIdleMs,
      scheduling: 'lifo',
    }
    return new Connections(
      this.#idle.watch(new http.Agent(options)),
      this.#idle.watch(new https.Agent(options)),
    )
  }

  /** Resolves with what became of it; never rejects. */
  post(
    connections: Connections,
    url: string,
    headers: http.OutgoingHttpHeaders,
    body: Buffer,
  ): Promise<Attempt> {
    // A literal address is never looked up, so it is judged here, every time.
    const refused = this.#addresses.refusesText(url)
    if (refused !== undefined) return Promise.resolve(unanswered(`refused: the URL ${refused}`))
    return new Promise((resolve) => {
      let request: http.ClientRequest | undefined
      let over = false
      const end = (attempt: Attempt): void => {
        if (over) return
        over = true
        timer.cancel()
        connections.open.delete(abort)
        resolve(attempt)
      }
      const abort = (text: string): void => {
        end(unanswered(text))
        request?.destroy()
      }
      connections.open.add(abort)
      const timer = this.#clock.at(this.#clock.nowMs() + this.#timeoutMs, 'webhook request', () =>
        abort(`no answer within ${this.#timeoutMs / 1000} s`),
      )
      const ask = (again: boolean): void => {
        const parts = new URL(url)
        const secure = parts.protocol === 'https:'
        request = (secure ? https : http).request(
          parts,
          {
            method: 'POST',
            agent: secure ? connections.https : connections.http,
            lookup: this.#addresses.lookup,
            headers: {
              ...headers,
              'content-type': 'application/json',
              'content-length': body.length,
              'user-agent': this.#userAgent,
            },
          },
          (response) => {
            end(judged(response.statusCode ?? 0))
            this.#readRest(response)
          },
        )
        const mine = request
        mine.on('error', (error: NodeJS.ErrnoException) => {
          // The receiver closed an idle connection at the moment we used it.
          if (mine.reusedSocket && !again && !over) ask(true)
          else end(unanswered(error.code === undefined ? error.message : said(error.code)))
        })
        mine.end(body)
      }
      ask(false)
    })
  }

  /** To its end if that is near, so that the connection can be used again. */
  #readRest(response: http.IncomingMessage): void {
    let bytes = 0
    const timer = this.#clock.at(
      this.#clock.nowMs() + webhookBounds.webhookAnswerBodyMs,
      'webhook answer',
      () => response.destroy(),
    )
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > webhookBounds.webhookAnswerMaxBytes) response.destroy()
    })
    response.on('error', () => {})
    response.on('close', () => timer.cancel())
  }
}

export class Connections {
  readonly http: http.Agent
  readonly https: https.Agent
  /** Ends each request under way. */
  readonly open = new Set<(text: string) => void>()

  constructor(plain: http.Agent, secure: https.Agent) {
    this.http = plain
    this.https = secure
  }

  /** Nothing more, and nothing under way. */
  close(): void {
    for (const abort of [...this.open]) abort('this gateway is stopping')
    this.http.destroy()
    this.https.destroy()
  }
}

function judged(status: number): Attempt {
  const taken = status >= 200 && status < 300
  const redirect = status >= 300 && status < 400 ? '; redirects are not followed' : ''
  return { taken, answered: true, text: `answered ${status}${redirect}` }
}

const unanswered = (text: string): Attempt => ({ taken: false, answered: false, text })

const said = (code: string): string => sayings[code] ?? code

const sayings: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  ECONNREFUSED: 'the connection was refused (ECONNREFUSED)',
  ECONNRESET: 'the connection was closed before an answer came (ECONNRESET)',
  ENOTFOUND: 'its host name is unknown (ENOTFOUND)',
  EAI_AGAIN: 'its host name cannot be looked up at the moment (EAI_AGAIN)',
  EHOSTUNREACH: 'its host cannot be reached (EHOSTUNREACH)',
  ETIMEDOUT: 'its host does not answer (ETIMEDOUT)',
})
