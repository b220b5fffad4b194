import {
  callbacksName,
  type KeptEvent,
  type ShelfChange,
  type WebhookRecord,
  type WebhookStatus,
} from '../contract/index.ts'
import type { Again } from './again.ts'
import { type Aim, aimOf, aimsElsewhere, laneCountOf } from './aim.ts'
import { Beside } from './beside.ts'
import { webhookBounds } from './bounds.ts'
import { Condition } from './condition.ts'
import { DeadLetters } from './dead-letters.ts'
import type { Held, Lane, LanePolicy } from './lane.ts'
import { Ledger } from './ledger.ts'
import { offerOf, offersOf } from './offers.ts'
import { type Place, placeOf } from './place.ts'
import { policyOf } from './policy.ts'
import type { PushPorts } from './ports.ts'
import { post } from './post.ts'
import { startingAt } from './progress.ts'
import { Reader } from './reader.ts'
import { Receivers } from './receivers.ts'
import { Runner } from './runner.ts'
import type { Attempt, Connections } from './sender.ts'
import type { SlotOwner } from './slots.ts'
import { Spread } from './spread.ts'
import { Standing } from './standing.ts'

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
  readonly #ports: PushPorts
  #record: WebhookRecord
  #aim: Aim
  readonly #isCallbacks: boolean
  readonly #laneCount: number
  readonly #policy: LanePolicy
  readonly #connections: Connections
  readonly #runner: Runner
  readonly #beside: Beside
  readonly #standing: Standing
  readonly #condition: Condition
  #spread: Spread | undefined
  #reader: Reader | undefined
  /** How far the log has grown while nothing was loaded yet. */
  #heardTo: Place | undefined
  #stopped = false
  /** Lanes and what goes beside them take turns at a free slot. */
  #besideFirst = false
  #landing: (() => void)[] = []

  constructor(record: WebhookRecord, ports: PushPorts) {
    const { limits, sender } = ports
    this.#record = record
    this.#ports = ports
    this.#isCallbacks = record.name === callbacksName
    this.#aim = aimOf(record, limits.webhookLanes)
    this.#laneCount = laneCountOf(record, limits.webhookLanes)
    this.#policy = policyOf(limits, this.#laneCount, this.#isCallbacks)
    this.#connections = sender.connections(limits.webhookLanes)
    this.#condition = new Condition(ports, (event, fields) => this.#say(event, fields))
    this.ledger = new Ledger(ports.shelf, record.app, record.name)
    this.#standing = new Standing(this.ledger, record.createdAtMs, ports.clock.nowMs())
    this.letters = new DeadLetters(this.ledger, limits.deadLettersMax)
    this.#beside = new Beside({
      owner: this,
      push: ports,
      policy: this.#policy,
      ledger: this.ledger,
      letters: this.letters,
      connections: this.#connections,
      target: () =>
        this.#stopped || this.#record.disabled || this.#spread === undefined
          ? undefined
          : { record: this.#record, aim: this.#aim },
      land: () => this.#land(),
      attempted: (attempt) => {
        this.#standing.sent()
        this.#condition.attempted(attempt, 1)
        this.#tellHealth(attempt)
      },
      died: () => this.#condition.died(),
      say: (event, fields) => this.#say(event, fields),
    })
    this.#runner = new Runner({
      owner: this,
      push: ports,
      receivers: this.#isCallbacks ? new Receivers(this) : undefined,
      land: () => this.#land(),
      post: (batch) => post(ports, this.#connections, this.#record, batch),
      ended: (lane, batch, attempt) => this.#ended(lane, batch, attempt),
    })
  }

  get record(): WebhookRecord {
    return this.#record
  }

  get again(): Again {
    return this.#beside.again
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
    const { app } = this.#record
    const kept = await this.#standing.load()
    await this.letters.load()
    if (this.#isCallbacks) await this.#beside.retries.load()
    const latest = placeOf(await events.latest(app))
    const progress = kept?.progress ?? startingAt(latest, this.#laneCount)
    this.#condition.delivered = kept?.delivered ?? 0
    this.#condition.failedAttempts = kept?.failedAttempts ?? 0
    if (this.#stopped) return
    const heardTo = this.#heardTo
    const live = heardTo !== undefined && heardTo.sequence > latest.sequence ? heardTo : latest
    const nowMs = clock.nowMs()
    const spread = new Spread(progress, live, this.#laneCount, this.#policy, nowMs, held)
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
        this.#standing.looked()
        for (const lane of lanes) this.#runner.go(lane)
      },
      lost: (oldest) => this.#lost(oldest),
      failed: (error) => this.#say('webhook.read-failed', { why: textOf(error) }),
      nowMs: () => clock.nowMs(),
      later: (run) => clock.at(clock.nowMs() + limits.webhookRetryMinMs, 'webhook read', run),
    })
    if (kept === undefined) this.#standing.sent()
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
    this.#standing.looked()
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
    const elsewhere = aimsElsewhere(before, record)
    if (elsewhere) this.#aim = aimOf(record, this.#ports.limits.webhookLanes)
    const spread = this.#spread
    if (spread === undefined || this.#stopped) return
    if (elsewhere) {
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
    this.#beside.close()
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
    this.#runner.freed()
    this.#beside.go()
    this.#condition.tellDead(this.letters.count)
  }

  /** What is to be written now, if anything. Answer with `ledger.written` or `.failed`. */
  changes(nowMs: number, all: boolean): readonly ShelfChange[] {
    const spread = this.#spread
    if (spread === undefined) return []
    const { delivered, failedAttempts } = this.#condition
    return this.#standing.changes(nowMs, all, () => ({
      progress: spread.progress(nowMs),
      delivered,
      failedAttempts,
    }))
  }

  /** Bounded lists stay so. Called between writes. */
  async trim(): Promise<void> {
    const gone = await this.letters.trim()
    if (gone > 0) this.#say('webhook.dead-letters-lost', { gone, kept: this.letters.count })
  }

  status(): WebhookStatus {
    return this.#condition.status(this.#spread, this.letters.count, {
      waiting: this.#beside.retries.count + this.again.count,
      nextAtMs: this.#beside.retries.nextMs,
    })
  }

  /** Events that were read from the log by itself, beside what was heard. */
  get looked(): number {
    return this.#reader?.looked ?? 0
  }

  slotFree(): void {
    if (this.#stopped) return
    this.#besideFirst = !this.#besideFirst
    if (this.#besideFirst) this.#beside.freed()
    this.#runner.slotFree()
    if (!this.#besideFirst) this.#beside.freed()
  }

  #resume(): void {
    this.#runner.resume(this.#spread?.lanes ?? [])
    this.#reader?.resume()
    this.#beside.go()
  }

  #pause(): void {
    this.#runner.pause()
    this.#reader?.pause()
  }

  #land(): void {
    this.#ports.slots.give(this)
    this.#runner.freed()
    this.#beside.freed()
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
    this.#standing.sent()
    this.#condition.attempted(attempt, batch.length)
    if (attempt.taken) {
      // One lane's good news is news for all that wait.
      if (lane.taken()) this.#hurry()
    } else if (this.#isCallbacks && this.#beside.retries.hasRoom) {
      for (const event of lane.passOn())
        this.#beside.retries.add(event.id, event.device, lane.index, attempt.text)
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
      this.#beside.retries.count > 0 || lanes.some(({ failures }) => failures > 0),
      attempt,
    )
  }

  #lost(oldest: Place): void {
    this.#condition.wrong(`events before ${oldest.id} had to be forgotten before they were taken`)
    this.#standing.sent()
    this.#say('webhook.events-lost', { oldest: oldest.id })
  }

  #say(event: string, fields: object): void {
    const { app, name } = this.#record
    this.#ports.log(event, { app, webhook: name, ...fields })
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
