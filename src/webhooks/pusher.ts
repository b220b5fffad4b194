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
import { Condition } from './condition.ts'
import { DeadLetters } from './dead-letters.ts'
import type { Held, Lane, LanePolicy } from './lane.ts'
import { Ledger } from './ledger.ts'
import { offerOf, offersOf } from './offers.ts'
import { type Place, placeOf } from './place.ts'
import { backoffMs, policyOf } from './policy.ts'
import type { PushPorts } from './ports.ts'
import { post, postFromLog } from './post.ts'
import { decodeKept, encodeKept, startingAt } from './progress.ts'
import { Reader } from './reader.ts'
import { Retries } from './retries.ts'
import { Runner } from './runner.ts'
import type { Attempt, Connections } from './sender.ts'
import type { SlotOwner } from './slots.ts'
import { Spread } from './spread.ts'

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
  readonly #condition: Condition
  #spread: Spread | undefined
  #reader: Reader | undefined
  /** How far the log has grown while nothing was loaded yet. */
  #heardTo: Place | undefined
  #stopped = false
  #landing: (() => void)[] = []
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
    this.#policy = policyOf(limits, this.#isCallbacks)
    this.#connections = sender.connections(limits.webhookLanes)
    this.#condition = new Condition(ports, (event, fields) => this.#say(event, fields))
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
      delayMs: (attempts) => backoffMs(this.#policy, attempts, random()),
      deadAfterMs: limits.webhookDeadAfterMs,
      attempt: (event) => this.#attemptOne(event, false),
      dead: (letter) => {
        this.letters.add(letter)
        this.#condition.died()
      },
    })
    this.#runner = new Runner({
      owner: this,
      push: ports,
      land: () => this.#land(),
      post: (batch) => post(ports, this.#connections, this.#record, batch),
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
    this.#condition.delivered = kept?.delivered ?? 0
    this.#condition.failedAttempts = kept?.failedAttempts ?? 0
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
      offers: (some) => offersOf(some, this.#record, this.#aim, this.#ports),
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
        const offer = offerOf(event, this.#aim, this.#ports.eventJson)
        const lane = spread.heard(offer, this.#ports.clock.nowMs())
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
    this.#condition.tellDead(this.letters.count)
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
        delivered: this.#condition.delivered,
        failedAttempts: this.#condition.failedAttempts,
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
    return this.#condition.status(this.#spread, this.letters.count, {
      waiting: this.retries.count + this.again.count,
      nextAtMs: this.retries.nextMs,
    })
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
    const { clock, random } = this.#ports
    this.#moved = 'sent'
    this.#condition.attempted(attempt, batch.length)
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
        this.#condition.died()
      }
    }
    this.#tellHealth(attempt)
    this.#reader?.go()
  }

  #tellHealth(attempt: Attempt): void {
    const lanes = this.#spread?.lanes ?? []
    this.#condition.tell(
      this.retries.count > 0 || lanes.some(({ failures }) => failures > 0),
      attempt,
    )
  }

  #lost(oldest: Place): void {
    this.#condition.wrong(`events before ${oldest.id} had to be forgotten before they were taken`)
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

  async #one(id: EventId, redelivered: boolean): Promise<Attempt | 'gone'> {
    const connections = this.#connections
    const attempt = await postFromLog(
      this.#ports,
      connections,
      this.#record,
      this.#aim,
      id,
      redelivered,
    )
    if (attempt === 'gone') return attempt
    this.#moved = 'sent'
    this.#condition.attempted(attempt, 1)
    this.#tellHealth(attempt)
    return attempt
  }

  #say(event: string, fields: object): void {
    const { app, name } = this.#record
    this.#ports.log(event, { app, webhook: name, ...fields })
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
