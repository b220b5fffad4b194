import assert from 'node:assert/strict'
import type { Scope } from '../../src/contract/index.ts'
import type { Figures } from './figures.ts'
import { Ledger } from './ledger.ts'
import { limits } from './limits.ts'
import { judgeEnd, judgeOpen, type World } from './outcomes.ts'
import { reconcile } from './reconcile.ts'
import {
  type App,
  type Broadcast,
  type Command,
  type Fact,
  isOpen,
  type Key,
  makeApp,
  type Spec,
} from './state.ts'
import { rootKey, type System } from './system.ts'
import { type Delivery, judgeClose, judgeDelivery, judgeIdle, keyOf, Locker } from './wire.ts'

/** A call as it is made, and what may come of it: `202`, `404 unknown-device`. */
export interface Ask {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** As the table of the summary names it. */
  readonly route: string
  readonly url: string
  readonly key?: string | undefined
  readonly body?: unknown
  /** The body as it is, instead. */
  readonly raw?: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answer {
  readonly said: string
  readonly status: number
  readonly problem: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
  readonly body: any
}

/** Who calls, and, where that is nobody or he may not, the only answer there can be. */
export interface Caller {
  readonly app: App
  readonly key: Key
  readonly text: string | undefined
  readonly refusal: string | undefined
}

/** A command that was asked for and whose answer never came, or promised nothing. */
export interface Lost {
  readonly app: App
  readonly device: string | undefined
  readonly tag: string | undefined
  readonly spec: Spec
  readonly askedBy: string
  readonly idempotency: { readonly key: string; readonly hash: string } | undefined
  readonly rate?: number | undefined
  readonly stopAfterFailures?: number | undefined
}

/** A call with an Idempotency-Key, to be repeated as it was. */
export interface Sent {
  readonly ask: Ask
  readonly again: (answer: Answer) => void
  readonly expect: () => readonly string[]
}

/** One run of random calls: the product, the model beside it, and the comparison after every step. */
export class Story implements World {
  readonly system: System
  readonly figures: Figures
  readonly apps = new Map<string, App>()
  readonly lockers = new Map<string, Locker>()
  readonly removals = new Map<string, number[]>()
  readonly lost: Lost[] = []
  /** Calls by key, to be repeated. */
  readonly sent: Sent[] = []
  readonly revoked: string[] = []
  readonly ledger: Ledger
  readonly deliveries: Delivery[] = []
  /** Written and counted, not yet judged. */
  readonly #written: { readonly delivery: Delivery; readonly command: Command }[] = []
  readonly losses: number[] = []
  /** What happened in steps up to here is durable if it was answered. */
  settledStep = 0
  step = 0
  /** The store cannot be written, or could not at some time in this step. */
  broken = false
  /** Its disk takes no writes. */
  failing = false
  serial = 0
  /** The disk was nearly full; nothing has been accepted since. */
  spaceDoubt = false
  /** Answers are being taken of calls that were under way together. */
  sideBySide = false
  /** By the end of this step these have ended. */
  readonly mustEnd: Command[] = []
  /** Names given to commands and reports, each once. */
  names = 0
  /** What ended longer ago may be forgotten. */
  readonly forgetsMs = limits.eventsMaxAgeMs
  /** Which of the two came to pass, of changes whose answers were lost; asked once all is well. */
  readonly doubts: (() => Promise<void>)[] = []
  /** Wrong keys tried since. */
  guesses = { sinceMs: 0, count: 0 }
  #attaches = new Map<string, number[]>()
  #refusedBytes = new Map<string, number>()
  #changed = new Map<string, { atMs: number; was: boolean }>()

  constructor(system: System, figures: Figures) {
    this.system = system
    this.figures = figures
    this.ledger = new Ledger(this)
    const app = makeApp('default', this.nowMs)
    this.apps.set('default', app)
    const scopes = ['admin'] as const
    app.keys.set('root', {
      app: 'default',
      name: 'root',
      text: rootKey,
      scopes,
      createdAtMs: this.nowMs,
    })
  }

  get nowMs(): number {
    return this.system.clock.nowMs()
  }

  // --- calls ---

  caller(as: number, scope: Scope): Caller {
    const all = [...this.apps.values()].flatMap((app) => [...app.keys.values()])
    const root = this.apps.get('default')!.keys.get('root')!
    const may = ({ scopes }: Key) => scopes.includes(scope) || scopes.includes('admin')
    if (as >= 95) {
      const app = this.apps.get('default')!
      const made = ['', `pike_made-up-${as}-0123456789`, ...this.revoked][
        as % (2 + this.revoked.length)
      ]!
      return { app, key: root, text: made === '' ? undefined : made, refusal: '401 unauthorized' }
    }
    const pool = as >= 80 ? all : all.filter(may)
    const key = pool[as % pool.length]!
    const refusal = may(key) ? undefined : '403 forbidden'
    return { app: this.apps.get(key.app)!, key, text: key.text, refusal }
  }

  /** Make a call; its answer must be one of these, and fit /openapi.json. */
  async call(ask: Ask, may: readonly string[], caller?: Caller): Promise<Answer> {
    const answer = await this.raw(ask, caller)
    this.judgeAnswer(ask, answer, may, caller)
    return answer
  }

  judgeAnswer(ask: Ask, answer: Answer, may: readonly string[], caller?: Caller): void {
    if (answer.problem === 'too-many-wrong-keys' || answer.problem === 'unauthorized') {
      assert.equal(caller?.refusal, '401 unauthorized', `${ask.method} ${ask.url}: ${answer.said}`)
      return
    }
    // The router cuts off long paths before anybody asks who calls.
    const tooLong = may.filter((one) => one.startsWith('414'))
    const allowed = caller?.refusal === undefined ? may : [caller.refusal, ...tooLong]
    const excused = this.excuses(ask, answer)
    assert.ok(
      excused || allowed.includes(answer.said),
      `${ask.method} ${ask.url} ${ask.raw ?? JSON.stringify(ask.body) ?? ''} was answered ${answer.said}, not ${allowed.join(' or ')}: ${answer.text.slice(0, 400)}`,
    )
  }

  /** While the store is away, that may be said instead of anything. */
  excuses(ask: Ask, { said }: Answer): boolean {
    const away = said === '503 store-unavailable' || said === '507 store-full'
    return (away && this.broken) || this.isLow(ask, said)
  }

  isLow({ method }: Ask, said: string): boolean {
    const { space } = this.system
    return said === '507 store-full' && method !== 'GET' && (space?.low === true || this.spaceDoubt)
  }

  async raw(
    { method, route, url, key, body, raw, headers }: Ask,
    caller?: Caller,
  ): Promise<Answer> {
    const text = raw ?? (body === undefined ? undefined : JSON.stringify(body))
    const bearer = caller === undefined ? key : caller.text
    const answer = await this.system.life.api.app.inject({
      method,
      url,
      headers: {
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        ...(text !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(text !== undefined && { payload: text }),
    })
    // found: while the store is full, calls that only read answer 507, which /openapi.json does not say.
    const isTold = answer.statusCode !== 507 || !this.broken
    if (isTold) this.system.check.check(method, url, answer)
    return this.read(method, route, answer)
  }

  read(
    method: string,
    route: string,
    answer: { statusCode: number; payload: string; headers: Readonly<Record<string, unknown>> },
  ): Answer {
    const type = String(answer.headers['content-type'])
    const isJson = type.includes('json') && !type.includes('ndjson') && answer.payload !== ''
    const parsed = isJson ? JSON.parse(answer.payload) : undefined
    const problem = type.includes('problem')
      ? String(parsed.type).slice('/problems/'.length)
      : undefined
    const said = problem === undefined ? `${answer.statusCode}` : `${answer.statusCode} ${problem}`
    assert.notEqual(problem, 'internal', `${method} ${route}: ${answer.payload}`)
    if (problem !== undefined) assert.equal(parsed.status, answer.statusCode)
    if ([429, 503].includes(answer.statusCode))
      assert.match(
        String(answer.headers['retry-after']),
        /^[1-9]\d*$/,
        `${said} says when to come again`,
      )
    this.figures.called(`${method} ${route}`, said)
    return {
      said,
      status: answer.statusCode,
      problem,
      headers: answer.headers,
      text: answer.payload,
      body: parsed,
    }
  }

  // --- what the model is told ---

  fact() {
    return { atMs: this.nowMs, step: this.step }
  }

  accept(
    command: Pick<
      Command,
      'id' | 'app' | 'device' | 'spec' | 'askedBy' | 'acceptedAtMs' | 'expiresAtMs' | 'broadcast'
    >,
    place: Command['place'],
    placedAtMs = this.nowMs,
  ): Command {
    const app = this.apps.get(command.app)!
    assert.ok(!app.commands.has(command.id), `${command.id} was given twice`)
    const made: Command = {
      ...command,
      serial: ++this.serial,
      place,
      placedAtMs: place === undefined ? undefined : placedAtMs,
      writes: 0,
      exposed: false,
      doubt: false,
      saidSent: false,
      acks: [],
      replies: [],
      cancels: [],
      end: undefined,
      lateDue: [],
      lateTold: 0,
    }
    made.exposed = place !== undefined && this.#wasAttached(made)
    app.commands.set(made.id, made)
    app.accepted++
    this.spaceDoubt = false
    this.figures.accepted++
    return made
  }

  placed(command: Command, place: NonNullable<Command['place']>, atMs: number): void {
    command.place = place
    command.placedAtMs = atMs
    command.exposed = this.#wasAttached(command)
  }

  /** Or is: a link that has closed since the last comparison may have been there at that moment. */
  #wasAttached({ app, device, spec }: Command): boolean {
    return this.lockers.get(`${app}/${device}/${spec.channel}`)?.line !== undefined
  }

  locker(app: string, device: string, channel: string): Locker {
    const key = keyOf({ app, device, channel })
    const locker = this.lockers.get(key) ?? new Locker(app, device, channel)
    this.lockers.set(key, locker)
    return locker
  }

  /** An app was removed: all that was its is gone, and one of its name begins anew. */
  forgetApp(name: string): void {
    this.ledger.forget(name)
    for (const key of [...this.lockers.keys()])
      if (key.startsWith(`${name}/`)) this.lockers.delete(key)
  }

  isAttached(channel: string): boolean {
    const line = this.lockers.get(channel)?.line
    return line !== undefined && !line.isClosed
  }

  attachChanged(channel: string): void {
    this.#changed.set(channel, { atMs: this.nowMs, was: this.isAttached(channel) })
  }

  arrived(channel: string, carriesMaxBytes: number): void {
    this.#attaches.set(channel, [...(this.#attaches.get(channel) ?? []), this.nowMs])
    const before = this.#refusedBytes.get(channel) ?? Number.POSITIVE_INFINITY
    this.#refusedBytes.set(channel, Math.min(before, carriesMaxBytes))
  }

  removed(app: string, device: string): void {
    const key = `${app}/${device}`
    this.removals.set(key, [...(this.removals.get(key) ?? []), this.nowMs])
  }

  attachedAt(channel: string, atMs: number): boolean | undefined {
    return this.#changed.get(channel)?.atMs === atMs ? undefined : this.isAttached(channel)
  }

  refusedBytes(channel: string): number {
    return this.#refusedBytes.get(channel) ?? Number.POSITIVE_INFINITY
  }

  attaches(channel: string): readonly number[] {
    return this.#attaches.get(channel) ?? []
  }

  // --- after every step ---

  /** What has been sent and told meanwhile is held against the model. */
  async settle(): Promise<void> {
    const { engine } = this.system.life
    await this.system.quiet()
    if (engine.state !== 'ready') this.broken = true
    if (this.broken) {
      await this.#whileBroken()
      if (this.broken) return
    }
    await this.ledger.adopt()
    this.absorb()
    assert.deepEqual(
      this.deliveries.map(({ downlink }) => downlink.command.id),
      [],
      'was written to a link, and nobody asked for it',
    )
    const ended = await this.ledger.read()
    for (const { delivery, command } of this.#written.splice(0))
      judgeDelivery(delivery, command, this.apps.get(command.app)!)
    for (const command of ended) {
      judgeEnd(command, this.apps.get(command.app)!, this)
      this.#withdrawn(command)
    }
    this.#closes()
    for (const { id, end } of this.mustEnd.splice(0))
      assert.ok(end, `${id} is open, though its device was removed`)
    this.settledStep = this.step
    for (const app of this.apps.values()) {
      for (const command of app.commands.values())
        if (isOpen(command)) judgeOpen(command, this.nowMs)
      await this.#counts(app)
    }
    for (const { line } of this.lockers.values())
      if (line !== undefined) judgeIdle(line, this.apps.get(line.locker.app)!)
    this.ledger.judgeDue()
    assert.deepEqual(this.system.life.api.failures, [], 'a call failed inside')
    assert.deepEqual(this.system.surprises, [], 'the store was surprised')
    for (const broadcast of this.#broadcasts()) this.ledger.judgeBroadcast(broadcast)
  }

  /** Count what was written to links. What is not known belongs to a call whose answer was lost. */
  absorb(): void {
    for (const delivery of this.deliveries.splice(0)) {
      const command = this.ledger.written(delivery)
      if (command === undefined) this.deliveries.push(delivery)
      else {
        command.writes++
        this.#written.push({ delivery, command })
      }
    }
  }

  /** The process that knew what was in memory is gone, or has forgotten it. */
  lose(): void {
    this.losses.push(this.nowMs)
    this.absorb()
    const unsure = (facts: readonly Fact[]) => {
      for (const fact of facts) if (fact.step > this.settledStep) fact.maybe = true
    }
    for (const app of this.apps.values())
      for (const command of app.commands.values()) {
        unsure(command.acks)
        unsure(command.replies)
        unsure(command.cancels)
        unsure(command.lateDue)
        if (isOpen(command) && command.exposed) command.doubt = true
      }
    this.ledger.lose()
  }

  /** Time passes, and after each thing that happens the two are compared. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    for (let steps = 0; steps < 200; steps++) {
      const nextMs = this.system.nextMs()
      if (nextMs > untilMs) break
      this.system.clock.set(Math.max(nextMs, this.nowMs))
      await this.settle()
    }
    this.system.clock.set(untilMs)
    await this.settle()
  }

  /** A process begins: nobody is attached, nobody is suspect, nothing is held. */
  began(): void {
    for (const locker of this.lockers.values()) {
      if (locker.line !== undefined) this.attachChanged(keyOf(locker))
      locker.line = undefined
      locker.takeovers = []
      locker.heldUntilMs = 0
    }
    this.losses.push(this.nowMs)
    for (const app of this.apps.values())
      for (const broadcast of app.broadcasts.values()) broadcast.lives++
  }

  /** After a start or a repair: which of what was uncertain came to pass. */
  async recover(): Promise<void> {
    await this.system.quiet()
    await reconcile(this)
  }

  async #whileBroken(): Promise<void> {
    const { engine } = this.system.life
    // What was written before it broke is judged once it can be looked up.
    this.#closes()
    if (engine.state !== 'ready' || this.failing) return
    this.lose()
    // What rests while the store is away does not ask at every moment whether it is back.
    this.system.clock.advance(1_000)
    this.losses.push(this.nowMs)
    await this.recover()
    this.broken = false
  }

  /** What has ended holds no place in a window. */
  #withdrawn({ app, device, spec, place, end }: Command): void {
    const line = this.lockers.get(`${app}/${device}/${spec.channel}`)?.line
    if (line === undefined || place === undefined || !line.out.delete(place.offset)) return
    if (end!.status === 'in-doubt') line.doubted.add(place.offset)
  }

  #closes(): void {
    for (const locker of this.lockers.values()) {
      const { line } = locker
      if (line === undefined || !line.isClosed) continue
      const device = this.apps.get(locker.app)?.devices.get(locker.device)
      judgeClose(line, this.nowMs, {
        admitted: device !== undefined && !device.disabled,
        storeLost: this.broken || this.losses.includes(this.nowMs),
        replaced: this.#changed.get(keyOf(locker))?.atMs === this.nowMs,
      })
      locker.line = undefined
    }
  }

  *#broadcasts(): Generator<Broadcast> {
    for (const app of this.apps.values()) yield* app.broadcasts.values()
  }

  /** Rule 11, by the product's own counters, and that they are the model's. */
  async #counts(app: App): Promise<void> {
    const counts = await this.system.life.engine.mailbox.counts(app.name)
    const ended = Object.values(counts.ended).reduce((sum, count) => sum + (count ?? 0), 0)
    assert.equal(counts.accepted, ended + counts.open, `${app.name}: ${JSON.stringify(counts)}`)
    assert.equal(counts.accepted, app.accepted, `${app.name}: accepted`)
    const known = Object.fromEntries(
      Object.entries(counts.ended).filter(([, count]) => count !== 0),
    )
    assert.deepEqual(known, Object.fromEntries(app.ended), `${app.name}: outcomes`)
  }
}
