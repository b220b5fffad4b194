import type { Random } from '../support/random.ts'
import type { Asking } from './asking.ts'
import { type Api, fieldOf, textOf } from './http.ts'
import type { Ask, Attempt, Journal } from './journal.ts'
import { absent } from './journal-many.ts'
import { LineCall } from './line-call.ts'
import { acceptedFrom, sleep } from './load.ts'
import { Worker } from './worker.ts'

export interface LinesOptions {
  readonly journal: Journal
  readonly api: Api
  readonly asking: Asking
  readonly random: Random
  readonly era: () => number
  /** Lines a second, in sum. */
  readonly rate: number
  /** Something was accepted that was asked for at this time. */
  readonly accepted: (askedAtMs: number) => void
}

/** Calls at once. */
const callsMax = 3
const callMs = [200, 2_500] as const
const retryForMs = 45_000

interface Line {
  readonly ask: Ask
  /** The same bytes every time. */
  readonly text: string
  readonly sinceMs: number
}

/**
 * Many commands a call, some calls at once, for as long as each lasts: a fault breaks them off. Lines
 * with a key that were not answered, or told "not now", go into a later call.
 */
export class LinesLoad {
  readonly #options: LinesOptions
  readonly #workers: Worker[]
  readonly #again: Line[] = []
  #calm = false
  #abandoned = false

  constructor(options: LinesOptions) {
    this.#options = options
    const { random } = options
    this.#workers = Array.from(
      { length: callsMax },
      () => new Worker([10, 300], random.fork(), () => this.#call()),
    )
  }

  start(): void {
    for (const worker of this.#workers) worker.start()
  }

  /** No new lines; those with a key are sent until they are answered. */
  async stop(): Promise<void> {
    this.#calm = true
    await Promise.all(this.#workers.map((worker) => worker.stop()))
    while (this.#again.length > 0 && !this.#abandoned) {
      await this.#call()
      await sleep(50)
    }
  }

  /** Nobody waits for what is under way. */
  abandon(): void {
    this.#calm = true
    this.#abandoned = true
  }

  async #call(): Promise<void> {
    const { api, journal, random, era, rate } = this.#options
    if (api.base === undefined) return
    const attempts = new Map<number, { readonly line: Line; readonly attempt: Attempt }>()
    const call = new LineCall({
      api,
      journal,
      era,
      path: '/v1/commands',
      contentType: 'application/x-ndjson',
      answered: (number, status, body) => {
        const written = attempts.get(number)
        if (written === undefined || written.attempt.verdict !== 'pending') return
        this.#hear(written.line, written.attempt, status, body)
      },
    })
    const untilMs = Date.now() + random.int(callMs[0], callMs[1])
    for (;;) {
      const line = this.#next()
      if (line === undefined || !call.isOpen) {
        if (line !== undefined) this.#retry(line)
        break
      }
      const attempt = this.#write(call, line)
      attempts.set(attempt.line!.line, { line, attempt })
      if (Date.now() > untilMs) break
      const gapMs = (1_000 * callsMax) / rate
      await sleep(random.int(0, 2 * gapMs))
    }
    call.finish()
    await call.ended
    for (const { line, attempt } of attempts.values()) this.#settle(call, line, attempt)
  }

  #next(): Line | undefined {
    const { asking, random } = this.#options
    if (this.#again.length > 0 && (this.#calm || random.chance(0.5))) return this.#again.shift()
    if (this.#calm) return undefined
    const ask = asking.draw(0.6, false)
    const to = ask.alias === undefined ? { device: ask.device } : { alias: ask.alias }
    const text = JSON.stringify({ to, idempotencyKey: ask.key, ...asking.body(ask) })
    return { ask, text, sinceMs: Date.now() }
  }

  /** Now and then with something beside it that is nothing. */
  #write(call: LineCall, { ask, text }: Line): Attempt {
    const { random } = this.#options
    if (random.chance(0.02)) call.seen.bad.add(call.write('{"name": "open'))
    if (random.chance(0.02)) call.seen.blank.add(call.write(' '))
    const askedAtMs = Date.now()
    const attempt: Attempt = {
      askedAtMs,
      answeredAtMs: undefined,
      verdict: 'pending',
      http: undefined,
      accepted: undefined,
      line: { call: call.seen.call, line: call.write(text) },
    }
    ask.attempts.push(attempt)
    return attempt
  }

  #hear({ ask }: Line, attempt: Attempt, status: number, body: unknown): void {
    attempt.answeredAtMs = Date.now()
    attempt.http = status
    const accepted = acceptedFrom(status, textOf(body, 'id'), textOf(body, 'commandStatus'), body)
    if (accepted !== undefined) {
      attempt.verdict = 'accepted'
      attempt.accepted = accepted
      this.#options.accepted(attempt.askedAtMs)
    } else if (status === 503 || status === 507) attempt.verdict = 'unavailable'
    else if (status >= 400 && status < 500) attempt.verdict = 'refused'
    else attempt.verdict = 'unclear'
    if (textOf(fieldOf(body, 'problem'), 'type') !== '/problems/unknown-alias') return
    const { askedAtMs, answeredAtMs } = attempt
    const register = `alias/${ask.alias}`
    const by = `ask ${ask.n}`
    this.#options.journal.reads.push({ register, value: absent, askedAtMs, answeredAtMs, by })
  }

  /** The call is over: what became of a line that was not answered? */
  #settle({ seen }: LineCall, line: Line, attempt: Attempt): void {
    if (attempt.verdict === 'pending') {
      // A call that was refused, or came to its end, says of the rest that it was not read.
      const unread = seen.end === 'unreached' || seen.end === 'whole'
      attempt.verdict = unread ? 'unreached' : 'unclear'
    }
    const { verdict, http } = attempt
    const retry = verdict === 'unreached' || verdict === 'unclear' || verdict === 'unavailable'
    if (retry || http === 429 || http === 408) this.#retry(line)
  }

  #retry(line: Line): void {
    if (line.ask.key === undefined || Date.now() > line.sinceMs + retryForMs) return
    this.#again.push(line)
  }
}
