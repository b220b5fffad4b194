import { randomUUID } from 'node:crypto'
import type { Clock, Engine, EngineState, Limits } from '../../contract/index.ts'
import { limits as defaultLimits } from '../../contract/index.ts'
import { Answers } from './answers.ts'
import { MemoryBroadcasts } from './broadcasts.ts'
import { MemoryBus } from './bus.ts'
import { Commits } from './commits.ts'
import { MemoryDirectory } from './directory.ts'
import type { MemoryDisk } from './disk.ts'
import { copyDisk, makeDisk, startOn } from './disk.ts'
import { MemoryEvents } from './events.ts'
import { MemoryMailbox } from './mailbox.ts'
import { MemoryNames } from './names.ts'
import { MemoryShelf } from './shelf.ts'

export type { MemoryDisk } from './disk.ts'
export { copyDisk, makeDisk } from './disk.ts'

export interface MemoryEngineOptions {
  readonly clock: Clock
  readonly limits?: Partial<Limits>
  /** What an engine before it left; without: an empty one, as on a first start. */
  readonly disk?: MemoryDisk
}

/** For tests, and to be read: the plainest engine that keeps the contract. */
export const openMemoryEngine = (options: MemoryEngineOptions): MemoryEngine =>
  new MemoryEngine(options)

/** Every port on Maps and arrays. Nothing outlives the process, save the disk a test holds. */
export class MemoryEngine implements Engine {
  readonly name = 'memory'
  readonly durability = 'nothing'
  readonly node: string
  readonly mailbox: MemoryMailbox
  readonly events: MemoryEvents
  readonly names: MemoryNames
  readonly broadcasts: MemoryBroadcasts
  readonly shelf: MemoryShelf
  readonly directory: MemoryDirectory
  readonly bus: MemoryBus
  /** After `close`, hand it to the next engine to see a restart. */
  readonly disk: MemoryDisk
  readonly #commits: Commits
  readonly #watchers: ((state: EngineState, detail: string) => void)[] = []
  #state: EngineState = 'ready'

  constructor({ clock, limits, disk = makeDisk() }: MemoryEngineOptions) {
    startOn(disk)
    this.disk = disk
    this.node = `memory-${randomUUID()}`
    this.#commits = new Commits(() => this.events.committed())
    this.events = new MemoryEvents(disk, this.#commits, (beforeMs) => this.mailbox.purge(beforeMs))
    const all = { ...defaultLimits, ...limits }
    const answers = new Answers(disk, clock, all)
    this.mailbox = new MemoryMailbox(disk, this.#commits, this.events, clock, all, answers)
    this.broadcasts = new MemoryBroadcasts(disk, this.#commits, answers, all)
    this.names = new MemoryNames(disk, this.#commits)
    this.shelf = new MemoryShelf(disk, this.#commits)
    this.directory = new MemoryDirectory(disk, this.node)
    this.bus = new MemoryBus(this.node)
  }

  get state(): EngineState {
    return this.#state
  }

  onState(changed: (state: EngineState, detail: string) => void): void {
    this.#watchers.push(changed)
  }

  flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#commits.keep(
        () => resolve,
        () => resolve(),
      )
    })
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    await this.flushed()
    this.disk.clean = this.#state === 'ready'
    this.#become('closed', 'closed in order')
    this.#commits.refuse('down')
  }

  figures(): Readonly<Record<string, number>> {
    return { commits_total: this.#commits.count }
  }

  /** For tests: the store breaks now. What is outstanding is refused, until {@link recover}. */
  fail(why: 'full' | 'down'): void {
    startOn(this.disk)
    this.mailbox.forget()
    this.#become(why, 'a test broke the store')
    this.#commits.refuse(why)
  }

  /** For tests: it comes back by itself. */
  recover(): void {
    this.#commits.accept()
    this.#become('ready', 'a test mended the store')
  }

  /**
   * For tests: the process is killed; nothing outstanding is kept nor answered.
   * @returns what the next process finds; what still calls this engine cannot touch it.
   */
  crash(): MemoryDisk {
    this.#commits.stop()
    this.#state = 'closed'
    return copyDisk(this.disk)
  }

  #become(state: EngineState, detail: string): void {
    this.#state = state
    for (const watcher of this.#watchers) watcher(state, detail)
  }
}
