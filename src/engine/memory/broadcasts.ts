import type {
  AppId,
  Asked,
  Broadcast,
  BroadcastId,
  BroadcastMade,
  BroadcastMembers,
  BroadcastPage,
  Broadcasts,
  CommandId,
  CreateBroadcast,
  DeviceId,
  EndStatus,
  IdempotencyKey,
  Limits,
  NewBroadcast,
} from '../../contract/index.ts'
import { StoreUnavailable, shareOfApp } from '../../contract/index.ts'
import type { Answers } from './answers.ts'
import type { Commits } from './commits.ts'
import type { Cast, MemoryDisk } from './disk.ts'
import { pageOf } from './pages.ts'

export class MemoryBroadcasts implements Broadcasts {
  readonly #disk: MemoryDisk
  readonly #commits: Commits
  readonly #answers: Answers
  readonly #limits: Limits

  constructor(disk: MemoryDisk, commits: Commits, answers: Answers, limits: Limits) {
    this.#disk = disk
    this.#commits = commits
    this.#answers = answers
    this.#limits = limits
  }

  async create(
    given: NewBroadcast,
    members: AsyncIterable<readonly DeviceId[]>,
    options: CreateBroadcast,
  ): Promise<BroadcastMade> {
    const broadcast = structuredClone(given)
    try {
      const earlier = await this.#commits.look(() =>
        this.#answers.find(broadcast.app, options.idempotency, 'broadcast'),
      )
      if (earlier !== undefined) return earlier
      const devices = new Set<DeviceId>()
      for await (const chunk of members) {
        for (const device of chunk) devices.add(device)
        if (devices.size > options.maxDevices) break
      }
      return await this.#commits.kept(() => this.#create(broadcast, devices, options))
    } catch (error) {
      if (error instanceof StoreUnavailable) return { kind: 'unavailable', full: error.full }
      throw error
    }
  }

  async asked(app: AppId, asked: IdempotencyKey): Promise<Asked | undefined> {
    const { refusal } = this.#commits
    if (refusal !== undefined) throw refusal
    return this.#commits.look(() => this.#answers.find(app, asked, 'broadcast'))
  }

  find(app: AppId, id: BroadcastId): Broadcast | undefined {
    const cast = this.#disk.broadcasts.get(app)?.get(id)
    return cast && reportOf(cast)
  }

  list(
    app: AppId,
    { after, limit }: { readonly after?: BroadcastId; readonly limit: number },
  ): BroadcastPage {
    const all = [...(this.#disk.broadcasts.get(app)?.values() ?? [])].map(reportOf)
    all.sort(newestFirst)
    const from = after === undefined ? 0 : placeAfter(all, after)
    const items = all.slice(from, from + limit)
    const more = from + items.length < all.length
    return { items, next: more ? items.at(-1)?.id : undefined }
  }

  running(): readonly Broadcast[] {
    const casts = [...this.#disk.broadcasts.values()].flatMap((ofApp) => [...ofApp.values()])
    const running = casts.filter(({ state }) => state === 'running').map(reportOf)
    return running.sort((a, b) => newestFirst(b, a))
  }

  async waiting(app: AppId, id: BroadcastId, max: number): Promise<readonly DeviceId[]> {
    return this.#commits.look(() => {
      const cast = this.#disk.broadcasts.get(app)?.get(id)
      if (cast?.state !== 'running') return []
      const waiting = [...cast.members].filter(([, command]) => command === undefined)
      return waiting.slice(0, max).map(([device]) => device)
    })
  }

  stop(app: AppId, id: BroadcastId, why: string): Promise<Broadcast | undefined> {
    return this.#commits.kept(() => {
      const cast = this.#disk.broadcasts.get(app)?.get(id)
      if (cast?.state === 'running') {
        cast.state = 'stopped'
        cast.why = why
      }
      return cast && reportOf(cast)
    })
  }

  async members(
    app: AppId,
    id: BroadcastId,
    query: { readonly after?: DeviceId; readonly limit: number },
  ): Promise<BroadcastMembers> {
    return this.#commits.look(() => {
      const members = [...(this.#disk.broadcasts.get(app)?.get(id)?.members ?? [])]
      const items = members.map(([device, command]) =>
        command === undefined ? { device } : { device, command },
      )
      return pageOf(items, ({ device }) => device, query)
    })
  }

  purge(beforeMs: number, app?: AppId): Promise<number> {
    return this.#commits.kept(() => {
      let count = 0
      for (const [of, casts] of this.#disk.broadcasts) {
        if (app !== undefined && of !== app) continue
        for (const [id, { made, state }] of casts) {
          const old = made.createdAtMs < beforeMs && state !== 'running'
          if (app !== undefined || old) {
            casts.delete(id)
            count += 1
          }
        }
      }
      return count
    })
  }

  #create(
    made: NewBroadcast,
    devices: ReadonlySet<DeviceId>,
    options: CreateBroadcast,
  ): BroadcastMade {
    const { app } = made
    const earlier = this.#answers.find(app, options.idempotency, 'broadcast')
    if (earlier !== undefined) return earlier
    if (devices.size > options.maxDevices) return { kind: 'too-many', max: options.maxDevices }
    const max = this.#limits.broadcastsMaxRunning
    const share = shareOfApp(max)
    const running = this.running()
    const ofApp = running.filter((other) => other.app === app)
    if (ofApp.length >= share) return { kind: 'busy', max: share }
    if (running.length >= max) return { kind: 'busy', max }
    const casts = this.#disk.broadcasts.get(app) ?? new Map<BroadcastId, Cast>()
    if (casts.size >= options.maxKept) {
      const oldest = [...casts.values()]
        .filter(({ state }) => state !== 'running')
        .map(reportOf)
        .sort(newestFirst)
        .at(-1)
      if (oldest === undefined) return { kind: 'busy', max: options.maxKept }
      casts.delete(oldest.id)
    }
    const cast: Cast = {
      made,
      state: devices.size === 0 ? 'placed' : 'running',
      why: undefined,
      members: new Map([...devices].sort().map((device) => [device, undefined])),
      waiting: devices.size,
      open: 0,
      ended: new Map(),
    }
    this.#disk.broadcasts.set(app, casts.set(made.id, cast))
    this.#answers.keep(app, options.idempotency, made.id)
    return { kind: 'kept', broadcast: reportOf(cast) }
  }
}

/** The members of a broadcast that is known. */
export const membersOf = (disk: MemoryDisk, app: AppId, id: BroadcastId) =>
  disk.broadcasts.get(app)?.get(id)?.members

/** Part of a commit: a member has its command. */
export function placed(
  disk: MemoryDisk,
  app: AppId,
  id: BroadcastId,
  device: DeviceId,
  command: CommandId,
): void {
  const cast = disk.broadcasts.get(app)!.get(id)!
  cast.members.set(device, command)
  cast.waiting -= 1
  cast.open += 1
  if (cast.waiting === 0 && cast.state === 'running') cast.state = 'placed'
}

/** Part of a commit: a command of a member has ended. */
export function ended(disk: MemoryDisk, app: AppId, id: BroadcastId, status: EndStatus): void {
  const cast = disk.broadcasts.get(app)?.get(id)
  if (cast === undefined) return
  cast.open -= 1
  cast.ended.set(status, (cast.ended.get(status) ?? 0) + 1)
}

const reportOf = (cast: Cast): Broadcast => ({
  ...cast.made,
  state: cast.state,
  ...(cast.why === undefined ? {} : { why: cast.why }),
  devices: cast.members.size,
  waiting: cast.waiting,
  open: cast.open,
  ended: Object.fromEntries(cast.ended),
})

const newestFirst = (a: Broadcast, b: Broadcast): number =>
  b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1)

/** Ids sort by time, so one that went meanwhile still says where it stood. */
function placeAfter(newestFirst: readonly Broadcast[], after: BroadcastId): number {
  const last = newestFirst.findIndex(({ id }) => id === after)
  if (last >= 0) return last + 1
  const older = newestFirst.findIndex(({ id }) => id < after)
  return older < 0 ? newestFirst.length : older
}
