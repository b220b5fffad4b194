import { Level } from 'level'
import type { Clock, Engine } from '../../../src/contract/index.ts'
import type { LevelEngineOptions } from '../../../src/engine/level/index.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import type { Store } from '../../../src/engine/level/store.ts'
import { folderSubject } from '../../support/engine-folder.ts'
import type { Breakage } from '../../support/engine-subject.ts'
import type { ManualClock } from '../../support/manual-clock.ts'
import { turn, until } from '../../support/turns.ts'

/** What LevelDB says when a write fails. */
const texts = {
  full: 'IO error: /data/level/000005.log: No space left on device',
  down: 'IO error: /data/level/000005.log: Input/output error',
} as const

/** A disk that can be told to fail. */
export class Disk {
  failing: keyof typeof texts | undefined
  /** Batches that reached it, failed ones too. */
  batches = 0
  /** Times a store was made on it. */
  opens = 0
  /** Batches that came so far and may not be written before it resolves. */
  held: Promise<void> | undefined
  /** What comes of reading several values at once, or a range; may throw. */
  values: (found: (Buffer | undefined)[]) => (Buffer | undefined)[] = (found) => found
  ranges: () => Promise<void> = async () => {}
  /** Before one value is looked up. */
  lookUp: (key: string) => void = () => {}

  readonly makeStore = (path: string): Store => {
    this.opens += 1
    return new FailingLevel(path, this)
  }

  check(): void {
    if (this.failing !== undefined) throw new Error(texts[this.failing])
  }
}

class FailingLevel extends Level<string, Buffer> {
  readonly #disk: Disk

  constructor(path: string, disk: Disk) {
    super(path, { keyEncoding: 'utf8', valueEncoding: 'buffer' })
    this.#disk = disk
  }

  override batch(...args: readonly unknown[]): never {
    if (args.length > 0) throw new Error('the engine writes by chained batches')
    const batch = super.batch()
    const write = batch.write.bind(batch)
    batch.write = async (options?: object) => {
      this.#disk.batches += 1
      await this.#disk.held
      this.#disk.check()
      await write(options as never)
    }
    return batch as never
  }

  override async getMany(...args: readonly unknown[]): Promise<never> {
    const found = await super.getMany(...(args as Parameters<Store['getMany']>))
    return this.#disk.values(found as (Buffer | undefined)[]) as never
  }

  override getSync(...args: readonly unknown[]): never {
    this.#disk.lookUp(String(args[0]))
    return super.getSync(...(args as Parameters<Store['getSync']>)) as never
  }

  override iterator(...args: readonly unknown[]): never {
    const iterator = super.iterator(...(args as Parameters<Store['iterator']>))
    const nextv = iterator.nextv.bind(iterator)
    iterator.nextv = async (...more: readonly unknown[]) => {
      await this.#disk.ranges()
      const found = (await nextv(...(more as Parameters<typeof nextv>))) as [string, Buffer][]
      if (found.length === 0) return found
      const values = this.#disk.values(found.map(([, value]) => value))
      return found.flatMap(([key, was], index) => {
        const value = values[index]
        return value === undefined && was !== undefined ? [] : [[key, value]]
      })
    }
    return iterator as never
  }

  override async put(...args: readonly unknown[]): Promise<void> {
    this.#disk.check()
    await super.put(...(args as Parameters<Store['put']>))
  }
}

interface World {
  readonly clock: ManualClock
  readonly disk: Disk
}

const worlds = new WeakMap<Engine, World>()

export const breakage: Breakage = {
  async break(engine, why) {
    worlds.get(engine)!.disk.failing = why
    engine.mailbox.intend('shop/nobody/main', 1)
    await until(() => engine.state === why)
  },
  async mend(engine) {
    const { clock, disk } = worlds.get(engine)!
    disk.failing = undefined
    while (engine.state !== 'ready') {
      clock.advance(100)
      await turn()
    }
  },
}

export interface OpenOptions extends Omit<LevelEngineOptions, 'clock'> {
  readonly clock: Clock
  readonly disk?: Disk
}

/** The engine under test, on a disk that can be made to fail. */
export async function openOnDisk(options: OpenOptions): Promise<Engine> {
  const disk = options.disk ?? new Disk()
  const engine = await openLevelEngine({ ...options, makeStore: disk.makeStore })
  worlds.set(engine, { clock: options.clock as ManualClock, disk })
  return engine
}

export const levelSubject = folderSubject(openOnDisk, breakage)
