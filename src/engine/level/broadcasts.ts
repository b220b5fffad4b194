import type {
  AppId,
  Asked,
  Broadcast,
  BroadcastId,
  BroadcastMade,
  BroadcastMembers,
  BroadcastPage,
  Broadcasts,
  CreateBroadcast,
  DeviceId,
  IdempotencyKey,
  Limits,
  NewBroadcast,
} from '../../contract/index.ts'
import { StoreUnavailable, shareOfApp } from '../../contract/index.ts'
import type { Standing } from './broadcast-record.ts'
import { decodeBroadcast, decodeStanding } from './broadcast-record.ts'
import { begun, type Cast, type Casts } from './casts.ts'
import type { Database } from './database.ts'
import type { Idempotency } from './idempotency.ts'
import { broadcastKey, castKey, forgottenKey, memberKey, membersOf, nameAtEnd } from './keys.ts'
import type { Refused, Status } from './status.ts'

/** Members read from the store in one step. */
const readStep = 256

interface Parts {
  readonly database: Database
  readonly status: Status
  readonly casts: Casts
  readonly idempotency: Idempotency
  readonly limits: Limits
  /** Why nothing new can be kept at the moment. */
  readonly refused: () => Refused | undefined
  readonly surprised: (error: unknown) => void
}

/**
 * The port: making broadcasts, and what is asked of them. What their commands do to them is in casts.ts.
 *
 *     u/… "not made yet" ──▶ members, chunk by chunk ──▶ b/… and v/…, u/… gone: it is made
 *
 * So what a crash leaves under an u/… is members of nobody, which the next start clears.
 */
export class LevelBroadcasts implements Broadcasts {
  readonly #parts: Parts
  /** Those that are being made, by app and key: who comes with the same key waits for the first. */
  readonly #making = new Map<string, Promise<unknown>>()
  /** Their apps. */
  readonly #makingOf: AppId[] = []

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async create(
    broadcast: NewBroadcast,
    members: AsyncIterable<readonly DeviceId[]>,
    options: CreateBroadcast,
  ): Promise<BroadcastMade> {
    const made = copyOf(broadcast)
    if (options.idempotency === undefined) return this.#create(made, members, options)
    const key = `${made.app}/${options.idempotency.key}`
    for (let first = this.#making.get(key); first !== undefined; first = this.#making.get(key)) {
      await first
    }
    const making = this.#create(made, members, options)
    this.#making.set(
      key,
      making.then(
        () => this.#making.delete(key),
        () => this.#making.delete(key),
      ),
    )
    return making
  }

  async asked(app: AppId, asked: IdempotencyKey): Promise<Asked | undefined> {
    const { database, idempotency, status } = this.#parts
    if (!status.ready) throw status.unavailable()
    const answer = idempotency.answer(app, asked, 'broadcast')
    if (answer !== undefined && !(await database.kept())) throw status.unavailable()
    return answer
  }

  find(app: AppId, id: BroadcastId): Broadcast | undefined {
    const cast = this.#parts.casts.get(app, id)
    return cast && this.#report(cast)
  }

  list(
    app: AppId,
    { after, limit }: { readonly after?: BroadcastId; readonly limit: number },
  ): BroadcastPage {
    const kept = this.#parts.casts.ofApp(app).filter(({ durable }) => durable !== undefined)
    const all = kept.sort(newestFirst)
    const from = after === undefined ? 0 : placeAfter(all, after)
    const items = this.#reports(all.slice(from, from + limit))
    const more = from + items.length < all.length
    return { items, next: more ? items.at(-1)?.id : undefined }
  }

  running(): readonly Broadcast[] {
    const reports = this.#reports([...this.#parts.casts.running])
    return reports.sort((a, b) => newestFirst(b, a))
  }

  async waiting(app: AppId, id: BroadcastId, max: number): Promise<readonly DeviceId[]> {
    const { status, casts } = this.#parts
    const cast = casts.get(app, id)
    if (!status.ready) throw status.unavailable()
    if (cast?.state !== 'running') return []
    return status.reading(() => this.#waiting(cast, max))
  }

  async stop(app: AppId, id: BroadcastId, why: string): Promise<Broadcast | undefined> {
    const { database, status, casts } = this.#parts
    if (!status.ready) throw status.unavailable()
    const cast = casts.get(app, id)
    if (cast?.state === 'running') {
      cast.state = 'stopped'
      cast.why = why
      casts.touch(cast)
    }
    if (!(await database.kept())) throw status.unavailable()
    return this.find(app, id) // it may have gone meanwhile
  }

  async members(
    app: AppId,
    id: BroadcastId,
    { after = '', limit }: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<BroadcastMembers> {
    const { database, status, casts } = this.#parts
    return status.reading(async () => {
      if (casts.get(app, id)?.durable === undefined) return { items: [], next: undefined }
      const range = { gt: memberKey(app, id, after), lt: membersOf(app, id).lt, limit: limit + 1 }
      const entries = await database.store.iterator(range).all()
      const items = entries.slice(0, limit).map(([key, value]) => {
        const device = nameAtEnd(key)
        return value.length === 0 ? { device } : { device, command: value.toString() }
      })
      return { items, next: entries.length > limit ? items.at(-1)?.device : undefined }
    })
  }

  async purge(beforeMs: number, app?: AppId): Promise<number> {
    const { database, status, casts } = this.#parts
    if (!status.ready) throw status.unavailable()
    const old = (cast: Cast) =>
      cast.durable !== undefined &&
      (app === undefined
        ? cast.state !== 'running' && cast.createdAtMs < beforeMs
        : cast.app === app)
    const gone = casts.all().filter(old)
    for (const cast of gone) casts.remove(cast)
    if (!(await database.kept())) throw status.unavailable()
    for (const { app, id } of gone) await status.reading(() => this.#clear(app, id))
    return gone.length
  }

  async #create(
    made: NewBroadcast,
    members: AsyncIterable<readonly DeviceId[]>,
    options: CreateBroadcast,
  ): Promise<BroadcastMade> {
    const earlier = this.#earlier(made.app, options)
    if (earlier !== undefined) return this.#kept(earlier)
    const refused = this.#parts.refused() ?? this.#busy(made.app, options)
    if (refused !== undefined) return refused
    this.#makingOf.push(made.app)
    try {
      const devices = await this.#keepMembers(made, members, options.maxDevices)
      if (typeof devices !== 'number') return devices
      // A command may have come with the same key meanwhile.
      const other = this.#earlier(made.app, options)
      if (other !== undefined) this.#clearLater(made.app, made.id)
      return await (other === undefined ? this.#finish(made, devices, options) : this.#kept(other))
    } catch (error) {
      this.#clearLater(made.app, made.id)
      if (error instanceof StoreUnavailable) return { kind: 'unavailable', full: error.full }
      throw error
    } finally {
      this.#makingOf.splice(this.#makingOf.indexOf(made.app), 1)
    }
  }

  #earlier(app: AppId, { idempotency }: CreateBroadcast): BroadcastMade | undefined {
    return idempotency && this.#parts.idempotency.answer(app, idempotency, 'broadcast')
  }

  #busy(app: AppId, { maxKept }: CreateBroadcast): BroadcastMade | undefined {
    const { casts, limits } = this.#parts
    const max = limits.broadcastsMaxRunning
    const share = shareOfApp(max)
    const kept = casts.ofApp(app)
    const running = kept.filter(({ state }) => state === 'running')
    const making = this.#makingOf.filter((other) => other === app)
    if (running.length + making.length >= share) return { kind: 'busy', max: share }
    if (casts.running.size + this.#makingOf.length >= max) return { kind: 'busy', max }
    const noneCanGo = kept.length >= maxKept && kept.length === running.length
    return noneCanGo ? { kind: 'busy', max: maxKept } : undefined
  }

  /** @returns how many they are, or why not. */
  async #keepMembers(
    { app, id }: NewBroadcast,
    members: AsyncIterable<readonly DeviceId[]>,
    max: number,
  ): Promise<number | BroadcastMade> {
    const { database, casts } = this.#parts
    const { life } = casts
    const devices = new Set<DeviceId>()
    database.put(forgottenKey(app, id), '')
    for await (const chunk of members) {
      // What was kept of it was cleared when the store came back.
      if (casts.life !== life) return this.#unavailable()
      for (const device of chunk) {
        devices.add(device)
        if (devices.size > max) break
        database.put(memberKey(app, id, device), '')
      }
      if (devices.size > max) {
        this.#clearLater(app, id)
        return { kind: 'too-many', max }
      }
      if (!(await database.kept())) return this.#unavailable()
    }
    return casts.life === life ? devices.size : this.#unavailable()
  }

  async #finish(
    made: NewBroadcast,
    devices: number,
    { maxKept, idempotency }: CreateBroadcast,
  ): Promise<BroadcastMade> {
    const { casts } = this.#parts
    const { app, id } = made
    const kept = casts.ofApp(app)
    const over = kept.length + 1 - maxKept
    const gone = kept
      .filter(({ state }) => state !== 'running')
      .sort((a, b) => newestFirst(b, a))
      .slice(0, Math.max(0, over))
    for (const cast of gone) casts.remove(cast)
    casts.add(made, devices)
    if (idempotency !== undefined) {
      this.#parts.idempotency.keep(app, idempotency.key, idempotency.hash, id)
    }
    if (!(await this.#parts.database.kept())) return this.#unavailable()
    for (const other of gone) this.#clearLater(other.app, other.id)
    return { kind: 'kept', broadcast: reportOf(made, begun(devices)) }
  }

  async #kept(answer: BroadcastMade): Promise<BroadcastMade> {
    return (await this.#parts.database.kept()) ? answer : this.#unavailable()
  }

  #unavailable(): BroadcastMade {
    return { kind: 'unavailable', full: this.#parts.status.full }
  }

  /** Those behind the cursor that have no command, which goes forward over those that have. */
  async #waiting(cast: Cast, max: number): Promise<readonly DeviceId[]> {
    const { database, casts } = this.#parts
    const { app, id } = cast
    const range = { gt: memberKey(app, id, cast.cursor), lt: membersOf(app, id).lt }
    const iterator = database.store.iterator(range)
    const found: DeviceId[] = []
    let { cursor } = cast
    let allPlaced = true
    try {
      while (found.length < max) {
        const entries = await iterator.nextv(readStep)
        if (entries.length === 0) break
        for (const [key, value] of entries) {
          const isPlaced = value.length > 0
          allPlaced &&= isPlaced
          if (allPlaced) cursor = nameAtEnd(key)
          if (isPlaced || found.length === max || casts.isPlacing(key)) continue
          found.push(nameAtEnd(key))
        }
      }
    } finally {
      await iterator.close()
    }
    if (cursor > cast.cursor) cast.cursor = cursor
    return cast.state === 'running' ? found : []
  }

  /** Made for who asks. */
  #report(cast: Cast): Broadcast | undefined {
    const { app, id, durable } = cast
    if (durable === undefined) return undefined
    const held = durable === 'stored' ? decodeStanding(this.#stored(castKey(app, id))) : durable
    const made = cast.made ?? decodeBroadcast(this.#stored(broadcastKey(app, id)))
    return reportOf(made, held)
  }

  #reports(casts: readonly Cast[]): Broadcast[] {
    return casts.map((cast) => this.#report(cast)).filter((report) => report !== undefined)
  }

  #stored(key: string): Buffer {
    const { database, status } = this.#parts
    try {
      const record = database.store.getSync(key)
      if (record === undefined) throw new RangeError(`${key} is not in the store`)
      return record
    } catch (error) {
      throw status.unavailable(error)
    }
  }

  #clearLater(app: AppId, id: BroadcastId): void {
    const { status, surprised } = this.#parts
    this.#clear(app, id).catch((error) => {
      // The next start clears it.
      if (status.ready) surprised(error)
    })
  }

  /** The members of one that is not there any more, or never was. */
  async #clear(app: AppId, id: BroadcastId): Promise<void> {
    const { database } = this.#parts
    if (!(await database.kept())) return
    await database.store.clear(membersOf(app, id))
    database.del(forgottenKey(app, id))
  }
}

function reportOf(made: NewBroadcast, standing: Standing): Broadcast {
  const { cursor: _cursor, why, ...rest } = standing
  return { ...made, ...rest, ...(why !== undefined && { why }) }
}

/** Held for long: its payload not as a view of a buffer that is larger, as those from the network are. */
const copyOf = (broadcast: NewBroadcast): NewBroadcast => ({
  ...broadcast,
  command: { ...broadcast.command, payload: Uint8Array.from(broadcast.command.payload) },
})

type Dated = Pick<NewBroadcast, 'createdAtMs' | 'id'>

const newestFirst = (a: Dated, b: Dated): number =>
  b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1)

/** Ids sort by time, so one that went meanwhile still says where it stood. */
function placeAfter(newestFirst: readonly Dated[], after: BroadcastId): number {
  const last = newestFirst.findIndex(({ id }) => id === after)
  if (last >= 0) return last + 1
  const older = newestFirst.findIndex(({ id }) => id < after)
  return older < 0 ? newestFirst.length : older
}
