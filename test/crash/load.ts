import type { Random } from '../support/random.ts'
import type { Asking, Names } from './asking.ts'
import { isUnreached } from './caller.ts'
import { type Answer, type Api, textOf, timeOf } from './http.ts'
import type { Accepted, Ask, Attempt, Journal } from './journal.ts'
import { absent } from './journal-many.ts'
import type { Parts } from './parts.ts'

export interface LoadOptions {
  readonly journal: Journal
  readonly api: Api
  readonly random: Random
  readonly asking: Asking
  readonly names: Names
  readonly parts: Parts
  /** Commands a second, in sum. */
  readonly rate: number
  /** Changes when answers stop counting: one asked for before and answered after is unclear. */
  readonly era: () => number
}

/** What a request may take while the gateway is paused, and how long a key is tried again. */
const requestTimeoutMs = 15_000
const retryForMs = 45_000

/**
 * A busy, impatient back end. It keeps to no rhythm of the gateway: it asks at its rate whether or
 * not anybody answers, repeats what carries a key until it knows, and never repeats what does not.
 */
export class Load {
  readonly #options: LoadOptions
  readonly #pending = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #abandoned = false
  /** Waiters on an accepted answer and on a 503 or 507, for those who inject faults. */
  #acceptedAtMs = 0
  #unavailableAtMs = 0

  constructor(options: LoadOptions) {
    this.#options = options
  }

  /** When the gateway last accepted something that was asked for after `sinceMs`, or undefined. */
  acceptedSince(sinceMs: number): number | undefined {
    return this.#acceptedAtMs >= sinceMs ? this.#acceptedAtMs : undefined
  }

  /** Somebody else's: what was asked for at this time was accepted. */
  accepted(askedAtMs: number): void {
    this.#acceptedAtMs = Math.max(this.#acceptedAtMs, askedAtMs)
  }

  unavailableSince(sinceMs: number): boolean {
    return this.#unavailableAtMs >= sinceMs
  }

  /** Does nothing while it runs. */
  start(): void {
    if (this.#timer !== undefined) return
    const { rate } = this.#options
    const tickMs = 20
    let owed = 0
    let lastMs = performance.now()
    this.#timer = setInterval(() => {
      const nowMs = performance.now()
      // After a long wait of our own process a flood would say nothing about the gateway.
      owed += (Math.min(nowMs - lastMs, 250) * rate) / 1_000
      lastMs = nowMs
      for (; owed >= 1; owed--) this.#ask()
    }, tickMs)
  }

  /** No new ask, and nobody waits for what is under way. */
  abandon(): void {
    this.#abandoned = true
    clearInterval(this.#timer)
  }

  /** No new ask; what is under way is finished, keys are tried until they are answered. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  #ask(): void {
    const ask = this.#options.asking.draw(0.4, true)
    const work = this.#see(ask).finally(() => this.#pending.delete(work))
    this.#pending.add(work)
  }

  async #see(ask: Ask): Promise<void> {
    const { random, asking, parts } = this.#options
    const headers: Record<string, string> = {}
    if (ask.key !== undefined) headers['idempotency-key'] = ask.key
    if (random.chance(0.05)) headers.prefer = 'wait=3'
    const body = asking.body(ask)
    const cancels = parts.has('cancel') && random.chance(0.12)
    if (ask.key === undefined) {
      const { accepted } = await this.#attempt(ask, body, headers)
      if (accepted !== undefined && cancels) await this.#cancel(accepted.id)
      return
    }
    const untilMs = Date.now() + retryForMs
    for (;;) {
      const requests = [this.#attempt(ask, body, headers)]
      if (random.chance(0.1)) requests.push(this.#attempt(ask, body, headers))
      const attempts = await Promise.all(requests)
      const accepted = attempts.find((attempt) => attempt.accepted !== undefined)?.accepted
      if (accepted !== undefined) {
        if (cancels) await this.#cancel(accepted.id)
        break
      }
      // What is refused for good is refused for good.
      if (attempts.some((attempt) => attempt.http !== undefined && isFinal(attempt.http))) return
      if (Date.now() > untilMs || this.#abandoned) return
      await sleep(random.int(100, 500))
    }
    if (random.chance(0.2)) {
      await sleep(random.int(0, 1_500))
      await this.#attempt(ask, body, headers)
    }
    if (random.chance(0.05)) {
      await this.#attempt(ask, { ...body, payload: { n: ask.n, other: true } }, headers, true)
    }
  }

  async #attempt(
    ask: Ask,
    body: unknown,
    headers: Record<string, string>,
    otherBody = false,
  ): Promise<Attempt> {
    const { api, era, names } = this.#options
    const attempt: Attempt = {
      askedAtMs: Date.now(),
      answeredAtMs: undefined,
      verdict: 'pending',
      http: undefined,
      accepted: undefined,
    }
    ask.attempts.push(attempt)
    const eraThen = era()
    try {
      const answer = await api.call('POST', commandsPath(ask), {
        body,
        headers,
        timeoutMs: requestTimeoutMs,
        key: ask.askedBy === undefined ? undefined : names.keyTexts.get(ask.askedBy),
      })
      if (era() !== eraThen) throw new Error('cut off before the answer was read')
      attempt.answeredAtMs = Date.now()
      attempt.http = answer.status
      this.#hear(attempt, answer, otherBody)
      this.#note(ask, attempt, answer)
    } catch (error) {
      // Nobody listened: certainly nothing was taken.
      attempt.verdict = otherBody ? 'other-body' : isUnreached(error) ? 'unreached' : 'unclear'
    }
    return attempt
  }

  /** What the answer says of names beside the command. */
  #note(ask: Ask, { askedAtMs, answeredAtMs }: Attempt, { status, body }: Answer): void {
    const { reads } = this.#options.journal
    const at = { askedAtMs, answeredAtMs: answeredAtMs!, by: `ask ${ask.n}` }
    if (ask.askedBy !== undefined) {
      const value = keyWorks(status)
      if (value !== undefined) reads.push({ register: `key/${ask.askedBy}`, value, ...at })
    }
    if (ask.alias !== undefined && textOf(body, 'type') === '/problems/unknown-alias') {
      reads.push({ register: `alias/${ask.alias}`, value: absent, ...at })
    }
  }

  #hear(attempt: Attempt, answer: Answer, otherBody: boolean): void {
    const accepted = acceptedOf(answer)
    if (otherBody) attempt.verdict = 'other-body'
    else if (accepted !== undefined) {
      attempt.verdict = 'accepted'
      attempt.accepted = accepted
      this.#acceptedAtMs = Math.max(this.#acceptedAtMs, attempt.askedAtMs)
    } else if (answer.status === 503 || answer.status === 507) {
      attempt.verdict = 'unavailable'
      this.#unavailableAtMs = Math.max(this.#unavailableAtMs, attempt.askedAtMs)
    } else if (answer.status >= 400 && answer.status < 500) attempt.verdict = 'refused'
    else attempt.verdict = 'unclear'
  }

  async #cancel(id: string): Promise<void> {
    const { api, journal, random, era } = this.#options
    if (random.chance(0.5)) await sleep(random.int(0, 300))
    const eraThen = era()
    let http: number | undefined
    let status: string | undefined
    try {
      const answer = await api.call('DELETE', `/v1/commands/${id}`)
      if (era() === eraThen) {
        http = answer.status
        status = textOf(answer.body, 'commandStatus')
      }
    } catch {
      // Unclear: it may or may not be canceled now.
    }
    journal.cancels.push({ id, http, status })
  }
}

const commandsPath = ({ alias, device }: Ask): string =>
  alias === undefined ? `/v1/devices/${device}/commands` : `/v1/aliases/${alias}/commands`

/** What an answer says of the key it was asked with; undefined: nothing. */
export function keyWorks(status: number): string | undefined {
  if (status === 401) return absent
  // Of a key that does not work 429 says the same; of one that works something else.
  return status === 429 || status >= 500 ? undefined : 'works'
}

const isFinal = (http: number): boolean => http >= 400 && http < 500 && http !== 429 && http !== 408

const acceptedOf = ({ status, body }: Answer): Accepted | undefined =>
  acceptedFrom(status, textOf(body, 'id'), textOf(body, 'status'), body)

/** What an answer promises; undefined: nothing. */
export function acceptedFrom(
  http: number,
  id: string | undefined,
  status: string | undefined,
  body: unknown,
): Accepted | undefined {
  if ((http !== 200 && http !== 202) || id === undefined) return undefined
  const parts = id.split(':')
  return {
    id,
    epoch: Number.parseInt(parts[2] ?? '', 36),
    offset: Number(parts[3]),
    status: status ?? '',
    expiresAtMs: timeOf(body, 'expiresAt'),
  }
}

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms))
