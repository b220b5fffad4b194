import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock, Engine, Limits, Timer } from '../../src/contract/index.ts'
import { openLevelEngine } from '../../src/engine/level/index.ts'
import {
  type MemoryDisk,
  type MemoryEngine,
  openMemoryEngine,
} from '../../src/engine/memory/index.ts'
import { Disk } from '../engine/level/subject.ts'
import type { ManualClock } from '../support/manual-clock.ts'
import { type Busy, counted } from './counted-store.ts'

export type EngineName = 'memory' | 'level'
export type Fault = 'full' | 'down'

/** Virtual time as one process sees it: when that has died, none of its timers runs any more. */
export class MortalClock implements Clock {
  readonly #clock: ManualClock
  dead = false

  constructor(clock: ManualClock) {
    this.#clock = clock
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  at(atMs: number, name: string, run: () => void): Timer {
    if (this.dead) return { cancel: () => {} }
    return this.#clock.at(atMs, name, () => {
      if (!this.dead) run()
    })
  }
}

/** Where an engine keeps what it has, what may befall that, and when it is at rest. */
export interface Ground {
  open(clock: Clock, limits: Partial<Limits>): Promise<Engine>
  /** The process is killed at this moment; returns once another may open. */
  crash(): Promise<void>
  /** From now on no write succeeds. */
  fail(why: Fault): void
  /** Writes succeed again; the engine finds out by itself. */
  mend(): void
  /** So little space is left that nothing new may be accepted; undefined: the engine does not look. */
  readonly space: { low: boolean } | undefined
  /** Changes whenever the store did something, and is odd while it does. */
  activity(): { readonly count: number; readonly busy: boolean }
  remove(): void
}

export const groundOf = (name: EngineName): Ground =>
  name === 'memory' ? new MemoryGround() : new LevelGround()

class MemoryGround implements Ground {
  #disk: MemoryDisk | undefined
  #engine: MemoryEngine | undefined
  #failing: Fault | undefined
  readonly space = undefined

  async open(clock: Clock, limits: Partial<Limits>): Promise<Engine> {
    this.#engine = openMemoryEngine({ clock, limits, ...(this.#disk && { disk: this.#disk }) })
    this.#disk = this.#engine.disk
    if (this.#failing !== undefined) this.#engine.fail(this.#failing)
    return this.#engine
  }

  async crash(): Promise<void> {
    this.#disk = this.#engine!.crash()
    this.#failing = undefined
  }

  fail(why: Fault): void {
    this.#failing = why
    this.#engine!.fail(why)
  }

  mend(): void {
    if (this.#failing === undefined) return
    this.#failing = undefined
    this.#engine!.recover()
  }

  activity() {
    return { count: 0, busy: false }
  }

  remove(): void {}
}

class LevelGround implements Ground {
  readonly #home = mkdtempSync(join(tmpdir(), 'pike-model-'))
  readonly #folder = join(this.#home, 'store')
  readonly #disk = new Disk()
  readonly space = { low: false }
  #engine: Engine | undefined
  #busy: Busy = { started: 0, ended: 0 }

  async open(clock: Clock, limits: Partial<Limits>): Promise<Engine> {
    const busy: Busy = { started: 0, ended: 0 }
    this.#busy = busy
    this.#engine = await openLevelEngine({
      folder: this.#folder,
      clock,
      limits,
      // What is asked of it here is to survive a killed process, and that needs no sync.
      sync: false,
      makeStore: (path) => counted(this.#disk.makeStore(path), busy),
      freeBytes: async () => (this.space.low ? 0 : 1e12),
    })
    return this.#engine
  }

  /** A killed process leaves what its files hold at that moment; the driver cannot be killed alone. */
  async crash(): Promise<void> {
    const left = join(this.#home, 'left')
    copyNow(this.#folder, left)
    // The failing disk belongs to the dead process: it must be able to close.
    this.#disk.failing = undefined
    await this.#engine!.close()
    rmSync(this.#folder, { recursive: true, force: true })
    renameSync(left, this.#folder)
  }

  fail(why: Fault): void {
    this.#disk.failing = why
  }

  mend(): void {
    this.#disk.failing = undefined
  }

  activity() {
    const { started, ended } = this.#busy
    return { count: started, busy: started !== ended }
  }

  remove(): void {
    rmSync(this.#home, { recursive: true, force: true })
  }
}

/** In one go, so that nothing of ours runs between two files. */
function copyNow(from: string, to: string): void {
  mkdirSync(to)
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.name === 'LOCK') continue
    const source = join(from, entry.name)
    if (entry.isDirectory()) copyNow(source, join(to, entry.name))
    else copyFileSync(source, join(to, entry.name))
  }
}
