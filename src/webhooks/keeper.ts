import type { Clock, Shelf, Timer } from '../contract/index.ts'
import { webhookBounds } from './bounds.ts'
import type { Pusher } from './pusher.ts'

interface KeeperPorts {
  readonly clock: Clock
  readonly shelf: Shelf
  readonly retryMs: number
  /** Those whose progress is kept. */
  pushers(): Iterable<Pusher>
  log(event: string, fields: object): void
}

/** Writes down how far all webhooks have come: together, one write at a time, once a second. */
export class Keeper {
  readonly #ports: KeeperPorts
  #writing: Promise<void> = Promise.resolve()
  #tick: Timer | undefined
  #isDown = false
  #stopped = false

  constructor(ports: KeeperPorts) {
    this.#ports = ports
  }

  start(): void {
    const { clock, pushers } = this.#ports
    this.#tick = clock.at(clock.nowMs() + webhookBounds.webhookProgressMs, 'webhooks', () => {
      this.start()
      for (const pusher of pushers()) pusher.patrol()
      this.write().catch((error: unknown) => this.#failed(error))
    })
  }

  /** Nothing is tried again from now on. */
  stop(): void {
    this.#stopped = true
    this.#tick?.cancel()
  }

  /** Everything, also where nothing was sent. Never rejects. */
  async last(): Promise<void> {
    await this.write(true).catch((error: unknown) => this.#failed(error))
  }

  /** What changed until now is durable when it resolves. @throws StoreUnavailable */
  write(all = false): Promise<void> {
    const turn = this.#writing.then(() => this.#writeNow(all))
    this.#writing = turn.catch(() => {})
    return turn
  }

  /** What is being written, is. Never rejects. */
  idle(): Promise<void> {
    return this.#writing
  }

  /** The store may be away for a while: it comes back, and so do we. */
  async insist(run: () => Promise<void>): Promise<void> {
    const { clock, retryMs } = this.#ports
    while (!this.#stopped) {
      try {
        return await run()
      } catch (error) {
        this.#failed(error)
        await new Promise<void>((resolve) =>
          clock.at(clock.nowMs() + retryMs, 'webhooks store', resolve),
        )
      }
    }
  }

  async #writeNow(all: boolean): Promise<void> {
    const { clock, shelf, pushers } = this.#ports
    const nowMs = clock.nowMs()
    const changed: Pusher[] = []
    const changes = [...pushers()].flatMap((pusher) => {
      const some = pusher.changes(nowMs, all)
      if (some.length > 0) changed.push(pusher)
      return some
    })
    if (changes.length === 0) return
    try {
      await shelf.write(changes)
    } catch (error) {
      for (const pusher of changed) pusher.ledger.failed()
      throw error
    }
    this.#isDown = false
    for (const pusher of changed) pusher.ledger.written()
    for (const pusher of changed) await pusher.trim()
  }

  /** Said once, until a write works again. */
  #failed(error: unknown): void {
    if (this.#isDown) return
    this.#isDown = true
    const why = error instanceof Error ? error.message : String(error)
    this.#ports.log('webhooks.store-failed', { why })
  }
}
