import type {
  AppId,
  Clock,
  Engine,
  EventId,
  KeptEvent,
  Limits,
  Timer,
  WebhookName,
  WebhookRecord,
  WebhookStatus,
  Webhooks,
} from '../contract/index.ts'
import { Addresses, type Lookup } from './addresses.ts'
import { webhookBounds } from './bounds.ts'
import { HeldBytes } from './held-bytes.ts'
import { Keeper } from './keeper.ts'
import { Ledger } from './ledger.ts'
import type { PushPorts, Totals } from './ports.ts'
import { Pusher } from './pusher.ts'
import { Sender } from './sender.ts'
import { Slots } from './slots.ts'

export interface WebhooksOptions {
  readonly engine: Pick<Engine, 'events' | 'names' | 'shelf'>
  readonly clock: Clock
  readonly limits: Limits
  readonly version: string
  /** An event as receivers get it: the JSON that GET /v1/events shows, on one line. */
  eventJson(event: KeptEvent): string
  /** Host names, addresses, CIDRs, `loopback`, `private`: may be called though they point inward. */
  readonly allow?: readonly string[]
  readonly log?: (event: string, fields: object) => void
  /** For tests. */
  readonly random?: () => number
  readonly lookup?: Lookup
  /** `webhookRequestsMax`, for tests. */
  readonly requestsMax?: number
}

/** Webhooks at work, for whoever starts and stops them. */
export interface RunningWebhooks extends Webhooks {
  start(): Promise<void>
  /** No more requests; those under way may end; where each webhook stands is kept. */
  stop(graceMs: number): Promise<void>
  figures(): Readonly<Record<string, number>>
}

/** @throws Error when an entry of `allow` means nothing. */
export const createWebhooks = (options: WebhooksOptions): RunningWebhooks & { looked(): number } =>
  new Service(options)

const keyOf = (app: AppId, name: WebhookName): string => `${app}/${name}`

class Service implements RunningWebhooks {
  readonly #options: WebhooksOptions
  readonly #addresses: Addresses
  readonly #ports: PushPorts
  readonly #slots: Slots
  readonly #held = new HeldBytes(webhookBounds.webhookHeldTotalMaxBytes)
  readonly #totals: Totals = { deliveries: 0, events: 0, failures: 0, deadLetters: 0 }
  readonly #pushers = new Map<string, Pusher>()
  readonly #apps = new Map<AppId, Pusher[]>()
  /** Until a webhook stands ready, or the last change of it is done. */
  readonly #turns = new Map<string, Promise<void>>()
  /** Heard in this turn of the event loop, app by app. */
  readonly #heard = new Map<AppId, KeptEvent[]>()
  #draining = false
  readonly #keeper: Keeper
  #unlisten: (() => void) | undefined
  #stopped = false

  constructor(options: WebhooksOptions) {
    const { engine, clock, limits, version, allow = [], lookup } = options
    this.#options = options
    this.#slots = new Slots(options.requestsMax ?? webhookBounds.webhookRequestsMax)
    this.#addresses = new Addresses(allow, () => clock.nowMs(), lookup)
    let shown: KeptEvent | undefined
    let json = ''
    this.#ports = {
      events: engine.events,
      names: engine.names,
      shelf: engine.shelf,
      clock,
      limits,
      random: options.random ?? Math.random,
      // Several webhooks of an app are offered the same event one after another.
      eventJson: (event) => {
        if (event !== shown) {
          json = options.eventJson(event)
          shown = event
        }
        return json
      },
      log: options.log ?? (() => {}),
      sender: new Sender(this.#addresses, clock, limits.webhookTimeoutMs, version),
      slots: this.#slots,
      held: this.#held,
      totals: this.#totals,
    }
    this.#keeper = new Keeper({
      clock,
      shelf: engine.shelf,
      retryMs: limits.webhookRetryMinMs,
      pushers: () => this.#pushers.values(),
      log: this.#ports.log,
    })
  }

  async start(): Promise<void> {
    this.#unlisten = this.#options.engine.events.listen((events) => this.#hear(events))
    await this.#keeper.insist(() => this.#sweep())
    for (const record of this.#options.engine.names.webhooks()) this.#add(record)
    await Promise.all(this.#turns.values())
    this.#keeper.start()
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#unlisten?.()
    this.#keeper.stop()
    const pushers = [...this.#pushers.values()]
    for (const pusher of pushers) pusher.stop()
    await this.#landed(pushers, graceMs)
    for (const pusher of pushers) pusher.close()
    // What was aborted has to be heard of before it is written down.
    await new Promise(setImmediate)
    await this.#keeper.last()
  }

  async refuses(url: string): Promise<string | undefined> {
    let timer: Timer | undefined
    const { clock } = this.#options
    const late = new Promise<undefined>((resolve) => {
      timer = clock.at(clock.nowMs() + webhookBounds.webhookLookupWaitMs, 'look-up', () =>
        resolve(undefined),
      )
    })
    try {
      return await Promise.race([this.#addresses.refuses(url), late])
    } finally {
      timer?.cancel()
    }
  }

  changed(app: AppId, _name: WebhookName): void {
    if (this.#stopped) return
    const now = new Map(
      this.#options.engine.names.webhooks(app).map((record) => [record.name, record]),
    )
    for (const pusher of [...(this.#apps.get(app) ?? [])]) {
      const record = now.get(pusher.record.name)
      if (record === undefined) this.#remove(pusher)
      else if (record.createdAtMs !== pusher.record.createdAtMs) {
        this.#remove(pusher)
        this.#add(record)
      } else pusher.update(record)
      now.delete(pusher.record.name)
    }
    for (const record of now.values()) this.#add(record)
  }

  /** Also what to wait for before a new webhook is called one: from then on nothing passes it by. */
  async status(app: AppId, name: WebhookName): Promise<WebhookStatus> {
    const pusher = await this.#ready(app, name)
    return pusher?.status() ?? nothing
  }

  async deadLetters(
    app: AppId,
    name: WebhookName,
    query: { readonly after?: EventId; readonly limit: number },
  ) {
    const pusher = await this.#ready(app, name)
    if (pusher === undefined) return { items: [], next: undefined }
    await this.#keeper.write()
    return pusher.letters.list(query)
  }

  async sendAgain(app: AppId, name: WebhookName, event?: EventId): Promise<number> {
    const pusher = await this.#ready(app, name)
    if (pusher === undefined) return 0
    const { letters, again } = pusher
    return letters.alone(async () => {
      await this.#keeper.write()
      const events: EventId[] = []
      if (event === undefined) for await (const letter of letters.all()) events.push(letter.event)
      else if ((await letters.find(event)) !== undefined) events.push(event)
      again.add(events)
      return events.length
    })
  }

  async discard(app: AppId, name: WebhookName, event?: EventId): Promise<number> {
    const pusher = await this.#ready(app, name)
    if (pusher === undefined) return 0
    const { letters, again } = pusher
    return letters.alone(async () => {
      // First, so that none of those found goes by being taken meanwhile.
      again.drop(event)
      await this.#keeper.write()
      let gone = 0
      if (event !== undefined) {
        if ((await letters.find(event)) === undefined) return 0
        letters.remove(event)
        gone = 1
      } else
        for await (const letter of letters.all()) {
          letters.remove(letter.event)
          gone++
        }
      await this.#keeper.write()
      return gone
    })
  }

  figures(): Readonly<Record<string, number>> {
    let waiting = 0
    let deadLetters = 0
    for (const pusher of this.#pushers.values()) {
      const status = pusher.status()
      waiting += status.waiting
      deadLetters += status.deadLetters
    }
    return {
      requests_taken_total: this.#totals.deliveries,
      requests_failed_total: this.#totals.failures,
      events_delivered_total: this.#totals.events,
      dead_letters_total: this.#totals.deadLetters,
      dead_letters: deadLetters,
      events_waiting: waiting,
      held_bytes: this.#held.bytes,
      requests_open: this.#slots.taken,
    }
  }

  /** Events read from logs for lanes that were behind, over all webhooks. */
  looked(): number {
    return [...this.#pushers.values()].reduce((sum, pusher) => sum + pusher.looked, 0)
  }

  #add(record: WebhookRecord): void {
    const { app, name } = record
    const pusher = new Pusher(record, this.#ports)
    this.#pushers.set(keyOf(app, name), pusher)
    this.#apps.set(app, [...(this.#apps.get(app) ?? []), pusher])
    this.#inTurn(app, name, () => this.#load(pusher))
  }

  #remove(pusher: Pusher): void {
    const { app, name } = pusher.record
    pusher.stop()
    this.#pushers.delete(keyOf(app, name))
    const left = (this.#apps.get(app) ?? []).filter((one) => one !== pusher)
    if (left.length > 0) this.#apps.set(app, left)
    else this.#apps.delete(app)
    this.#inTurn(app, name, async () => {
      await this.#landed([pusher], this.#options.limits.webhookTimeoutMs)
      pusher.close()
      await this.#keeper.idle()
      await this.#keeper.insist(() => pusher.ledger.erase())
    })
  }

  async #load(pusher: Pusher): Promise<void> {
    await this.#keeper.insist(() => pusher.load())
    await this.#keeper.insist(() => this.#keeper.write())
  }

  /** Changes of one webhook come one after another. */
  #inTurn(app: AppId, name: WebhookName, run: () => Promise<void>): void {
    const key = keyOf(app, name)
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(run).finally(() => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key)
    })
    this.#turns.set(key, turn)
  }

  async #ready(app: AppId, name: WebhookName): Promise<Pusher | undefined> {
    await this.#turns.get(keyOf(app, name))
    return this.#pushers.get(keyOf(app, name))
  }

  /** Called while the engine tells of a sync: only noted, so that answers to back ends go first. */
  #hear(events: readonly KeptEvent[]): void {
    if (this.#apps.size === 0) return
    for (const event of events) {
      if (!this.#apps.has(event.app)) continue
      const heard = this.#heard.get(event.app)
      if (heard === undefined) this.#heard.set(event.app, [event])
      else heard.push(event)
    }
    if (this.#draining || this.#heard.size === 0) return
    this.#draining = true
    setImmediate(() => {
      this.#draining = false
      const heard = [...this.#heard]
      this.#heard.clear()
      for (const [app, some] of heard)
        for (const pusher of this.#apps.get(app) ?? []) pusher.hear(some)
    })
  }

  /** All requests under way have ended, or time is over. */
  async #landed(pushers: readonly Pusher[], graceMs: number): Promise<void> {
    if (graceMs <= 0) return
    const { clock } = this.#options
    let timer: Timer | undefined
    const late = new Promise<void>((resolve) => {
      timer = clock.at(clock.nowMs() + graceMs, 'webhooks under way', resolve)
    })
    await Promise.race([Promise.all(pushers.map((pusher) => pusher.landed())), late])
    timer?.cancel()
  }

  /** What was kept of webhooks that are no more, where a crash came between. */
  async #sweep(): Promise<void> {
    const { shelf, names } = this.#options.engine
    const known = new Set(names.webhooks().map(({ app, name }) => keyOf(app, name)))
    for (let after: string | undefined; ; ) {
      const query = { limit: 1, ...(after !== undefined && { after }) }
      const path = (await shelf.list('webhooks', query)).items[0]?.path
      if (path === undefined) return
      const [, app = '', name = ''] = path.split('/')
      if (!known.has(keyOf(app, name))) await new Ledger(shelf, app, name).erase()
      // Behind all of this webhook: no name begins with a tilde.
      after = `webhooks/${app}/${name}/~`
    }
  }
}

const nothing: WebhookStatus = {
  delivered: 0,
  failedAttempts: 0,
  waiting: 0,
  behind: false,
  lanesFailing: 0,
  deadLetters: 0,
}
