import { Agent as PlainAgent, request as plainRequest } from 'node:http'
import { Agent as SecureAgent, request as secureRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import type { PikeClientOptions } from '../options.ts'

export interface Answer {
  /** 0: there was none. */
  readonly status: number
  readonly retryAfterMs: number
  readonly text: string
}

export interface Asking {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Given what comes of a `200` piece by piece; the answer's text is empty then. */
  readonly piece?: (text: string) => void
}

/** An answer longer than this is not read on. */
const answerMaxBytes = 64 * 1024
/** A request that is not a stream. */
const requestTimeoutMs = 30_000

/** Requests of one device to one gateway, over connections that are kept. Nothing here throws. */
export class Requests {
  readonly #options: PikeClientOptions
  readonly #agent: PlainAgent
  readonly #authorization: string
  readonly #underWay = new Set<{ destroy(): void }>()
  #idle: (() => void) | undefined

  constructor(options: PikeClientOptions) {
    this.#options = options
    const { app = 'default', device, secret, tls, connect } = options
    const who = app === 'default' ? device : `${app}/${device}`
    this.#authorization = `Basic ${Buffer.from(`${who}:${secret}`).toString('base64')}`
    const secured = typeof tls === 'object' ? tls : {}
    this.#agent = this.#isSecure
      ? new SecureAgent({ keepAlive: true, ...secured })
      : new PlainAgent({ keepAlive: true })
    if (connect !== undefined) this.#agent.createConnection = connect as () => Duplex
  }

  get #isSecure(): boolean {
    const { tls } = this.#options
    return tls !== undefined && tls !== false
  }

  ask({ method, path, headers, body, piece }: Asking): Promise<Answer> {
    const { host, port } = this.#options
    return new Promise((resolve) => {
      let text = ''
      const end = (status: number, retryAfter?: string): void => {
        this.#underWay.delete(asked)
        if (this.#underWay.size === 0) this.#idle?.()
        const seconds = Number(retryAfter ?? 0)
        resolve({ status, retryAfterMs: seconds > 0 ? seconds * 1000 : 0, text })
      }
      const send = this.#isSecure ? secureRequest : plainRequest
      const asked = send(
        {
          agent: this.#agent,
          host,
          port,
          method,
          path: `/device/v1/${path}`,
          headers: {
            authorization: this.#authorization,
            ...(method === 'POST' && { 'content-length': body?.length ?? 0 }),
            ...headers,
          },
        },
        (answer) => {
          const { statusCode = 0 } = answer
          answer.setEncoding('utf8')
          answer.on('data', (chunk: string) => {
            if (piece !== undefined && statusCode === 200) piece(chunk)
            else if (text.length + chunk.length <= answerMaxBytes) text += chunk
            else asked.destroy()
          })
          answer.on('error', () => {})
          answer.on('close', () =>
            end(answer.complete ? statusCode : 0, answer.headers['retry-after']),
          )
        },
      )
      this.#underWay.add(asked)
      if (piece === undefined) asked.setTimeout(requestTimeoutMs, () => asked.destroy())
      asked.on('error', () => end(0))
      asked.end(body)
    })
  }

  /** Cut what is under way. Resolves when nothing of it is open. */
  async close(): Promise<void> {
    const idle =
      this.#underWay.size === 0
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            this.#idle = resolve
          })
    for (const asked of [...this.#underWay]) asked.destroy()
    this.#agent.destroy()
    await idle
  }
}
