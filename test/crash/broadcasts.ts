import type { Random } from '../support/random.ts'
import type { Names } from './asking.ts'
import type { Called, Caller } from './caller.ts'
import { isUnavailable } from './caller.ts'
import { type Api, fieldOf, numberOf, textOf } from './http.ts'
import type { Journal } from './journal.ts'
import type { BroadcastAsk, BroadcastAttempt, BroadcastSeen } from './journal-many.ts'
import { LineCall } from './line-call.ts'
import { sleep } from './load.ts'
import { steadyTag } from './named-devices.ts'
import type { Parts } from './parts.ts'
import { Worker } from './worker.ts'

export interface BroadcastOptions {
  readonly journal: Journal
  readonly api: Api
  readonly caller: Caller
  readonly random: Random
  readonly parts: Parts
  readonly names: Names
  readonly era: () => number
  readonly number: () => number
}

const retryForMs = 45_000

/** One command for all devices of a tag, slowly enough that faults come in the midst of it. */
export class BroadcastLoad {
  readonly #options: BroadcastOptions
  readonly #worker: Worker
  readonly #pending = new Set<Promise<void>>()
  #abandoned = false

  constructor(options: BroadcastOptions) {
    this.#options = options
    this.#worker = new Worker([200, 1_200], options.random.fork(), async () => this.#begin())
  }

  start(): void {
    this.#worker.start()
  }

  async stop(): Promise<void> {
    await this.#worker.stop()
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  abandon(): void {
    this.#abandoned = true
  }

  #begin(): void {
    const work = this.#see(this.#draw()).finally(() => this.#pending.delete(work))
    this.#pending.add(work)
  }

  #draw(): BroadcastAsk {
    const { random, parts, names, journal, number } = this.#options
    const n = number()
    const tag = random.pick(parts.has('devices') ? [steadyTag, 'red', 'blue'] : [steadyTag])
    // A few seconds each, so that some are under way when a fault comes.
    const rate = tag === steadyTag ? random.int(3, 8) : random.int(4, 12)
    const ask: BroadcastAsk = {
      n,
      name: `b${n}`,
      tag,
      channel: random.pick(['main', 'main', 'urgent']),
      expect: random.chance(0.3) ? 'reply' : 'ack',
      ttlMs: random.int(1, 3) * 1_000,
      rate: random.chance(0.75) ? rate : undefined,
      stopAfterFailures: random.chance(0.2) ? random.int(1, 4) : undefined,
      callback:
        parts.has('callbacks') && names.callbackBase !== undefined && random.chance(0.2)
          ? `/callback/${n}`
          : undefined,
      attempts: [],
      stops: [],
    }
    journal.broadcasts.push(ask)
    return ask
  }

  async #see(ask: BroadcastAsk): Promise<void> {
    const { random } = this.#options
    const untilMs = Date.now() + retryForMs
    const asLine = random.chance(0.25)
    for (;;) {
      const attempt = await (asLine ? this.#asLine(ask) : this.#attempt(ask))
      if (attempt.verdict === 'accepted') break
      if (attempt.verdict === 'refused') return
      if (Date.now() > untilMs || this.#abandoned) return
      await sleep(random.int(100, 500))
    }
    const id = ask.attempts.find((attempt) => attempt.id !== undefined)?.id
    if (id === undefined || !random.chance(0.3)) return
    await sleep(random.int(0, 1_500))
    await this.#stop(ask, id)
  }

  #body(ask: BroadcastAsk): Record<string, unknown> {
    const { callbackBase } = this.#options.names
    return {
      name: ask.name,
      payload: { n: ask.n },
      channel: ask.channel,
      expect: ask.expect,
      ttl: ask.ttlMs / 1_000,
      ...(ask.expect === 'reply' ? { replyTimeout: 3 } : {}),
      ...(ask.rate === undefined ? {} : { rate: ask.rate }),
      ...(ask.stopAfterFailures === undefined ? {} : { stopAfterFailures: ask.stopAfterFailures }),
      ...(ask.callback === undefined ? {} : { callback: `${callbackBase}${ask.callback}` }),
    }
  }

  async #attempt(ask: BroadcastAsk): Promise<BroadcastAttempt> {
    const attempt = newAttempt()
    ask.attempts.push(attempt)
    const called = await this.#options.caller.call('POST', `/v1/tags/${ask.tag}/commands`, {
      body: this.#body(ask),
      headers: { 'idempotency-key': `key-${ask.n}` },
    })
    hear(attempt, called)
    return attempt
  }

  /** The same as the only line of a call. */
  async #asLine(ask: BroadcastAsk): Promise<BroadcastAttempt> {
    const { api, journal, era } = this.#options
    const attempt = newAttempt()
    ask.attempts.push(attempt)
    const call = new LineCall({
      api,
      journal,
      era,
      path: '/v1/commands',
      contentType: 'application/x-ndjson',
      answered: (_line, status, body) => {
        const problem = textOf(fieldOf(body, 'problem'), 'type')
        conclude(attempt, status, body, problem)
      },
    })
    const to = { tag: ask.tag }
    call.write(JSON.stringify({ to, idempotencyKey: `key-${ask.n}`, ...this.#body(ask) }))
    call.finish()
    await call.ended
    if (attempt.verdict === 'pending') {
      attempt.verdict = call.seen.end === 'unreached' ? 'unreached' : 'unclear'
    }
    return attempt
  }

  async #stop(ask: BroadcastAsk, id: string): Promise<void> {
    const called = await this.#options.caller.call('DELETE', `/v1/broadcasts/${id}`)
    if (called.kind === 'unreached') return
    const answer = called.kind === 'answered' ? called.answer : undefined
    ask.stops.push({
      http: answer?.status,
      state: textOf(answer?.body, 'state'),
      waiting: numberOf(answer?.body, 'notPlaced'),
    })
  }

  /** How many place members by now; undefined: not known. */
  async running(): Promise<number | undefined> {
    const called = await this.#options.caller.call('GET', '/v1/broadcasts?limit=1000')
    if (called.kind !== 'answered' || called.answer.status !== 200) return undefined
    return itemsOf(called.answer.body).filter((item) => textOf(item, 'state') === 'running').length
  }

  /** All of them, with their members. */
  async readAll(): Promise<void> {
    const { caller, journal } = this.#options
    const seen: BroadcastSeen[] = []
    for await (const item of pages(caller, '/v1/broadcasts')) {
      const id = textOf(item, 'id') ?? ''
      const members: BroadcastSeen['members'][number][] = []
      for await (const member of pages(caller, `/v1/broadcasts/${id}/devices`)) {
        members.push({
          device: textOf(member, 'device') ?? '',
          command: textOf(member, 'command'),
          status: textOf(member, 'status') ?? '',
        })
      }
      const count = (field: string): number => numberOf(item, field) ?? Number.NaN
      seen.push({
        id,
        name: textOf(item, 'name') ?? '',
        state: textOf(item, 'state') ?? '',
        devices: count('devices'),
        waiting: count('waiting') + count('notPlaced'),
        open: count('open'),
        ended: (fieldOf(item, 'ended') ?? {}) as Record<string, number>,
        members,
      })
    }
    journal.broadcastsSeen = seen
  }
}

const newAttempt = (): BroadcastAttempt => ({
  askedAtMs: Date.now(),
  answeredAtMs: undefined,
  verdict: 'pending',
  id: undefined,
  devices: undefined,
  nobody: false,
})

function hear(attempt: BroadcastAttempt, called: Called): void {
  if (called.kind !== 'answered') {
    attempt.verdict = called.kind
    return
  }
  const { status, body } = called.answer
  conclude(attempt, status, body, textOf(body, 'type'))
}

function conclude(
  attempt: BroadcastAttempt,
  status: number,
  body: unknown,
  problem: string | undefined,
): void {
  attempt.answeredAtMs = Date.now()
  attempt.id = textOf(body, 'broadcast')
  attempt.devices = numberOf(body, 'devices')
  attempt.nobody = problem === '/problems/unknown-tag'
  if (status === 202 && attempt.id !== undefined) attempt.verdict = 'accepted'
  else if (isUnavailable({ status, body, text: '' })) attempt.verdict = 'unavailable'
  // Over a quota, or too many at once: later.
  else if (status === 429 || status === 408) attempt.verdict = 'unavailable'
  else attempt.verdict = status >= 400 && status < 500 ? 'refused' : 'unclear'
}

const itemsOf = (body: unknown): readonly unknown[] => {
  const items = fieldOf(body, 'items')
  return Array.isArray(items) ? items : []
}

async function* pages(caller: Caller, path: string): AsyncGenerator<unknown> {
  let after = ''
  for (;;) {
    const { body, status } = await caller.insist('GET', `${path}?limit=1000${after}`)
    if (status !== 200) throw new Error(`${path} was answered ${status}`)
    yield* itemsOf(body)
    const next = textOf(body, 'next')
    if (next === undefined) return
    after = `&after=${encodeURIComponent(next)}`
  }
}
