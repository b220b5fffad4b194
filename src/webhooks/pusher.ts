import {
  callbacksName,
  type EventId,
  type KeptEvent,
  type ShelfChange,
  type WebhookRecord,
  type WebhookStatus,
} from '../contract/index.ts'
import { Again } from './again.ts'
import { type Aim, aimOf, aimsElsewhere } from './aim.ts'
import { webhookBounds } from './bounds.ts'
import { DeadLetters } from './dead-letters.ts'
import type { Held, Lane, LanePolicy } from './lane.ts'
import { Ledger } from './ledger.ts'
import { type Place, placeOf } from './place.ts'
import type { PushPorts } from './ports.ts'
import { decodeKept, encodeKept, startingAt } from './progress.ts'
import { Reader } from './reader.ts'
import { requestOf } from './request.ts'
import { Retries } from './retries.ts'
import { Runner } from './runner.ts'
import type { Attempt, Connections } from './sender.ts'
import type { SlotOwner } from './slots.ts'
import { type Offered, Spread } from './spread.ts'

const progressName = 'progress'

/**
 * One webhook at work: what the log brings is spread over its lanes, each lane's batch is signed and
 * posted, and what became of it moves the lane.
 *
 *     log ── hear ──▶ spread ──▶ lane ──▶ runner ──▶ receiver
 *      └─── reader ─────▲          ◀── taken, failed ──┘
 *                                     └──▶ dead letters (callbacks: retries first)
 */
export class Pusher implements SlotOwner {
  slots = 0
  readonly ledger: Ledger
  readonly letters: DeadLetters
  readonly again: Again
  readonly retries: Retries
  readonly #ports: PushPorts
  #record: WebhookRecord
  #aim: Aim
  readonly #isCallbacks: boolean
  readonly #policy: LanePolicy
  readonly #connections: Connections
  readonly #runner: Runner
  #spread: Spread | undefined
  #reader: Reader | undefined
  /** How far the log has grown while nothing was loaded yet. */
  #heardTo: Place | undefined
  #stopped = false
  #landing: (() => void)[] = []
  #delivered = 0
  #failedAttempts = 0
  #lastDeliveredAtMs: number | undefined
  #lastError: { readonly atMs: number; readonly text: string } | undefined
  #failing = false
  /** Set aside since the operator was told of it last. */
  #newlyDead = 0
  /** 'sent': how far it has come is kept soon; 'looked': at leisure. */
  #moved: 'sent' | 'looked' | undefined
  #keptAtMs: number

  constructor(record: WebhookRecord, ports: PushPorts) {
    const { limits, clock, sender, random } = ports
    this.#record = record
    this.#ports = ports
    this.#isCallbacks = record.name === callbacksName
    this.#aim = aimOf(record, limits.webhookLanes)
    this.#keptAtMs = clock.nowMs()
    this.#policy = {
      batchMaxEvents: this.#isCallbacks ? 1 : limits.webhookBatchMaxEvents,
      batchMaxBytes: limits.webhookBatchMaxBytes,
      heldMaxBytes: Math.floor(limits.webhookHeldMaxBytes / limits.webhookLanes),
      lingerMs: this.#isCallbacks ? 0 : webhookBounds.webhookLingerMs,
      retryMinMs: limits.webhookRetryMinMs,
      retryMaxMs: limits.webhookRetryMaxMs,
      deadAfterMs: limits.webhookDeadAfterMs,
    }
    this.#connections = sender.connections(limits.webhookLanes)
    this.ledger = new Ledger(ports.shelf, record.app, record.name)
    this.letters = new DeadLetters(this.ledger, limits.deadLettersMax)
    this.again = new Again({
      letters: this.letters,
      attempt: (event) => this.#attemptOne(event, true),
      gaveUp: (left, why) => this.#say('webhook.again-failed', { left, why }),
    })
    this.retries = new Retries({
      ledger: this.ledger,
      nowMs: () => clock.nowMs(),
      at: (atMs, run) => clock.at(atMs, 'callback retry', run),
      delayMs: (attempts) => backoffMs(this.#policy, attempts) * (0.5 + random() / 2),
      deadAfterMs: limits.webhookDeadAfterMs,
      attempt: (event) => this.#attemptOne(event, false),
      dead: (letter) => {
        this.letters.add(letter)
        ports.totals.deadLetters++
        this.#newlyDead++
      },
    })
    this.#runner = new Runner({
      owner: this,
      push: ports,
      land: () => this.#land(),
      post: (batch) => this.#post(batch, batch[0]!.url ?? this.#record.url),
      ended: (lane, batch, attempt) => this.#ended(lane, batch, attempt),
    })
  }

  get record(): WebhookRecord {
    return this.#record
  }

  /** Resolves when nothing is under way. */
  landed(): Promise<void> {
    if (this.slots === 0) return Promise.resolve()
    return new Promise((resolve) => this.#landing.push(resolve))
  }

  /**
   * From what is on the shelf; one without starts with what comes from now on.
   * @throws StoreUnavailable
   */
  async load(): Promise<void> {
    const { events, limits, clock, held } = this.#ports
    const { app, createdAtMs } = this.#record
    const text = await this.ledger.read(progressName)
    let kept = text === undefined ? undefined : decodeKept(text)
    if (kept !== undefined && kept.createdAtMs !== createdAtMs) {
      await this.ledger.erase()
      kept = undefined
    }
    await this.letters.load()
    if (this.#isCallbacks) await this.retries.load()
    const latest = placeOf(await events.latest(app))
    const progress = kept?.progress ?? startingAt(latest, limits.webhookLanes)
    this.#delivered = kept?.delivered ?? 0
    this.#failedAttempts = kept?.failedAttempts ?? 0
    if (this.#stopped) return
    const heardTo = this.#heardTo
    const live = heardTo !== undefined && heardTo.sequence > latest.sequence ? heardTo : latest
    const { webhookLanes } = limits
    const spread = new Spread(progress, live, webhookLanes, this.#policy, clock.nowMs(), held)
    this.#spread = spread
    this.#reader = new Reader({
      spread,
      read: (from) =>
        events.read(app, {
          after: from.id,
          limit: webhookBounds.webhookReadEvents,
          ...this.#aim.filter,
        }),
      offers: (some) => this.#offers(some),
      fed: (lanes) => {
        this.#moved ??= 'looked'
        for (const lane of lanes) this.#runner.go(lane)
      },
      lost: (oldest) => this.#lost(oldest),
      failed: (error) => this.#say('webhook.read-failed', { why: textOf(error) }),
      nowMs: () => clock.nowMs(),
      later: (run) => clock.at(clock.nowMs() + limits.webhookRetryMinMs, 'webhook read', run),
    })
    if (kept === undefined) this.#moved = 'sent'
    if (!this.#record.disabled) this.#resume()
  }

  /** The log has grown. In order, all of them. */
  hear(events: readonly KeptEvent[]): void {
    const spread = this.#spread
    const last = placeOf(events.at(-1)!.id)
    if (spread === undefined) {
      this.#heardTo = last
      return
    }
    this.#moved ??= 'looked'
    // Who has a tag is not known at once, so it is left to the reader; nobody waits for one who sleeps.
    if (this.#record.disabled || this.#stopped || this.#record.tag !== undefined)
      spread.heardOf(last)
    else
      for (const event of events) {
        const lane = spread.heard(this.#offer(event), this.#ports.clock.nowMs())
        if (lane !== undefined) this.#runner.go(lane)
      }
    this.#reader?.go()
  }

  /** The record was changed. What is under way goes to its end. */
  update(record: WebhookRecord): void {
    const before = this.#record
    this.#record = record
    const spread = this.#spread
    if (spread === undefined || this.#stopped) return
    if (aimsElsewhere(before, record)) {
      this.#aim = aimOf(record, this.#ports.limits.webhookLanes)
      this.#reader?.turn()
      spread.forget()
    }
    if (record.disabled && !before.disabled) {
      this.#pause()
      this.#reader?.turn()
      spread.forget()
    }
    // Whatever was wrong may be mended now.
    if (record.url !== before.url || before.disabled) this.#hurry()
    if (!record.disabled) this.#resume()
  }

  /** No more requests; those under way go to their end. */
  stop(): void {
    this.#stopped = true
    this.#pause()
    this.again.close()
    this.retries.close()
  }

  /** Nothing is under way any more. */
  close(): void {
    this.stop()
    this.#connections.close()
    this.#spread?.close()
  }

  /** For whatever a hint missed. */
  patrol(): void {
    this.#reader?.go()
    if (this.#newlyDead > 0) {
      this.#say('webhook.delivery-failed', {
        setAside: this.#newlyDead,
        deadLetters: this.letters.count,
        why: this.#lastError?.text,
      })
      this.#newlyDead = 0
    }
  }

  /** What is to be written now, if anything. Answer with `ledger.written` or `.failed`. */
  changes(nowMs: number, all: boolean): readonly ShelfChange[] {
    const due =
      this.#moved === 'sent' ||
      !this.ledger.isEmpty ||
      (this.#moved === 'looked' &&
        (all || nowMs - this.#keptAtMs >= webhookBounds.webhookIdleProgressMs))
    if (this.#spread === undefined || !due) return []
    this.#moved = undefined
    this.#keptAtMs = nowMs
    this.ledger.put(
      progressName,
      encodeKept({
        progress: this.#spread.progress(nowMs),
        createdAtMs: this.#record.createdAtMs,
        delivered: this.#delivered,
        failedAttempts: this.#failedAttempts,
      }),
    )
    return this.ledger.changes()
  }

  /** Bounded lists stay so. Called between writes. */
  async trim(): Promise<void> {
    const gone = await this.letters.trim()
    if (gone > 0) this.#say('webhook.dead-letters-lost', { gone, kept: this.letters.count })
  }

  status(): WebhookStatus {
    const lanes = this.#spread?.lanes ?? []
    let waiting = this.retries.count + this.again.count
    let behind = false
    let lanesFailing = 0
    let nextAtMs = this.retries.nextMs
    for (const lane of lanes) {
      waiting += lane.held
      behind ||=
        lane.lagging && lane.read(this.#spread!.live).sequence < this.#spread!.live.sequence
      if (lane.failures === 0 || lane.held === 0) continue
      lanesFailing++
      const dueMs = lane.dueMs()
      if (dueMs !== undefined && (nextAtMs === undefined || dueMs < nextAtMs)) nextAtMs = dueMs
    }
    return {
      delivered: this.#delivered,
      failedAttempts: this.#failedAttempts,
      waiting,
      behind,
      lanesFailing,
      deadLetters: this.letters.count,
      ...(this.#lastDeliveredAtMs !== undefined && { lastDeliveredAtMs: this.#lastDeliveredAtMs }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
      ...(nextAtMs !== undefined && { nextAtMs }),
    }
  }

  /** Events that were read from the log by itself, beside what was heard. */
  get looked(): number {
    return this.#reader?.looked ?? 0
  }

  slotFree(): void {
    if (this.#stopped) return
    if (this.#runner.slotFree()) return
    this.retries.go()
    this.again.go()
  }

  #resume(): void {
    this.#runner.resume(this.#spread?.lanes ?? [])
    this.#reader?.resume()
    this.retries.go()
    this.again.go()
  }

  #pause(): void {
    this.#runner.pause()
    this.#reader?.pause()
  }

  #land(): void {
    this.#ports.slots.give(this)
    if (this.slots > 0) return
    for (const landed of this.#landing.splice(0)) landed()
  }

  #hurry(): void {
    const nowMs = this.#ports.clock.nowMs()
    for (const lane of this.#spread?.lanes ?? []) {
      lane.hurry(nowMs + this.#ports.random() * this.#policy.retryMinMs)
      this.#runner.go(lane)
    }
  }

  #ended(lane: Lane, batch: readonly Held[], attempt: Attempt): void {
    const { clock, random, totals } = this.#ports
    this.#moved = 'sent'
    this.#count(attempt, batch.length)
    if (attempt.taken) {
      // One lane's good news is news for all that wait.
      if (lane.taken()) this.#hurry()
    } else if (this.#isCallbacks && this.retries.hasRoom) {
      for (const event of lane.passOn())
        this.retries.add(event.id, event.device, lane.index, attempt.text)
    } else {
      const attempts = lane.failures + 1
      const nowMs = clock.nowMs()
      for (const { id, device, kind } of lane.failed(nowMs, random())) {
        const letter = { event: id, device, kind, setAsideAtMs: nowMs, attempts }
        this.letters.add({ ...letter, lastError: attempt.text })
        totals.deadLetters++
        this.#newlyDead++
      }
    }
    this.#tellHealth(attempt)
    this.#reader?.go()
  }

  #count(attempt: Attempt, events: number): void {
    const { clock, totals } = this.#ports
    if (attempt.taken) {
      this.#delivered += events
      totals.deliveries++
      totals.events += events
      this.#lastDeliveredAtMs = clock.nowMs()
    } else {
      this.#failedAttempts++
      totals.failures++
      this.#lastError = { atMs: clock.nowMs(), text: attempt.text }
    }
  }

  /** Once when it begins to fail, once when it is over: not a line for each attempt. */
  #tellHealth(attempt: Attempt): void {
    const failing =
      this.retries.count > 0 || (this.#spread?.lanes.some((lane) => lane.failures > 0) ?? false)
    if (failing === this.#failing) return
    this.#failing = failing
    if (failing) this.#say('webhook.attempt-failed', { why: attempt.text })
    else this.#say('webhook.recovered', {})
  }

  #lost(oldest: Place): void {
    const text = `events before ${oldest.id} had to be forgotten before they were taken`
    this.#lastError = { atMs: this.#ports.clock.nowMs(), text }
    this.#moved = 'sent'
    this.#say('webhook.events-lost', { oldest: oldest.id })
  }

  /** One event by itself: a dead letter sent again, or a callback tried again. */
  #attemptOne(
    event: EventId,
    redelivered: boolean,
  ): Promise<Attempt | 'gone' | 'later'> | undefined {
    if (this.#stopped || this.#record.disabled || this.#spread === undefined) return undefined
    if (!this.#ports.slots.take(this)) return undefined
    return this.#one(event, redelivered)
      .catch(() => 'later' as const)
      .finally(() => this.#land())
  }

  async #one(id: EventId, redelivered: boolean): Promise<Attempt | 'gone' | 'later'> {
    const event = await this.#ports.events.find(this.#record.app, id)
    if (event === undefined) return 'gone'
    const url = this.#aim.at(event)?.url ?? this.#record.url
    const json = this.#ports.eventJson(event)
    const attempt = await this.#post([{ id, json }], url, redelivered)
    this.#moved = 'sent'
    this.#count(attempt, 1)
    this.#tellHealth(attempt)
    return attempt
  }

  #post(
    events: readonly { readonly id: EventId; readonly json: string }[],
    url: string,
    redelivered = false,
  ): Promise<Attempt> {
    const { sender, clock } = this.#ports
    const { headers, body } = requestOf(this.#record, events, clock.nowMs(), redelivered)
    return sender.post(this.#connections, url, headers, body)
  }

  #offer(event: KeptEvent, hasTag = true): Offered {
    const aimed = hasTag ? this.#aim.at(event) : undefined
    const place = placeOf(event.id)
    return {
      place,
      lane: aimed?.lane,
      held: () => {
        const json = this.#ports.eventJson(event)
        const { device, kind, atMs } = event
        const bytes = Buffer.byteLength(json)
        return { id: event.id, place, device, kind, atMs, json, bytes, url: aimed?.url }
      },
    }
  }

  async #offers(events: readonly KeptEvent[]): Promise<readonly Offered[]> {
    const { tag, app } = this.#record
    if (tag === undefined) return events.map((event) => this.#offer(event))
    const has = new Map<string, boolean>()
    const offers: Offered[] = []
    for (const event of events) {
      let hasTag = has.get(event.device)
      if (hasTag === undefined) {
        const found = this.#ports.names.device(app, event.device)
        const device = found instanceof Promise ? await found : found
        hasTag = device?.tags.includes(tag) ?? false
        has.set(event.device, hasTag)
      }
      offers.push(this.#offer(event, hasTag))
    }
    return offers
  }

  #say(event: string, fields: object): void {
    const { app, name } = this.#record
    this.#ports.log(event, { app, webhook: name, ...fields })
  }
}

const backoffMs = ({ retryMinMs, retryMaxMs }: LanePolicy, attempts: number): number =>
  Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(30, attempts - 1))

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
