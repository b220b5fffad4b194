import { keyHash } from '../../src/api/index.ts'
import type { Engine, Gateway } from '../../src/contract/index.ts'
import { Hub } from '../../src/hub/hub.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { OpenApiCheck } from '../support/openapi-check.ts'
import { turns } from '../support/turns.ts'
import { limits } from './limits.ts'
import { type EngineName, type Fault, type Ground, groundOf, MortalClock } from './lives.ts'
import { SwitchedApi } from './switch.ts'

/** Breaks the product on purpose, from outside, at its ports. */
export interface Sabotage {
  readonly engine?: (engine: Engine) => Engine
  readonly gateway?: (gateway: Gateway, engine: Engine) => Gateway
}

/** One process: from its start to its end, however it ends. */
export interface Life {
  readonly clock: MortalClock
  readonly engine: Engine
  readonly hub: Hub
  readonly api: SwitchedApi
}

/** Timers that set nothing in motion that anybody could see. */
const idle = new Set(['patrol', 'store.time-mark'])
const dayMs = 24 * 3_600_000
const housekeepingMs = 3_600_000

/** APIs on which nothing is under way, for the next life or story. */
const spare = new Map<EngineName, SwitchedApi[]>()
let stories = 0
let check: OpenApiCheck | undefined

/** The real API, hub and engine in one process, in virtual time; and what may befall them. */
export class System {
  readonly clock: ManualClock
  readonly engineName: EngineName
  readonly #ground: Ground
  readonly #sabotage: Sabotage
  #life: Life | undefined
  /** Something was wrong with a process that no answer shows. */
  readonly surprises: string[] = []
  lives = 0

  private constructor(engineName: EngineName, sabotage: Sabotage) {
    this.engineName = engineName
    this.#ground = groundOf(engineName)
    this.#sabotage = sabotage
    // Each story on days of its own, whole ones, so that an API that is used again has forgotten all.
    this.clock = new ManualClock(Date.UTC(2026, 0, 1) + (stories++ % 20_000) * 2 * dayMs)
  }

  static async open(engineName: EngineName, sabotage: Sabotage = {}): Promise<System> {
    const system = new System(engineName, sabotage)
    await system.#begin()
    const { names } = system.life.engine
    const createdAtMs = system.clock.nowMs()
    await names.putApp({ app: 'default', createdAtMs })
    const hash = keyHash(rootKey)
    await names.putKey({ app: 'default', name: 'root', hash, scopes: ['admin'], createdAtMs })
    return system
  }

  get life(): Life {
    if (this.#life === undefined) throw new Error('no process runs')
    return this.#life
  }

  get space(): Ground['space'] {
    return this.#ground.space
  }

  get check(): OpenApiCheck {
    check ??= new OpenApiCheck(this.life.api.app.swagger())
    return check
  }

  fail(why: Fault): void {
    this.#ground.fail(why)
  }

  mend(): void {
    this.#ground.mend()
  }

  /** The process is killed: nothing of it runs on. `busy`: calls are under way that nobody answers. */
  async crash(busy: boolean): Promise<void> {
    const { clock, api } = this.life
    this.#life = undefined
    clock.dead = true
    await this.#ground.crash()
    if (!busy) this.#spare(api)
    await this.#begin()
  }

  /** A planned stop and the next start; `meanwhile` is called as it begins to stop. */
  async restart(meanwhile: () => void = () => {}): Promise<void> {
    const { hub, engine, clock, api } = this.life
    const closing = api.app.close()
    meanwhile()
    await closing
    await hub.stop()
    await engine.close()
    this.#life = undefined
    clock.dead = true
    await this.#begin()
  }

  async end(): Promise<void> {
    const { hub, engine, clock, api } = this.life
    this.#life = undefined
    await hub.stop()
    await engine.close()
    clock.dead = true
    this.#spare(api)
    this.#ground.remove()
  }

  /** It is not used any more, whatever is under way. */
  async abandon(): Promise<void> {
    if (this.#life === undefined) return
    this.#life.clock.dead = true
    this.#life = undefined
    await this.#ground.crash().catch(() => {})
    this.#ground.remove()
  }

  /** Until nothing moves any more at this moment. */
  async quiet(): Promise<void> {
    const { engine } = this.life
    const rounds = this.engineName === 'memory' ? 6 : 4
    for (let still = 0, count = -1; still < rounds; ) {
      await turns(3)
      await engine.flushed()
      const activity = this.#ground.activity()
      if (activity.busy || activity.count !== count) still = 0
      else still++
      count = activity.count
      // What is due now but was set for now while it settled.
      this.clock.advance(0)
    }
  }

  /** When the next thing is due that anybody could see. */
  nextMs(): number {
    const next = this.clock.waiting().find(({ name }) => !idle.has(name))
    return next?.atMs ?? Number.POSITIVE_INFINITY
  }

  /** Time passes in one go, as for a process that was stopped and goes on. */
  async leap(ms: number): Promise<void> {
    this.clock.advance(ms)
    await this.quiet()
  }

  async #begin(): Promise<void> {
    const clock = new MortalClock(this.clock)
    const opened = await this.#ground.open(clock, limits)
    const engine = this.#sabotage.engine?.(opened) ?? opened
    const log = (event: string, fields: object) => {
      if (/surprise|(?<!^attach\.|reopen-)failed/.test(event))
        this.surprises.push(`${event} ${JSON.stringify(fields)}`)
    }
    const hub = new Hub({ engine, clock, limits, log })
    await hub.start()
    const gateway = this.#sabotage.gateway?.(hub, engine) ?? hub
    const behind = { engine, gateway, clock }
    const api = spare.get(this.engineName)?.pop()
    if (api === undefined) {
      this.#life = { clock, engine, hub, api: await SwitchedApi.make(behind, limits) }
    } else {
      api.turn(behind)
      this.#life = { clock, engine, hub, api }
    }
    this.lives++
    this.#keepHouse(clock, engine)
  }

  /** As the node does. */
  #keepHouse(clock: MortalClock, engine: Engine): void {
    const keep = () => {
      engine.events.purge(clock.nowMs() - limits.eventsMaxAgeMs).catch(() => {})
      clock.at(clock.nowMs() + housekeepingMs, 'housekeeping', keep)
    }
    clock.at(clock.nowMs() + housekeepingMs, 'housekeeping', keep)
  }

  #spare(api: SwitchedApi): void {
    const free = spare.get(this.engineName) ?? []
    spare.set(this.engineName, free)
    free.push(api)
  }
}

export const rootKey = 'pike_root-0123456789abcdef'
