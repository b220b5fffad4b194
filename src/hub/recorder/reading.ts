import type {
  AppId,
  ConnectionRecord,
  DeviceId,
  LinkId,
  Trace,
  TraceEntry,
  TraceQuery,
} from '../../contract/index.ts'
import type { Connection } from './known.ts'
import type { Register } from './register.ts'
import type { Ring } from './ring.ts'

/** What the rings have of one device, of one connection. */
export class Reading {
  readonly #ring: Ring
  readonly #strangers: Ring
  readonly #register: Register

  constructor(ring: Ring, strangers: Ring, register: Register) {
    this.#ring = ring
    this.#strangers = strangers
    this.#register = register
  }

  trace(app: AppId, device: DeviceId, query: TraceQuery, lastId: number): Trace {
    const ring = this.#ring
    const { limit, connection, sinceMs = 0 } = query
    // Numbers of another start lie ahead of ours: whoever has one is shown all.
    const after = query.after === undefined || query.after > lastId ? 0 : query.after
    const goesOn = query.after !== undefined || query.sinceMs !== undefined
    const places: number[] = []
    let place = this.#register.find(app, device)?.last ?? 0
    for (; ring.has(place); place = ring.before(place)) {
      if (ring.idAt(place) <= after || ring.atMs(place) < sinceMs) break
      if (connection !== undefined && ring.connectionAt(place)?.token !== connection) continue
      places.push(place)
      if (!goesOn && places.length === limit) break
    }
    const found = [
      ...places.map((one) => ({ ring, place: one })),
      ...(connection === undefined ? this.#strangersAt(app, device, after, sinceMs) : []),
    ]
    // Newest first, as they lie.
    if (found.length > places.length)
      found.sort((a, b) => b.ring.idAt(b.place) - a.ring.idAt(a.place))
    const chosen = goesOn ? found.slice(-limit) : found.slice(0, limit)
    const items = chosen.reverse().map((one) => one.ring.read(one.place))
    const caughtUp = !goesOn || found.length <= limit
    const { oldest } = ring
    return {
      items,
      next: caughtUp ? lastId : items.at(-1)!.id,
      caughtUp,
      ringFromMs: oldest === 0 ? undefined : ring.atMs(oldest),
    }
  }

  connection(
    app: AppId,
    token: LinkId,
    limit: number,
    lastId: number,
  ): ConnectionRecord | undefined {
    // Of several links over one connection each has its token with a number behind it.
    const one = this.#register.connection(token) ?? this.#register.connection(token.split('.')[0]!)
    const tracks = one?.tracks.filter((track) => track.app === app) ?? []
    if (one === undefined || tracks.length === 0) return undefined
    const entries: TraceEntry[] = []
    // What came before anybody had proved to be there is shown to whoever was there alone.
    if (tracks.length === one.tracks.length) entries.push(...this.#strangersOf(one))
    for (const { device } of tracks)
      entries.push(...this.trace(app, device, { connection: one.token, limit }, lastId).items)
    entries.sort((a, b) => a.id - b.id)
    return {
      token: one.token,
      protocol: one.protocol,
      peer: one.peer,
      sinceMs: one.sinceMs,
      ...(one.reason !== undefined && { endedAtMs: one.endedAtMs, reason: one.reason }),
      devices: tracks.map(({ device }) => device),
      entries: entries.slice(-limit),
    }
  }

  /** What those did who said to be this device and did not prove it, newest first. */
  #strangersAt(app: AppId, device: DeviceId, after: number, sinceMs: number) {
    const found: { readonly ring: Ring; readonly place: number }[] = []
    const ring = this.#strangers
    for (let place = ring.newest; ring.has(place); place--) {
      if (ring.idAt(place) <= after || ring.atMs(place) < sinceMs) break
      const track = ring.trackAt(place)
      if (track?.device === device && track.app === app) found.push({ ring, place })
    }
    return found
  }

  #strangersOf(connection: Connection): readonly TraceEntry[] {
    const found: TraceEntry[] = []
    if (connection.strangers === 0) return found
    const ring = this.#strangers
    for (let place = ring.oldest; place > 0 && place <= ring.newest; place++)
      if (ring.connectionAt(place) === connection) found.push(ring.read(place))
    return found
  }
}
