import { Agent, type CoapRequestParams, type OutgoingMessage } from 'coap'
import type { Wire } from './wire.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export interface Asking {
  readonly method: Method
  readonly path: readonly string[]
  readonly query?: readonly string[]
  /** By name, or by number where the library knows no name, or knows it too well. */
  readonly options?: Readonly<Record<string, Buffer>>
  readonly payload?: Uint8Array
  /** Else one of the agent's. */
  readonly token?: Buffer
}

export interface Answer {
  /** As people write it: `2.05`. */
  readonly code: string
  readonly payload: Buffer
  readonly maxAgeMs: number | undefined
  /** More of it follows. */
  readonly isObserved: boolean
  /** The last of that name. */
  option(name: string): Buffer | string | undefined
}

interface Out {
  readonly request: OutgoingMessage
  readonly dueMs: number
  readonly resolve: (answer: Answer | undefined) => void
}

/**
 * RFC 7252 §4.2 sends a message at 0, 2–3, 6–9, 14–21, 30–45 s and gives up after 93. A device finds out
 * sooner that nobody is there: three of these unanswered are enough to try anew.
 */
export const answerMaxMs = 18_000

/**
 * Requests of one device to its gateway, one at a time (RFC 7252 §4.7), by node-coap's agent: tokens,
 * message ids, repeats, and the blocks of answers. Nothing here throws.
 */
export class Requests {
  readonly #agent: Agent
  readonly #wire: Wire
  readonly #nowMs: () => number
  #out: Out | undefined

  constructor(wire: Wire, nowMs: () => number) {
    this.#wire = wire
    this.#nowMs = nowMs
    this.#agent = new Agent({ socket: wire as never })
    this.#agent.on('error', () => {})
  }

  get dueMs(): number {
    return this.#out?.dueMs ?? Number.POSITIVE_INFINITY
  }

  /** @returns undefined: none came in time, or it was canceled. */
  ask({ method, path, query = [], options, payload, token }: Asking): Promise<Answer | undefined> {
    this.#settle(undefined)
    this.#wire.begin()
    const request = this.#agent.request({
      // Where it goes is the socket's to know, which is connected.
      ...{ hostname: '127.0.0.1', port: 1, method },
      options: {
        ...(path.length > 0 && { 'Uri-Path': path.map(bytesOf) }),
        ...(query.length > 0 && { 'Uri-Query': query.map(bytesOf) }),
        ...options,
      } as CoapRequestParams['options'],
      ...(token !== undefined && { token }),
    })
    return new Promise((resolve) => {
      this.#out = { request, dueMs: this.#nowMs() + answerMaxMs, resolve }
      const isOut = (): boolean => this.#out?.request === request
      request.on('response', ({ code, payload, options }: Came) => {
        if (isOut()) this.#settle(answerOf(code, payload, options))
      })
      request.on('error', () => {
        if (isOut()) this.#settle(undefined)
      })
      request.end(payload === undefined ? undefined : Buffer.from(payload))
    })
  }

  tick(nowMs: number): void {
    if (nowMs >= this.dueMs) this.#settle(undefined)
  }

  /** Whoever waits is told that no answer comes. */
  cancel(): void {
    this.#settle(undefined)
  }

  #settle(answer: Answer | undefined): void {
    const out = this.#out
    if (out === undefined) return
    this.#out = undefined
    // Also of one that was answered: an answer that came before its acknowledgement stays in its tables.
    this.#agent.abort(out.request)
    out.resolve(answer)
  }
}

interface Came {
  readonly code: string
  readonly payload: Buffer
  readonly options: readonly { readonly name: string; readonly value: unknown }[]
}

function answerOf(code: string, payload: Buffer, options: Came['options']): Answer {
  const option = (name: string): Buffer | string | undefined => {
    const value = options.findLast((one) => one.name === name)?.value
    return Buffer.isBuffer(value) || typeof value === 'string' ? value : undefined
  }
  const maxAge = options.find(({ name }) => name === 'Max-Age')?.value
  const maxAgeMs = typeof maxAge === 'number' ? maxAge * 1000 : undefined
  const isObserved = options.some(({ name }) => name === 'Observe')
  return { code, payload: Buffer.from(payload), maxAgeMs, isObserved, option }
}

const bytesOf = (text: string): Buffer => Buffer.from(text)

/** A number as an option's value, RFC 7252 §3.2. */
export function uintBytes(value: number): Buffer {
  const bytes: number[] = []
  for (let left = value; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256)
  return Buffer.from(bytes)
}

/** undefined: there is none, or it is longer than a number may be. */
export function uintOf(value: Buffer | string | undefined): number | undefined {
  if (!Buffer.isBuffer(value) || value.length > 6) return undefined
  return value.length === 0 ? 0 : value.readUIntBE(0, value.length)
}
