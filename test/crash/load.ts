import { type Answer, type Api, textOf, timeOf } from './http.ts'
import type { Accepted, Ask, Attempt, Journal } from './journal.ts'
import type { Random } from './random.ts'

export interface LoadOptions {
  readonly journal: Journal
  readonly api: Api
  readonly random: Random
  readonly devices: readonly string[]
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
  #n = 0
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
    const { random, devices, journal } = this.#options
    const n = ++this.#n
    const keyed = random.chance(0.4)
    const short = random.chance(0.2)
    const delivery = random.chance(0.15) ? 'now' : 'queue'
    const expect = random.chance(0.4) ? 'reply' : 'ack'
    const ask: Ask = {
      n,
      device: random.pick(devices),
      channel: random.chance(0.3) ? 'urgent' : 'main',
      name: keyed ? `k${n}` : random.pick(['open', 'blink', 'set']),
      delivery,
      expect,
      ttlMs: short ? random.int(1, 3) * 1_000 : delivery === 'now' ? 5_000 : undefined,
      key: keyed ? `key-${n}` : undefined,
      attempts: [],
    }
    journal.asks.push(ask)
    const work = this.#see(ask).finally(() => this.#pending.delete(work))
    this.#pending.add(work)
  }

  async #see(ask: Ask): Promise<void> {
    const { random } = this.#options
    const headers: Record<string, string> = {}
    if (ask.key !== undefined) headers['idempotency-key'] = ask.key
    if (random.chance(0.05)) headers.prefer = 'wait=3'
    const body = {
      name: ask.name,
      payload: { n: ask.n },
      delivery: ask.delivery,
      expect: ask.expect,
      channel: ask.channel,
      ...(ask.ttlMs === undefined ? {} : { ttl: ask.ttlMs / 1_000 }),
      ...(ask.expect === 'reply' ? { replyTimeout: 3 } : {}),
      ...(ask.key === undefined && random.chance(0.08) ? { collapse: 'latest' } : {}),
    }
    if (ask.key === undefined) {
      const attempt = await this.#attempt(ask, body, headers)
      if (attempt.accepted !== undefined && random.chance(0.06)) {
        await this.#cancel(attempt.accepted.id)
      }
      return
    }
    const untilMs = Date.now() + retryForMs
    for (;;) {
      const requests = [this.#attempt(ask, body, headers)]
      if (random.chance(0.1)) requests.push(this.#attempt(ask, body, headers))
      const attempts = await Promise.all(requests)
      if (attempts.some((attempt) => attempt.accepted !== undefined)) break
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
    const { api, era } = this.#options
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
      const answer = await api.call('POST', `/v1/devices/${ask.device}/commands`, {
        body,
        headers,
        timeoutMs: requestTimeoutMs,
      })
      if (era() !== eraThen) throw new Error('cut off before the answer was read')
      attempt.answeredAtMs = Date.now()
      attempt.http = answer.status
      this.#hear(attempt, answer, otherBody)
    } catch (error) {
      // Nobody listened: certainly nothing was taken.
      const code = (error as NodeJS.ErrnoException).code
      const unreached = code === 'ECONNREFUSED' || /is not running/.test((error as Error).message)
      attempt.verdict = otherBody ? 'other-body' : unreached ? 'unreached' : 'unclear'
    }
    return attempt
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
    try {
      const { status } = await api.call('DELETE', `/v1/commands/${id}`)
      if (era() === eraThen) http = status
    } catch {
      // Unclear: it may or may not be canceled now.
    }
    journal.cancels.push({ id, http })
  }
}

const isFinal = (http: number): boolean => http >= 400 && http < 500 && http !== 429 && http !== 408

export function acceptedOf({ status, body }: Answer): Accepted | undefined {
  const id = textOf(body, 'id')
  if ((status !== 200 && status !== 202) || id === undefined) return undefined
  const parts = id.split(':')
  return {
    id,
    epoch: Number.parseInt(parts[2] ?? '', 36),
    offset: Number(parts[3]),
    status: textOf(body, 'status') ?? '',
    expiresAtMs: timeOf(body, 'expiresAt'),
  }
}

export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms))
