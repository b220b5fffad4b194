import type {
  AppId,
  BroadcastId,
  CommandId,
  DeviceId,
  EndStatus,
  NewBroadcast,
} from '../../contract/index.ts'
import { endStatuses } from '../../contract/index.ts'
import type { Standing } from './broadcast-record.ts'
import {
  decodeBroadcast,
  decodeStanding,
  encodeBroadcast,
  encodeStanding,
} from './broadcast-record.ts'
import type { Database, Part } from './database.ts'
import { broadcastKey, castKey, forgottenKey, memberKey, membersOf, under } from './keys.ts'
import { Pending } from './pending.ts'
import type { Store } from './store.ts'

/**
 * What is held of a broadcast. A thousand are kept for each app, and few of those that are over are
 * asked for: so what its members get is in the store alone once no more are placed, and how it went
 * once all have ended.
 */
export class Cast {
  readonly app: AppId
  readonly id: BroadcastId
  readonly createdAtMs: number
  /** While it is running. */
  made: NewBroadcast | undefined
  state: Standing['state']
  why: string | undefined
  devices: number
  waiting: number
  open: number
  ended: Partial<Record<EndStatus, number>>
  /** All members up to it are placed; looking for who waits begins there. */
  cursor: DeviceId
  /** How far it is by what is durable; undefined until it is itself. 'stored': nothing changes any more. */
  durable: Standing | 'stored' | undefined = undefined
  changed = false

  constructor(made: NewBroadcast, standing: Standing) {
    this.app = made.app
    this.id = made.id
    this.createdAtMs = made.createdAtMs
    this.state = standing.state
    this.made = standing.state === 'running' ? made : undefined
    this.why = standing.why
    this.devices = standing.devices
    this.waiting = standing.waiting
    this.open = standing.open
    this.ended = { ...standing.ended }
    this.cursor = standing.cursor
  }

  kept(standing: Standing): void {
    this.durable = standing
    if (standing.waiting > 0 || standing.open > 0) return
    this.durable = 'stored'
    this.ended = none
    this.cursor = ''
  }

  standing(): Standing {
    const { state, why, devices, waiting, open, cursor } = this
    const ended: Partial<Record<EndStatus, number>> = {}
    // Always in the same order: each order of names would be a class of its own to V8.
    for (const status of endStatuses) {
      const count = this.ended[status]
      if (count !== undefined) ended[status] = count
    }
    return { state, why, devices, waiting, open, ended, cursor }
  }
}

const none = Object.freeze({})

/** One that was just made, for so many. */
export const begun = (devices: number): Standing => ({
  state: devices === 0 ? 'placed' : 'running',
  ...{ devices, waiting: devices, open: 0, ended: {}, cursor: '' },
})

/**
 * All broadcasts, and their counters: one small record each, once a commit, in the batch of the
 * commands they count.
 *
 *     waiting ──placed──▶ open ──ended──▶ ended[status]
 */
export class Casts implements Part {
  readonly #database: Database
  #all = new Map<AppId, Map<BroadcastId, Cast>>()
  readonly #running = new Set<Cast>()
  /** Commands of members that are not durable yet, by key of the member. */
  readonly #placing = new Pending<CommandId>(() => {})
  #dirty: Cast[] = []
  #writing: Cast[] = []
  readonly #standings: Standing[] = []
  /** Grows whenever what is not durable is lost. */
  life = 0

  constructor(database: Database) {
    this.#database = database
  }

  get(app: AppId, id: BroadcastId): Cast | undefined {
    return this.#all.get(app)?.get(id)
  }

  ofApp(app: AppId): readonly Cast[] {
    return [...(this.#all.get(app)?.values() ?? [])]
  }

  all(): readonly Cast[] {
    return [...this.#all.keys()].flatMap((app) => this.ofApp(app))
  }

  get running(): ReadonlySet<Cast> {
    return this.#running
  }

  /** Part of a commit: one whose members are in the store, or in this commit. */
  add(made: NewBroadcast, devices: number): void {
    const { app, id } = made
    const cast = new Cast(made, begun(devices))
    this.#hold(cast)
    this.#database.put(broadcastKey(app, id), encodeBroadcast(made))
    this.#database.del(forgottenKey(app, id))
    this.touch(cast)
  }

  /** Part of a commit: only its members are still to be cleared, see `Members`. */
  remove(cast: Cast): void {
    const { app, id } = cast
    this.#all.get(app)?.delete(id)
    this.#running.delete(cast)
    this.#database.del(broadcastKey(app, id))
    this.#database.del(castKey(app, id))
    this.#database.put(forgottenKey(app, id), '')
  }

  /** Its record differs from what is kept. */
  touch(cast: Cast): void {
    if (cast.state !== 'running' && this.#running.delete(cast)) cast.made = undefined
    if (cast.changed) return
    cast.changed = true
    this.#dirty.push(cast)
    this.#database.changed()
  }

  /**
   * The command of a member, `''` while it has none; undefined: it is no member. Throws when the
   * store cannot be read.
   */
  member(app: AppId, id: BroadcastId, device: DeviceId): CommandId | undefined {
    if (this.get(app, id) === undefined) return undefined
    const key = memberKey(app, id, device)
    return this.#placing.get(key) ?? this.#database.store.getSync(key)?.toString()
  }

  /** Whether a member that the store says is waiting has its command by now. */
  isPlacing(key: string): boolean {
    return this.#placing.get(key) !== undefined
  }

  /** Part of the commit of the command of a member that had none. */
  placed(app: AppId, id: BroadcastId, device: DeviceId, command: CommandId): void {
    const cast = this.get(app, id)!
    const key = memberKey(app, id, device)
    this.#placing.set(key, command)
    this.#database.put(key, command)
    cast.waiting -= 1
    cast.open += 1
    if (cast.waiting === 0 && cast.state === 'running') cast.state = 'placed'
    this.touch(cast)
  }

  /** Part of the commit in which a command of it ends. */
  ended(app: AppId, id: BroadcastId, status: EndStatus): void {
    const cast = this.get(app, id)
    if (cast === undefined) return
    cast.open -= 1
    cast.ended[status] = (cast.ended[status] ?? 0) + 1
    this.touch(cast)
  }

  encode(): void {
    this.#placing.encode()
    this.#writing = this.#dirty
    this.#dirty = []
    this.#standings.length = 0
    for (const cast of this.#writing) {
      const { app, id } = cast
      const standing = cast.standing()
      cast.changed = false
      this.#standings.push(standing)
      // Removed since: what is put behind it would stay for ever.
      if (this.get(app, id) === cast) this.#database.put(castKey(app, id), encodeStanding(standing))
    }
  }

  synced(): void {
    this.#placing.synced()
    for (const [index, cast] of this.#writing.entries()) cast.kept(this.#standings[index]!)
    this.#writing = []
  }

  drop(): void {
    // What is held stays until the next load: who asks for it meanwhile is told what was durable.
    this.life += 1
    this.#running.clear()
    this.#placing.drop()
    this.#dirty = []
    this.#writing = []
  }

  async load(store: Store): Promise<void> {
    for (const key of await store.keys(under('u')).all()) {
      const [, app, id] = key.split('/') as [string, AppId, BroadcastId]
      await store.clear(membersOf(app, id))
      await store.del(key)
    }
    const standings = new Map<string, Standing>()
    for await (const [key, value] of store.iterator(under('v'))) {
      standings.set(key.slice(2), decodeStanding(value))
    }
    this.#all = new Map()
    this.#running.clear()
    for await (const [key, value] of store.iterator(under('b'))) {
      const standing = standings.get(key.slice(2))
      if (standing === undefined)
        throw new RangeError(`broadcast ${key} does not say how far it is`)
      const cast = new Cast(decodeBroadcast(value), standing)
      cast.kept(standing)
      this.#hold(cast)
    }
  }

  #hold(cast: Cast): void {
    const { app, id } = cast
    const ofApp = this.#all.get(app) ?? new Map<BroadcastId, Cast>()
    this.#all.set(app, ofApp.set(id, cast))
    if (cast.state === 'running') this.#running.add(cast)
  }
}
