import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { backendBounds } from './bounds.ts'
import { PikeUnreachable } from './errors.ts'
import { problemOf, type Transport } from './transport.ts'

/**
 * One call whose body and answer are lines and flow at the same time, each with its own
 * backpressure. By node:http, which promises that; fetch calls such a body `duplex: 'half'` and may
 * hold the answer back until it is sent.
 */
export class LineCall {
  readonly #transport: Transport
  readonly #request: ClientRequest
  readonly #response: Promise<IncomingMessage>
  readonly #signal: AbortSignal | undefined
  readonly #abort = (): void => void this.#request.destroy(this.#signal!.reason)
  #out = ''
  #flush: NodeJS.Immediate | undefined
  #closed = false

  constructor(
    transport: Transport,
    path: string,
    contentType: string,
    signal: AbortSignal | undefined,
  ) {
    this.#transport = transport
    this.#signal = signal
    const url = new URL(transport.url + path)
    this.#request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      headers: {
        ...transport.headers,
        'content-type': contentType,
        accept: 'application/x-ndjson',
      },
      // A connection of its own: one that ends early must not be given to another call.
      agent: false,
    })
    this.#request.setNoDelay(true)
    this.#response = new Promise((resolve, reject) => {
      this.#request.once('response', resolve)
      this.#request.once('error', reject)
      this.#request.once('close', () => reject(new Error('closed without an answer')))
    })
    // Told to whoever reads the answers; nobody may be reading yet. Errors after the answer began
    // are its own as well.
    this.#response.catch(() => {})
    this.#request.on('error', () => {})
    if (signal?.aborted) this.#abort()
    else signal?.addEventListener('abort', this.#abort, { once: true })
  }

  /** @returns something to wait for when there is no room; resolves too when the call is over. */
  write(text: string): Promise<void> | undefined {
    this.#out += text
    if (this.#out.length >= backendBounds.linesChunkChars) return this.#send()
    this.#flush ??= setImmediate(() => void this.#send())
    return undefined
  }

  end(): void {
    if (this.#closed) return
    void this.#send()
    this.#request.end()
  }

  /** The answer, line by line. `waits` says whether an answer is due. Throws what broke it. */
  async *answers(waits: () => boolean): AsyncGenerator<string> {
    let heardMs = performance.now()
    // Only the time in which an answer is due and looked for counts as silence.
    let paused = false
    const silence = setInterval(() => {
      if (paused || !waits()) heardMs = performance.now()
      else if (performance.now() - heardMs >= backendBounds.linesSilentMs)
        this.#request.destroy(new Error(`no answer for ${backendBounds.linesSilentMs} ms`))
    }, backendBounds.linesSilentMs / 4)
    try {
      const response = await this.#response
      if (response.statusCode !== 200) throw await this.#problem(response)
      const decoder = new TextDecoder()
      let rest = ''
      for await (const chunk of response) {
        rest += decoder.decode(chunk as Buffer, { stream: true })
        let from = 0
        for (let to = rest.indexOf('\n'); to !== -1; to = rest.indexOf('\n', from)) {
          paused = true
          if (to > from) yield rest.slice(from, to)
          paused = false
          from = to + 1
        }
        heardMs = performance.now()
        rest = rest.slice(from)
        if (rest.length > backendBounds.textMaxChars) throw new Error('an answer that never ends')
      }
    } catch (error) {
      throw this.#transport.failure(error, this.#signal)
    } finally {
      clearInterval(silence)
    }
  }

  get closed(): boolean {
    return this.#closed
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#flush !== undefined) clearImmediate(this.#flush)
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#request.destroy()
  }

  #send(): Promise<void> | undefined {
    if (this.#flush !== undefined) clearImmediate(this.#flush)
    this.#flush = undefined
    const text = this.#out
    this.#out = ''
    if (this.#closed || text === '' || this.#request.destroyed) return undefined
    if (this.#request.write(text)) return undefined
    return new Promise((resolve) => {
      const go = (): void => {
        this.#request.off('drain', go)
        this.#request.off('close', go)
        resolve()
      }
      this.#request.once('drain', go)
      this.#request.once('close', go)
    })
  }

  async #problem(response: IncomingMessage): Promise<Error> {
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk
      if (text.length > backendBounds.textMaxChars) break
    }
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      // Not from a Pike gateway; the status says enough.
    }
    const { statusCode = 0, headers } = response
    if (statusCode === 0) return new PikeUnreachable(this.#transport.url, undefined)
    return problemOf(this.#transport.url, statusCode, body, headers['retry-after'])
  }
}
