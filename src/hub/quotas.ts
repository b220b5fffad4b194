import type { AppId, AppQuota, Clock, Names, Timer } from '../contract/index.ts'
import { TokenBucket } from './token-bucket.ts'

/** A changed quota is in force after this. */
const rereadMs = 1_000

/** Somebody who holds answers back for an app's rate of events. */
export interface HoldsAnswers {
  /** The rate is another: what is left to wait takes so many times as long; 0: it is over. */
  retime(slower: number, nowMs: number): void
}

interface Account {
  quota: AppQuota
  readAtMs: number
  reading: boolean
  commands: TokenBucket | undefined
  /** What broadcasts are sure of, whatever the other calls do. */
  placings: TokenBucket | undefined
  /** Lines are no quicker; undefined where a burst has some to leave for others. */
  patient: TokenBucket | undefined
  events: TokenBucket | undefined
  readonly holding: Set<HoldsAnswers>
  sessions: number
}

/**
 * How much of this gateway each app may use, so that it cannot crowd out the others.
 *
 * Within an app who can wait leaves some of its commands to who is refused:
 *
 *     burst ┬ single calls, lines, broadcasts
 *       1/2 ┼ single calls, lines
 *       1/4 ┼ single calls          a quarter, and at least one command
 *         0 ┼
 *           ┴ broadcasts: a quarter of the rate is theirs, whatever is left
 *
 * What an app may is read beside the calls, at most once a second and only for apps that call, so
 * that no command waits for it. Until the first answer an app has no bound.
 */
export class Quotas {
  readonly #names: Names
  readonly #clock: Clock
  readonly #apps = new Map<AppId, Account>()
  /** Apps for whose sake answers are held back: a change must not wait for their next call. */
  readonly #holding = new Set<AppId>()
  #timer: Timer | undefined
  /** Commands refused and events answered late. */
  limited = 0

  constructor(names: Names, clock: Clock) {
    this.#names = names
    this.#clock = clock
  }

  stop(): void {
    this.#timer?.cancel()
    this.#holding.clear()
  }

  /** Know all apps before the first call. */
  async load(nowMs: number): Promise<void> {
    try {
      for (const record of await this.#names.apps()) {
        this.#known(this.#open(record.app), record.quota, nowMs)
      }
    } catch {
      // The store is away; each is read when it calls.
    }
  }

  /** A command is to be accepted. @returns 0, or how long until it may be. */
  command(app: AppId, nowMs: number, patient = false): number {
    const account = this.#account(app, nowMs)
    const { commands } = account
    if (commands === undefined) return 0
    const waitMs = patient ? leaving(account, commands, 1 / 4, nowMs) : commands.take(nowMs)
    if (waitMs > 0) this.limited++
    return waitMs
  }

  /** A broadcast is to place a command. @returns 0, or how long until it may. */
  placing(app: AppId, nowMs: number): number {
    const account = this.#account(app, nowMs)
    const { commands, placings } = account
    if (commands === undefined || placings === undefined) return 0
    const assuredMs = placings.take(nowMs)
    if (assuredMs > 0) {
      if (account.patient !== undefined) return assuredMs
      return Math.min(assuredMs, leaving(account, commands, 1 / 2, nowMs))
    }
    commands.owe(1, nowMs) // it is one of the app's commands all the same
    return 0
  }

  /** So many events are being kept. @returns how long their answer is to be held back. */
  events(app: AppId, count: number, nowMs: number): number {
    const { events } = this.#account(app, nowMs)
    if (events === undefined) return 0
    const holdMs = events.owe(count, nowMs)
    if (holdMs > 0) this.limited += count
    return holdMs
  }

  /** It holds answers back. Told when the rate changes, until it has `answered` all of them. */
  holding(app: AppId, holder: HoldsAnswers, nowMs: number): void {
    const { events, holding } = this.#open(app)
    holding.add(holder)
    // Lifted while what is answered was being kept.
    if (events === undefined) holder.retime(0, nowMs)
    this.#holding.add(app)
    this.#timer ??= this.#lookLater()
  }

  answered(app: AppId, holder: HoldsAnswers): void {
    const { holding } = this.#open(app)
    holding.delete(holder)
    if (holding.size === 0) this.#holding.delete(app)
  }

  /** May one more link attach? `instead`: in place of one that is attached. */
  admits(app: AppId, instead: boolean, nowMs: number): boolean {
    const { quota, sessions } = this.#account(app, nowMs)
    return quota.sessions === undefined || sessions - (instead ? 1 : 0) < quota.sessions
  }

  attached(app: AppId): void {
    this.#open(app).sessions++
  }

  detached(app: AppId): void {
    this.#open(app).sessions--
  }

  #lookLater(): Timer {
    return this.#clock.at(this.#clock.nowMs() + rereadMs, 'quotas', () => {
      const nowMs = this.#clock.nowMs()
      for (const app of this.#holding) this.#account(app, nowMs)
      this.#timer = this.#holding.size === 0 ? undefined : this.#lookLater()
    })
  }

  #account(app: AppId, nowMs: number): Account {
    const account = this.#open(app)
    if (nowMs - account.readAtMs >= rereadMs && !account.reading) this.#read(app, account, nowMs)
    return account
  }

  #open(app: AppId): Account {
    let account = this.#apps.get(app)
    if (account === undefined) {
      account = {
        quota: none,
        readAtMs: Number.NEGATIVE_INFINITY,
        reading: false,
        commands: undefined,
        placings: undefined,
        patient: undefined,
        events: undefined,
        holding: new Set(),
        sessions: 0,
      }
      this.#apps.set(app, account)
    }
    return account
  }

  #read(app: AppId, account: Account, nowMs: number): void {
    account.reading = true
    this.#names.app(app).then(
      (record) => {
        account.reading = false
        this.#known(account, record?.quota, nowMs)
      },
      () => {
        account.reading = false
        account.readAtMs = nowMs // the store is away: as before, and not asked at every call
      },
    )
  }

  #known(account: Account, quota: AppQuota | undefined, nowMs: number): void {
    account.readAtMs = nowMs
    account.quota = quota ?? none
    const rate = quota?.commandsPerSecond
    account.commands = bucket(account.commands, rate, nowMs)
    account.placings = bucket(account.placings, rate && rate / 4, nowMs)
    // Of a burst of one nothing can be left: then lines leave every fourth, broadcasts all but theirs.
    account.patient = bucket(account.patient, rate && rate < 2 ? (rate * 3) / 4 : undefined, nowMs)
    const { events } = account
    const before = events?.perSecond
    account.events = bucket(events, quota?.eventsPerSecond, nowMs)
    const slower = (before ?? 0) / (quota?.eventsPerSecond ?? Number.POSITIVE_INFINITY)
    if (before === undefined || slower === 1) return
    for (const holder of account.holding) holder.retime(slower, this.#clock.nowMs())
  }
}

const none: AppQuota = {}

/** Take one if this share of a burst, or at least one command, is left. @returns 0, or how long until then. */
function leaving(
  { patient }: Account,
  commands: TokenBucket,
  share: number,
  nowMs: number,
): number {
  const left = Math.max(1, commands.burst * share)
  const waitMs = Math.max(commands.waitMs(nowMs, left), patient?.waitMs(nowMs) ?? 0)
  if (waitMs > 0) return waitMs
  patient?.take(nowMs)
  return commands.take(nowMs, left)
}

function bucket(
  before: TokenBucket | undefined,
  perSecond: number | undefined,
  nowMs: number,
): TokenBucket | undefined {
  if (perSecond === undefined) return undefined
  if (before === undefined) return new TokenBucket(perSecond, nowMs)
  if (before.perSecond !== perSecond) before.turn(perSecond, nowMs)
  return before
}
