import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Clock, Engine, Limits } from '../../src/contract/index.ts'
import { ManualClock } from './manual-clock.ts'

/** An engine that sits the exams: how to get one, and how to do to it what life does to stores. */
export interface EngineSubject {
  /** A new and empty place for one engine. */
  store(): Promise<EngineStore>
  /** Where the subject can: its store cannot be written from now on, until `mend`. */
  readonly breakage?: Breakage
}

export interface Breakage {
  break(engine: Engine, why: 'full' | 'down'): void | Promise<void>
  /** Resolves when the engine is ready again. */
  mend(engine: Engine): void | Promise<void>
}

export interface EngineStore {
  /** Only one at a time. */
  open(clock: Clock, limits?: Partial<Limits>): Promise<Engine>
  /** End it without closing, as if the process were killed. What was settled must still be there. */
  crash(engine: Engine): Promise<void>
  /**
   * Copy what lies there now, whether an engine runs on it or not.
   * @returns puts that copy back in place of what is there then; no engine runs at that time.
   */
  backup(): Promise<() => Promise<void>>
  /** Delete it all. */
  remove(): Promise<void>
}

/** One engine under examination, its time, and what may befall it. */
export class Rig {
  readonly clock = new ManualClock()
  readonly store: EngineStore
  readonly #limits: Partial<Limits> | undefined
  #engine: Engine | undefined

  private constructor(store: EngineStore, limits: Partial<Limits> | undefined) {
    this.store = store
    this.#limits = limits
  }

  /** With a running engine on a new store; all gone when the test is over. */
  static async make(
    t: TestContext,
    subject: EngineSubject,
    limits?: Partial<Limits>,
  ): Promise<Rig> {
    const rig = await Rig.begin(subject, limits)
    t.after(() => rig.remove())
    return rig
  }

  /** The same for who removes it himself. */
  static async begin(subject: EngineSubject, limits?: Partial<Limits>): Promise<Rig> {
    const rig = new Rig(await subject.store(), limits)
    await rig.start()
    return rig
  }

  get engine(): Engine {
    assert.ok(this.#engine, 'no engine runs')
    return this.#engine
  }

  async start(): Promise<void> {
    this.#engine = await this.store.open(this.clock, this.#limits)
  }

  /** A planned stop. */
  async stop(): Promise<void> {
    const { engine } = this
    this.#engine = undefined
    await engine.close()
  }

  /** A planned stop and the next start. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** A sudden end and the next start. */
  async crash(): Promise<void> {
    const { engine } = this
    this.#engine = undefined
    await this.store.crash(engine)
    await this.start()
  }

  async remove(): Promise<void> {
    if (this.#engine !== undefined) await this.stop()
    await this.store.remove()
  }
}
