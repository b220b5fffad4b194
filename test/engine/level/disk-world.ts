import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Engine } from '../../../src/contract/index.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { Disk, openOnDisk } from './subject.ts'

/** An engine on a folder of its own, on a disk that can be held. */
export class DiskWorld {
  readonly clock = new ManualClock()
  readonly disk = new Disk()
  readonly home: string
  folder: string
  engine!: Engine

  constructor(home: string) {
    this.home = home
    this.folder = join(home, 'store')
  }

  async start(): Promise<void> {
    const { clock, disk, folder } = this
    this.engine = await openOnDisk({ folder, clock, disk })
    await this.engine.flushed()
  }

  /** What a process that is killed now would leave. */
  async leaveAt(path: string): Promise<void> {
    const filter = (file: string) => basename(file) !== 'LOCK'
    await cp(this.folder, path, { recursive: true, filter })
  }
}

/** @param World what kind of it. Removed with the test. */
export async function makeWorld<World extends DiskWorld>(
  t: TestContext,
  World: new (home: string) => World,
): Promise<World> {
  const world = new World(await mkdtemp(join(tmpdir(), 'pike-level-')))
  await world.start()
  t.after(async () => {
    await world.engine.close()
    await rm(world.home, { recursive: true, force: true })
  })
  return world
}
