import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { World } from './world.ts'

export interface LineAnswer {
  readonly line: number
  readonly status: number
  readonly id?: string
  readonly commandStatus?: string
  readonly broadcast?: string
  readonly devices?: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into problems of every kind
  readonly problem?: any
}

/** A back end that writes lines and reads answers at the same time, over a real connection. */
export class LineClient {
  readonly #world: World
  readonly #request: ClientRequest
  response: IncomingMessage | undefined
  text = ''
  ended = false
  /** The answer was cut off. */
  broken = false
  #wake: (() => void) | undefined

  constructor(world: World, headers: Record<string, string> = {}) {
    this.#world = world
    const { port } = world.app.server.address() as AddressInfo
    this.#request = request(
      {
        port,
        host: '127.0.0.1',
        path: '/v1/commands',
        method: 'POST',
        agent: false,
        headers: {
          authorization: 'Bearer key-all',
          'content-type': 'application/x-ndjson',
          ...headers,
        },
      },
      (response) => {
        this.response = response
        response.setEncoding('utf8')
        response.on('data', (part: string) => {
          this.text += part
          this.#wake?.()
        })
        response.on('error', () => {})
        response.on('close', () => {
          this.ended = true
          this.broken = !response.complete
          this.#wake?.()
        })
        this.#wake?.()
      },
    )
    this.#request.on('error', () => {
      this.ended = true
      this.broken = true
      this.#wake?.()
    })
    this.#request.flushHeaders()
  }

  get answers(): LineAnswer[] {
    return this.text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  }

  /** @returns false when the connection takes no more for now; then wait until `drained`. */
  write(...lines: (object | string | Buffer)[]): boolean {
    let takes = true
    for (const line of lines) {
      const isText = typeof line === 'string' || Buffer.isBuffer(line)
      takes = this.#request.write(isText ? line : `${JSON.stringify(line)}\n`)
    }
    return takes
  }

  drained(): Promise<unknown> {
    return once(this.#request, 'drain')
  }

  end(): void {
    this.#request.end()
  }

  destroy(): void {
    this.#request.destroy()
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      assert.ok(!this.ended, `the answer ended: ${this.text.slice(-500)}`)
      await new Promise<void>((wake) => {
        this.#wake = wake
      })
    }
  }

  /** To the end of the answer; it is held against /openapi.json. */
  async all(): Promise<LineAnswer[]> {
    while (!this.ended)
      await new Promise<void>((wake) => {
        this.#wake = wake
      })
    assert.ok(this.response, 'answered')
    const { statusCode, headers } = this.response
    this.#world.check.check('POST', '/v1/commands', {
      statusCode: statusCode!,
      headers,
      payload: this.text,
    })
    return this.answers
  }
}
