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

/** Retry advice where as many broadcasts as may be are running: one may be done by then. */
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
    const retryAfterMs = this.#quotas.command(request.app, this.#clock.nowMs(), request.patient)
    try {
      if (retryAfterMs > 0) {
        return (await this.#earlier(request)) ?? { kind: 'limited', retryAfterMs }
      }
      return this.#begun(request.app, await this.#make(request))
    } catch (error) {
      // Asked only of a key that stands for nothing: that of a repeated call is found before.
      if (error instanceof NobodyHasIt) return { kind: 'unknown-tag' }
      if (error instanceof StoreUnavailable) return { kind: 'unavailable', full: error.full }
      throw error
    }
  }

  /** A call that is repeated is the same broadcast, over the quota too (rule 28). */
  async #earlier({ app, idempotency }: BroadcastRequest): Promise<Broadcasted | undefined> {
    const asked = idempotency && (await this.#broadcasts.asked(app, idempotency))
    return asked && this.#begun(app, asked)
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

  #begun(app: AppId, made: BroadcastMade): Broadcasted {
    switch (made.kind) {
      case 'kept':
        this.#placing.add(made.broadcast)
        return { kind: 'accepted', broadcast: made.broadcast }
      case 'repeat': {
        const broadcast = this.#broadcasts.find(app, made.id)
        return broadcast === undefined
          ? { kind: 'forgotten', id: made.id }
          : { kind: 'accepted', broadcast }
      }
      case 'busy':
        return { ...made, retryAfterMs: busyRetryAfterMs }
      default:
        return made
    }
  }

  #make(request: BroadcastRequest): Promise<BroadcastMade> {
    const { app, tag, idempotency, patient: _patient, ...asked } = request
    const createdAtMs = this.#clock.nowMs()
    return this.#broadcasts.create(
      { app, id: broadcastId(createdAtMs), tag, createdAtMs, ...asked },
      somebody(this.#names.snapshot(app, tag)),
      {
        maxDevices: this.#limits.broadcastMaxDevices,
        maxKept: this.#limits.broadcastsMaxKept,
        idempotency,
      },
    )
  }
}

/** Thrown into the making of a broadcast, which leaves nothing of it; never seen outside. */
class NobodyHasIt extends Error {}

/**
 * The same members, but not nobody. Asked only while the broadcast is made, so that a repeated call
 * finds its broadcast even if the tag has gone.
 */
async function* somebody(
  members: AsyncIterable<readonly DeviceId[]>,
): AsyncGenerator<readonly DeviceId[]> {
  let any = false
  for await (const chunk of members) {
    if (chunk.length === 0) continue
    any = true
    yield chunk
  }
  if (!any) throw new NobodyHasIt()
}

const random = (): string => randomInt(36 ** 4, 36 ** 5).toString(36)

const broadcastId = (nowMs: number): BroadcastId => `b${nowMs.toString(36)}${random()}${random()}`
