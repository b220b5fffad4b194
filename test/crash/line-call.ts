import { type ClientRequest, request } from 'node:http'
import { isUnreached } from './caller.ts'
import { type Api, numberOf } from './http.ts'
import type { Journal } from './journal.ts'
import type { LineCallSeen } from './journal-many.ts'

export interface LineCallOptions {
  readonly api: Api
  readonly journal: Journal
  readonly path: string
  readonly contentType: string
  /** Changes when answers stop counting. */
  readonly era: () => number
  /** The answer to a line; `status` beside what it says. */
  answered(line: number, status: number, body: unknown): void
}

/** How long a call may take in all, from its last line on. */
const endMaxMs = 60_000

/** One call of many lines: written when its owner likes, answers read as they come. */
export class LineCall {
  readonly seen: LineCallSeen
  readonly ended: Promise<void>
  readonly #options: LineCallOptions
  readonly #request: ClientRequest | undefined
  readonly #era: number
  #end!: () => void
  #text = ''

  constructor(options: LineCallOptions) {
    this.#options = options
    this.#era = options.era()
    const { journal, path, api } = options
    this.seen = {
      call: journal.lineCalls.length + 1,
      path,
      http: undefined,
      sent: 0,
      bad: new Set(),
      blank: new Set(),
      answers: [],
      end: 'open',
    }
    journal.lineCalls.push(this.seen)
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    const { base } = api
    if (base === undefined) this.#over('unreached')
    else this.#request = this.#ask(base)
  }

  get isOpen(): boolean {
    return this.seen.end === 'open'
  }

  /** @returns the number of the line. */
  write(text: string): number {
    this.#request?.write(`${text}\n`)
    return ++this.seen.sent
  }

  /** All is written. */
  finish(): void {
    this.#request?.end()
    const timer = setTimeout(() => this.#request?.destroy(), endMaxMs)
    void this.ended.then(() => clearTimeout(timer))
  }

  #ask({ host, port, key }: { host: string; port: number; key: string }): ClientRequest {
    const { path, contentType } = this.#options
    const ask = request({
      host,
      port,
      path,
      method: 'POST',
      agent: false,
      headers: { authorization: `Bearer ${key}`, 'content-type': contentType },
    })
    ask.on('response', (response) => {
      this.seen.http = response.statusCode
      response.setEncoding('utf8').on('data', (text: string) => this.#hear(text))
      response.on('error', () => this.#over('broken'))
      response.on('end', () => this.#over(response.complete ? 'whole' : 'broken'))
    })
    ask.on('error', (error) => this.#over(isUnreached(error) ? 'unreached' : 'broken'))
    ask.flushHeaders()
    return ask
  }

  #hear(text: string): void {
    if (this.seen.http !== 200 || this.#options.era() !== this.#era) return
    const lines = (this.#text + text).split('\n')
    this.#text = lines.pop() ?? ''
    for (const line of lines) {
      const body: unknown = JSON.parse(line)
      const answer = { line: numberOf(body, 'line') ?? 0, status: numberOf(body, 'status') ?? 0 }
      this.seen.answers.push(answer)
      this.#options.answered(answer.line, answer.status, body)
    }
  }

  #over(how: 'whole' | 'broken' | 'unreached'): void {
    if (this.seen.end !== 'open') return
    const heard = this.#options.era() === this.#era
    this.seen.end = how === 'whole' && !heard ? 'broken' : how
    this.#request?.destroy()
    this.#end()
  }
}
