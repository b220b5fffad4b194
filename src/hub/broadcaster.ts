import { randomInt } from 'node:crypto'
import type {
  AppId,
  Broadcast,
  Broadcasted,
  BroadcastId,
  BroadcastMade,
  BroadcastRequest,
  Broadcasts,
  Clock,
  DeviceId,
  Limits,
  Names,
} from '../contract/index.ts'
import { StoreUnavailable } from '../contract/index.ts'
import type { Placement } from './placement.ts'
import { Placing } from './placing.ts'
import type { Quotas } from './quotas.ts'

/** Retry advice where as many broadcasts as may be are running. */
const busyRetryAfterMs = 5_000

/** What the broadcaster needs of the hub. */
export interface Canceling {
  cancel(app: AppId, id: string): Promise<{ readonly kind: string }>
  log(event: string, fields: Record<string, unknown>): void
}

/** Commands canceled side by side. */
const cancelMax = 256

/**
 * One command for every device of a tag: keeps who they are, then places one command each at its
 * own pace, through any number of restarts (rule 27).
 */
export class Broadcaster {
  readonly #broadcasts: Broadcasts
  readonly #names: Names
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #quotas: Quotas
  readonly #hub: Canceling
  readonly #placing: Placing
  /** Being kept at this moment: they will run. */
  #making = 0

  constructor(
    broadcasts: Broadcasts,
    names: Names,
    placement: Placement,
    clock: Clock,
    limits: Limits,
    quotas: Quotas,
    hub: Canceling,
  ) {
    this.#broadcasts = broadcasts
    this.#names = names
    this.#clock = clock
    this.#limits = limits
    this.#quotas = quotas
    this.#hub = hub
    this.#placing = new Placing(broadcasts, placement, clock, limits, quotas, (event, fields) =>
      hub.log(event, fields),
    )
  }

  get running(): number {
    return this.#placing.running
  }

  get placed(): number {
    return this.#placing.placed
  }

  /** Go on with those that run: at start, and whenever the store is back. */
  resume(): void {
    this.#placing.resume()
  }

  /** Place no more; what is on its way arrives or is found again after the next start. */
  halt(): void {
    this.#placing.halt()
  }

  async begin(request: BroadcastRequest): Promise<Broadcasted> {
    const max = this.#limits.broadcastsMaxRunning
    if (this.running + this.#making >= max) {
      return { kind: 'busy', max, retryAfterMs: busyRetryAfterMs }
    }
    const retryAfterMs = this.#quotas.command(request.app, this.#clock.nowMs())
    if (retryAfterMs > 0) return { kind: 'limited', retryAfterMs }
    this.#making++
    try {
      return this.#begun(request, await this.#make(request))
    } catch (error) {
      if (error instanceof StoreUnavailable) return { kind: 'unavailable', full: error.full }
      throw error
    } finally {
      this.#making--
    }
  }

  /**
   * Place no more, then cancel what was certainly never sent.
   * @throws StoreUnavailable, as a rejection; repeating it goes on where it stopped
   */
  async stop(app: AppId, id: BroadcastId): Promise<Broadcast | undefined> {
    const stopped = await this.#placing.stop(app, id, 'stopped by a back end')
    if (stopped === undefined) return undefined
    let after: DeviceId | undefined
    do {
      const page = await this.#broadcasts.members(app, id, { after, limit: cancelMax })
      await Promise.all(page.items.map(({ command }) => this.#cancel(app, command)))
      after = page.next
    } while (after !== undefined)
    return this.#broadcasts.find(app, id) ?? stopped
  }

  async #cancel(app: AppId, command: string | undefined): Promise<void> {
    if (command === undefined) return
    const { kind } = await this.#hub.cancel(app, command)
    if (kind === 'unavailable') throw new StoreUnavailable(false)
  }

  #begun({ app }: BroadcastRequest, made: BroadcastMade | undefined): Broadcasted {
    if (made === undefined) return { kind: 'unknown-tag' }
    switch (made.kind) {
      case 'kept':
        this.#placing.add(made.broadcast)
        return { kind: 'accepted', broadcast: made.broadcast }
      case 'repeat': {
        const broadcast = this.#broadcasts.find(app, made.id)
        return broadcast === undefined
          ? { kind: 'unavailable', full: false }
          : { kind: 'accepted', broadcast }
      }
      case 'busy':
        return { ...made, retryAfterMs: busyRetryAfterMs }
      default:
        return made
    }
  }

  /** undefined: no device has the tag. */
  async #make(request: BroadcastRequest): Promise<BroadcastMade | undefined> {
    const { app, tag, idempotency, ...asked } = request
    const chunks = this.#names.snapshot(app, tag)[Symbol.asyncIterator]()
    try {
      let first = await chunks.next()
      while (first.done !== true && first.value.length === 0) first = await chunks.next()
      if (first.done === true) return undefined
      const createdAtMs = this.#clock.nowMs()
      const id = broadcastId(createdAtMs)
      return await this.#broadcasts.create(
        { app, id, tag, createdAtMs, ...asked },
        from(first.value, chunks),
        {
          maxDevices: this.#limits.broadcastMaxDevices,
          maxKept: this.#limits.broadcastsMaxKept,
          idempotency,
        },
      )
    } finally {
      await chunks.return?.() // not all of it is always read
    }
  }
}

async function* from<T>(first: T, rest: AsyncIterator<T>): AsyncGenerator<T> {
  yield first
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}

const broadcastId = (nowMs: number): BroadcastId =>
  `b${nowMs.toString(36)}${randomInt(36 ** 4, 36 ** 5).toString(36)}${randomInt(36 ** 4, 36 ** 5).toString(36)}`
