import { resolve } from 'node:path'
import type {
  Adapter,
  Clock,
  Drain,
  Engine,
  Gateway,
  Limits,
  Listener,
  Timer,
  Webhooks,
} from '../contract/index.ts'
import { Hub } from '../hub/hub.ts'
import { BacklogDrops } from './backlog.ts'
import { expiryHoldMs, jumpMs, SystemClock } from './clock.ts'
import { NodeDrain } from './drain.ts'
import { type FirstKey, provideFirstKey } from './first-key.ts'
import { makeFolder } from './folder.ts'
import { countsOf, Housekeeping } from './housekeeping.ts'
import { eventLog, type Log } from './log.ts'
import { Metrics } from './metrics.ts'
import { Pressure, ProcessSignals } from './pressure.ts'
import { StartFailure, startFailure } from './start-failure.ts'

/** What a node is made of. Products are named by whoever calls (`cli/`), never here. */
export interface NodeParts {
  readonly dataDir: string
  /** PIKE_API_KEY. */
  readonly apiKey: string | undefined
  readonly limits: Limits
  /** PIKE_INDEPENDENT_CHANNELS. */
  readonly independentChannels: readonly string[]
  readonly log: Log
  readonly version: string
  /** On the data folder; sets the clock by the store's time mark before anything reads it (rule 34). */
  openEngine(dataDir: string, clock: SystemClock): Promise<Engine>
  readonly adapters: readonly Adapter[]
  makeWebhooks(ports: WebhookPorts): WebhookServer
  makeApi(ports: ApiPorts): Promise<ApiServer>
  /** Which setting moves a listener away from a port that is taken. */
  settingOf(port: number): string | undefined
}

/** What the northbound API is made from. */
export interface ApiPorts {
  readonly engine: Engine
  readonly gateway: Gateway
  readonly webhooks: Webhooks
  readonly clock: Clock
  readonly metrics: Metrics
  readonly drain: Drain
  /** Where devices are listened to, for who comes to the wrong door. */
  readonly devices: readonly Listener[]
}

export interface WebhookPorts {
  readonly engine: Engine
  readonly clock: Clock
}

/** What pushes events to back ends. */
export interface WebhookServer extends Webhooks {
  /** Resolves when nothing that is kept from now on passes them by. */
  start(): Promise<void>
  /** Send no more, finish what is under way, at most `graceMs` long. */
  stop(graceMs: number): Promise<void>
  figures(): Readonly<Record<string, number>>
}

export interface ApiServer {
  /** @returns where; none when it is switched off. */
  start(): Promise<readonly Listener[]>
  /** Accept no more, finish what is under way, at most `graceMs` long. */
  stop(graceMs: number): Promise<void>
  figures(): Readonly<Record<string, number>>
}

export interface Started {
  readonly listeners: readonly Listener[]
  readonly dataDir: string
  readonly firstKey: FirstKey
}

/** Beside `drainMaxMs`: for back ends' requests, for ours to them, for devices' links. */
const requestsGraceMs = 1_500
const webhooksGraceMs = 1_000
const linksGraceMs = 1_500
/** After this a stop gives up being polite; the store survives that like any crash. */
export const stopMaxMs = (limits: Pick<Limits, 'drainMaxMs'>): number => limits.drainMaxMs + 4_500
/** Housekeeping itself knows what is due. */
const housekeepingMs = 60_000

/**
 * One running gateway. Starts from the inside out and stops in reverse, so that nobody is let in
 * before everything behind the door works, and nothing goes away while it is in use:
 *
 *     data folder → store → hub → adapters (devices) → webhooks → API (back ends) → ready
 */
export class Node {
  readonly #parts: NodeParts
  readonly #clock: SystemClock
  /** What is running, in order of starting. */
  readonly #running: { readonly name: string; stop(): Promise<void> }[] = []
  #housekeeping: Timer | undefined
  #drain: NodeDrain | undefined

  constructor(parts: NodeParts) {
    this.#parts = parts
    this.#clock = new SystemClock()
  }

  /**
   * Resolves when every listener answers. Rejects with {@link StartFailure}, one line for the
   * operator, after stopping what had started.
   */
  async start(): Promise<Started> {
    try {
      return await this.#start()
    } catch (error) {
      await this.stop()
      throw startFailure(error, this.#parts.settingOf)
    }
  }

  async #start(): Promise<Started> {
    const { limits, independentChannels, log, adapters } = this.#parts
    const dataDir = resolve(this.#parts.dataDir)
    await makeDataFolder(dataDir)

    const engine = await this.#parts.openEngine(dataDir, this.#clock)
    this.#running.push({ name: 'engine', stop: () => engine.close() })
    const firstKey = await provideFirstKey(
      engine.names,
      dataDir,
      this.#parts.apiKey,
      this.#clock.nowMs(),
    )
    log.info({ event: 'engine.opened', engine: engine.name, dataDir }, 'the store is open')

    const hub = new Hub({
      engine,
      clock: this.#clock,
      limits,
      independentChannels,
      log: eventLog(log),
      holdExpiryUntilMs: this.#holdExpiryUntilMs(),
    })
    this.#running.push({ name: 'hub', stop: () => hub.stop() })
    await hub.start()

    const metrics = new Metrics(() => countsOf(engine))
    metrics.add({ prefix: 'pike_engine_', figures: () => engine.figures() })
    metrics.add({ prefix: 'pike_', figures: () => hub.figures() })
    metrics.add({ prefix: 'pike_', figures: () => ({ ready: hub.ready().ok ? 1 : 0 }) })
    const backlog = new BacklogDrops()
    metrics.add({ prefix: 'pike_', figures: () => backlog.figures() })
    metrics.addSla(() => hub.sla())
    metrics.addLimits(limits)

    const listeners: Listener[] = []
    const listening: Adapter[] = []
    this.#running.push({ name: 'adapters', stop: () => this.#stopAdapters(listening) })
    for (const adapter of adapters) {
      listening.push(adapter)
      listeners.push(...(await adapter.start(hub)))
      metrics.add({
        prefix: 'pike_adapter_',
        labels: { adapter: adapter.name },
        figures: () => adapter.figures(),
      })
    }

    const drain = new NodeDrain({ adapters, crowd: hub, clock: this.#clock, limits, log })
    this.#drain = drain
    this.#running.push({ name: 'drain', stop: () => drain.finished() })
    metrics.add({ prefix: 'pike_', figures: () => drain.figures() })

    const signals = new ProcessSignals(limits, () => engine.figures())
    const pressure = new Pressure({
      ...{ clock: this.#clock, log, adapters },
      read: () => signals.read(),
      press: (level) => hub.press(level),
    })
    const relax = async (): Promise<void> => {
      pressure.stop()
      signals.stop()
    }
    this.#running.push({ name: 'overload', stop: relax })
    pressure.start()
    metrics.add({ prefix: 'pike_', figures: () => pressure.figures() })

    const webhooks = this.#parts.makeWebhooks({ engine, clock: this.#clock })
    this.#running.push({ name: 'webhooks', stop: () => webhooks.stop(webhooksGraceMs) })
    await webhooks.start()
    metrics.add({ prefix: 'pike_webhooks_', figures: () => webhooks.figures() })

    const clock = this.#clock
    const api = await this.#parts.makeApi({
      ...{ engine, gateway: hub, webhooks, clock, metrics, drain },
      devices: listeners.slice(),
    })
    this.#running.push({ name: 'api', stop: () => api.stop(requestsGraceMs) })
    listeners.unshift(...(await api.start()))
    metrics.add({ prefix: 'pike_api_', figures: () => api.figures() })

    this.#keepHouse(engine)
    return { listeners, dataDir, firstKey }
  }

  /** Stops what runs, the last started first. Never rejects; repeating it does nothing. */
  async stop(): Promise<void> {
    this.#housekeeping?.cancel()
    // From now on nobody comes in; they are sent away once back ends have their answers.
    this.#drain?.begin()
    for (let part = this.#running.pop(); part !== undefined; part = this.#running.pop()) {
      try {
        await part.stop()
      } catch (err) {
        this.#parts.log.error({ event: 'part.stop-failed', part: part.name, err })
      }
    }
  }

  /** Side by side: each waits for its own links. */
  async #stopAdapters(adapters: readonly Adapter[]): Promise<void> {
    await Promise.all(
      adapters.toReversed().map(async (adapter) => {
        try {
          await adapter.stop(linksGraceMs)
        } catch (err) {
          this.#parts.log.error({ event: 'part.stop-failed', part: adapter.name, err })
        }
      }),
    )
  }

  /**
   * Rule 34: off for long, or a clock that jumped? We cannot know, so nothing expires for a minute,
   * in which a person can stop us and set the clock.
   */
  #holdExpiryUntilMs(): number {
    const { aheadMs } = this.#clock
    if (aheadMs <= jumpMs) return 0
    this.#parts.log.warn(
      { event: 'clock.jumped', aheadMs, holdMs: expiryHoldMs },
      "it is over an hour since this store's last time mark: nothing expires for a minute; if the clock is wrong, stop now and set it",
    )
    return this.#clock.nowMs() + expiryHoldMs
  }

  /** Forgets what is past its age or too much, and checks that nothing accepted went missing (rule 11). */
  #keepHouse(engine: Engine): void {
    const { log, limits } = this.#parts
    const housekeeping = new Housekeeping({ engine, limits, log })
    const run = (): void => {
      const nowMs = this.#clock.nowMs()
      this.#housekeeping = this.#clock.at(nowMs + housekeepingMs, 'housekeeping', run)
      housekeeping
        .look(nowMs)
        .catch((err: unknown) => log.warn({ event: 'housekeeping.failed', err }))
    }
    run()
  }
}

/** 0700 when we make it. One that was there keeps its mode: it may be more than ours. */
async function makeDataFolder(dataDir: string): Promise<void> {
  try {
    await makeFolder(dataDir, 0o700)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const why = whyNoFolder[code ?? ''] ?? String(code)
    throw new StartFailure(
      `the data folder ${dataDir} cannot be made: ${why}; choose another with PIKE_DATA_DIR (--data-dir)`,
      { cause: error },
    )
  }
}

const whyNoFolder: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOTDIR: 'something in its path is a file',
  ENOENT: 'this place cannot hold folders',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left',
}
