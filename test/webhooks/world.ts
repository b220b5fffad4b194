import { eventJson } from '../../src/api/index.ts'
import {
  type DeviceId,
  limits as defaults,
  type EventId,
  type Limits,
  type NewEvent,
  type WebhookRecord,
} from '../../src/contract/index.ts'
import {
  type MemoryDisk,
  type MemoryEngine,
  openMemoryEngine,
} from '../../src/engine/memory/index.ts'
import type { Lookup } from '../../src/webhooks/addresses.ts'
import { createWebhooks } from '../../src/webhooks/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turns } from '../support/turns.ts'

export const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

interface Options {
  readonly disk?: MemoryDisk
  readonly clock?: ManualClock
  readonly limits?: Partial<Limits>
  readonly allow?: readonly string[]
  readonly lookup?: Lookup
  readonly requestsMax?: number
}

/** Webhooks over the memory engine: virtual time, real requests. */
export class PushWorld {
  readonly clock: ManualClock
  readonly engine: MemoryEngine
  readonly webhooks: ReturnType<typeof createWebhooks>
  readonly logged: { event: string; [field: string]: unknown }[] = []
  readonly #options: Options

  private constructor(options: Options) {
    this.#options = options
    this.clock = options.clock ?? new ManualClock()
    this.engine = openMemoryEngine({ clock: this.clock, disk: options.disk })
    this.webhooks = createWebhooks({
      engine: this.engine,
      clock: this.clock,
      limits: { ...defaults, ...options.limits },
      version: '0.0.0',
      eventJson,
      allow: options.allow ?? ['loopback'],
      log: (event, fields) => this.logged.push({ event, ...fields }),
      random: () => 1,
      ...(options.lookup !== undefined && { lookup: options.lookup }),
      ...(options.requestsMax !== undefined && { requestsMax: options.requestsMax }),
    })
  }

  static async open(options: Options = {}): Promise<PushWorld> {
    const world = new PushWorld(options)
    await world.webhooks.start()
    return world
  }

  async close(): Promise<void> {
    await this.webhooks.stop(0)
    await this.engine.close()
  }

  /** The process dies: what was kept stays, and another one starts on it. */
  async crash(): Promise<PushWorld> {
    const { disk } = this.engine
    // What a stop writes down, a crash does not.
    const kept = new Map(disk.shelf)
    await this.close()
    disk.shelf.clear()
    for (const [path, value] of kept) disk.shelf.set(path, value)
    return PushWorld.open({ ...this.#options, disk, clock: this.clock })
  }

  async restart(): Promise<PushWorld> {
    await this.close()
    return PushWorld.open({ ...this.#options, disk: this.engine.disk, clock: this.clock })
  }

  /** From here on it gets what is kept. */
  async hook(url: string, change: Partial<WebhookRecord> = {}): Promise<WebhookRecord> {
    const nowMs = this.clock.nowMs()
    const record: WebhookRecord = {
      app: 'default',
      name: 'orders',
      url,
      secrets: [{ id: 'one', secret }],
      disabled: false,
      createdAtMs: nowMs,
      changedAtMs: nowMs,
      ...change,
    }
    await this.engine.names.putWebhook(record)
    this.webhooks.changed(record.app, record.name)
    await this.webhooks.status(record.app, record.name)
    return record
  }

  /** Devices say something, in this order. @returns the ids of what was kept. */
  async say(...devices: readonly DeviceId[]): Promise<EventId[]> {
    return this.keep(
      devices.map((device) => ({
        app: 'default',
        device,
        channel: 'main',
        atMs: this.clock.nowMs(),
        kind: 'event',
        name: 'said',
        payload: Buffer.from('{"door":7}'),
        contentType: 'application/json',
      })),
    )
  }

  async keep(events: readonly NewEvent[]): Promise<EventId[]> {
    const ids: EventId[] = []
    const stop = this.engine.events.listen((heard) => ids.push(...heard.map(({ id }) => id)))
    await new Promise((settled) => this.engine.events.append(events, settled))
    stop()
    await turns(8)
    return ids
  }

  /** Time passes in steps, and what it sets off happens, over real sockets. */
  async pass(ms: number, stepMs = 1_000): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(left, stepMs))
      await this.#answers()
    }
  }

  /** Lets time pass, as long as it takes, until this holds. */
  async until(what: () => boolean | Promise<boolean>, stepMs = 50): Promise<void> {
    while (!(await what())) {
      this.clock.advance(stepMs)
      await this.#answers()
    }
  }

  /**
   * Real answers need a while in which virtual time stands still, or each would be too late. Who
   * never answers is waited for in vain, so not for long.
   */
  async #answers(): Promise<void> {
    await turns(8)
    for (let i = 0; i < 100 && (this.webhooks.figures().requests_open ?? 0) > 0; i++) await turns(4)
  }

  status(name = 'orders') {
    return this.webhooks.status('default', name)
  }
}
