import { Agent, request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly text: string
}

/**
 * The back end's end of the northbound API. An answer that did not come whole is an error: whoever
 * asked cannot know what became of it.
 */
export class Api {
  #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #key: string
  #base: { host: string; port: number } | undefined

  constructor(key: string) {
    this.#key = key
  }

  /** Where it answers, for calls that last; undefined while it does not run. */
  get base(): { readonly host: string; readonly port: number; readonly key: string } | undefined {
    return this.#base === undefined ? undefined : { ...this.#base, key: this.#key }
  }

  /** Where it answers now; another port after every start. Old connections are dropped. */
  at(base: { host: string; port: number } | undefined): void {
    this.#agent.destroy()
    this.#agent = new Agent({ keepAlive: true, maxSockets: 64 })
    this.#base = base
  }

  /** Rejects when no whole answer came within the time. */
  call(
    method: string,
    path: string,
    options: {
      readonly body?: unknown
      readonly headers?: Readonly<Record<string, string>>
      readonly timeoutMs?: number
      /** Another API key than the first. */
      readonly key?: string | undefined
    } = {},
  ): Promise<Answer> {
    const base = this.#base
    if (base === undefined) return Promise.reject(new Error('the gateway is not running'))
    const body = options.body === undefined ? undefined : JSON.stringify(options.body)
    return new Promise((resolve, reject) => {
      const ask = request(
        {
          ...base,
          method,
          path,
          agent: this.#agent,
          headers: {
            authorization: `Bearer ${options.key ?? this.#key}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...options.headers,
          },
        },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('aborted', () => reject(new Error('the answer broke off')))
          answer.on('end', () => {
            clearTimeout(timer)
            const text = Buffer.concat(chunks).toString()
            resolve({ status: answer.statusCode ?? 0, text, body: parse(text) })
          })
        },
      )
      const timer = setTimeout(
        () => ask.destroy(new Error('no answer in time')),
        options.timeoutMs ?? 15_000,
      )
      ask.on('error', (error) => {
        clearTimeout(timer)
        reject(error)
      })
      ask.end(body)
    })
  }
}

function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A field of something that came as JSON; undefined when it is not there or of another type. */
export function textOf(body: unknown, field: string): string | undefined {
  const value = fieldOf(body, field)
  return typeof value === 'string' ? value : undefined
}

export function numberOf(body: unknown, field: string): number | undefined {
  const value = fieldOf(body, field)
  return typeof value === 'number' ? value : undefined
}

export function fieldOf(body: unknown, field: string): unknown {
  if (typeof body !== 'object' || body === null) return undefined
  return Object.getOwnPropertyDescriptor(body, field)?.value
}

/** Times northbound are RFC 3339. NaN for what is none. */
export const timeOf = (body: unknown, field: string): number =>
  Date.parse(textOf(body, field) ?? '')
