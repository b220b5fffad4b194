import type {
  AppId,
  ChannelName,
  Clock,
  ConnectionRecord,
  DeviceId,
  Limits,
  LinkId,
  Reason,
  Recorder,
  Seen,
  Trace,
  TraceEntry,
  TraceQuery,
  Traces,
  Trail,
} from '../../contract/index.ts'
import { Connection, Track } from './known.ts'
import { Ring, type Way } from './ring.ts'

/** Of the whole, what is for those who have not proved themselves. */
const strangersShare = 1 / 16
/** Entries of one connection before anybody has proved to be there: more tell nothing. */
const strangerEntriesMax = 16

/** Devices of one connection that are remembered. */
const devicesMax = 64

const wayIn = 0
const wayOut = 1
const state = 2

/**
 * The flight recorder: writes what happened into a ring, decodes it when somebody asks.
 *
 *     connect ▶ trail ──────────── frame, note ─────────▶ ring of strangers
 *                 ╰─ as(device) ─▶ frame, note ─────────▶ ring ◀── device, channel: note
 */
export class FlightRecorder implements Recorder, Traces {
  readonly #clock: Clock
  readonly #ring: Ring
  readonly #strangers: Ring
  readonly on: boolean
  readonly #apps = new Map<AppId, Map<DeviceId, Track>>()
  readonly #connections = new Map<LinkId, Connection>()
  #lastId = 0
  /** Devices with something new, whose followers are told at the end of the turn. */
  readonly #fresh = new Set<Track>()
  #telling = false

  constructor(clock: Clock, limits: Pick<Limits, 'recorderMaxBytes' | 'recorderPayloadMaxBytes'>) {
    this.#clock = clock
    const { recorderMaxBytes, recorderPayloadMaxBytes } = limits
    const forStrangers = recorderMaxBytes * strangersShare
    this.#ring = new Ring(recorderMaxBytes - forStrangers, recorderPayloadMaxBytes, this)
    this.#strangers = new Ring(forStrangers, recorderPayloadMaxBytes, this)
    this.on = this.#ring.slots > 0 && this.#strangers.slots > 0
  }

  // Recorder: what adapters may ask.

  connect(token: LinkId, protocol: string, peer: string): Trail {
    if (!this.on) return new Nothing(token)
    const connection = new Connection(token, protocol, peer, this.#clock.nowMs())
    this.#connections.set(token, connection)
    return new ConnectionTrail(this, connection)
  }

  // What the hub notes of a device, whatever it is connected by.

  /** A change of state that belongs to no connection. */
  device(app: AppId, device: DeviceId, type: string, seen: Seen | undefined): void {
    if (this.on) this.write(this.trackOf(app, device), undefined, undefined, state, type, 0, seen)
  }

  // What trails ask.

  trackOf(app: AppId, device: DeviceId): Track {
    let ofApp = this.#apps.get(app)
    if (ofApp === undefined) {
      ofApp = new Map()
      this.#apps.set(app, ofApp)
    }
    let track = ofApp.get(device)
    if (track === undefined) {
      track = new Track(app, device)
      ofApp.set(device, track)
    }
    return track
  }

  write(
    track: Track,
    connection: Connection | undefined,
    channel: ChannelName | undefined,
    way: Way,
    type: string,
    bytes: number,
    seen: Seen | undefined,
  ): void {
    const nowMs = this.#clock.nowMs()
    if (connection !== undefined) connection.entries++
    track.entries++
    const id = ++this.#lastId
    track.last = this.#ring.write(id, nowMs, way, type, bytes, track, connection, channel, seen)
    if (track.followers !== undefined) this.#tell(track)
  }

  writeStranger(
    connection: Connection,
    way: Way,
    type: string,
    bytes: number,
    seen: Seen | undefined,
  ): void {
    if (connection.strangers >= strangerEntriesMax) return
    connection.strangers++
    connection.entries++
    const id = ++this.#lastId
    const nowMs = this.#clock.nowMs()
    this.#strangers.write(id, nowMs, way, type, bytes, undefined, connection, undefined, seen)
  }

  end(connection: Connection, reason: string): void {
    if (connection.reason !== undefined) return
    connection.endedAtMs = this.#clock.nowMs()
    connection.reason = reason
    const seen = { reason }
    for (const track of connection.tracks)
      this.write(this.listed(track), connection, undefined, state, 'closed', 0, seen)
    if (connection.tracks.length === 0) this.writeStranger(connection, state, 'closed', 0, seen)
    this.#release(connection)
  }

  /** It may have been forgotten meanwhile, and made anew. */
  listed(track: Track): Track {
    if (track.listed) return track
    return this.trackOf(track.app, track.device)
  }

  // What the rings tell.

  faded(track: Track | undefined, connection: Connection | undefined): void {
    if (track !== undefined && --track.entries === 0) this.#releaseTrack(track)
    if (connection === undefined) return
    connection.entries--
    this.#release(connection)
  }

  #releaseTrack(track: Track): void {
    if (track.entries > 0 || track.followers !== undefined || !track.listed) return
    const ofApp = this.#apps.get(track.app)
    if (ofApp?.get(track.device) !== track) return
    track.listed = false
    ofApp.delete(track.device)
    if (ofApp.size === 0) this.#apps.delete(track.app)
  }

  #release(connection: Connection): void {
    if (connection.reason === undefined || connection.entries > 0) return
    if (this.#connections.get(connection.token) === connection)
      this.#connections.delete(connection.token)
  }

  // Traces: what back ends may ask.

  trace(app: AppId, device: DeviceId, query: TraceQuery): Trace {
    const ring = this.#ring
    const { limit, connection, sinceMs = 0 } = query
    // Numbers of another start lie ahead of ours: whoever has one is shown all.
    const after = query.after === undefined || query.after > this.#lastId ? 0 : query.after
    const goesOn = query.after !== undefined || query.sinceMs !== undefined
    const places: number[] = []
    let place = this.#apps.get(app)?.get(device)?.last ?? 0
    for (; ring.has(place); place = ring.before(place)) {
      if (ring.idAt(place) <= after || ring.atMs(place) < sinceMs) break
      if (connection !== undefined && ring.connectionAt(place)?.token !== connection) continue
      places.push(place)
      if (!goesOn && places.length === limit) break
    }
    const chosen = goesOn ? places.slice(-limit) : places.slice(0, limit)
    const items = chosen.reverse().map((one) => ring.read(one))
    const caughtUp = !goesOn || places.length <= limit
    const { oldest } = ring
    return {
      items,
      next: caughtUp ? this.#lastId : items.at(-1)!.id,
      caughtUp,
      ringFromMs: oldest === 0 ? undefined : ring.atMs(oldest),
    }
  }

  follow(app: AppId, device: DeviceId, heard: () => void): () => void {
    if (!this.on) return () => {}
    const track = this.trackOf(app, device)
    track.followers ??= new Set()
    track.followers.add(heard)
    return () => {
      track.followers?.delete(heard)
      if (track.followers?.size !== 0) return
      track.followers = undefined
      this.#releaseTrack(track)
    }
  }

  connection(app: AppId, token: LinkId, limit: number): ConnectionRecord | undefined {
    // Of several links over one connection each has its token with a number behind it.
    const one = this.#connections.get(token) ?? this.#connections.get(token.split('.')[0]!)
    const tracks = one?.tracks.filter((track) => track.app === app) ?? []
    if (one === undefined || tracks.length === 0) return undefined
    const entries: TraceEntry[] = []
    // What came before anybody had proved to be there is shown to whoever was there alone.
    if (tracks.length === one.tracks.length) entries.push(...this.#strangersOf(one))
    for (const { device } of tracks)
      entries.push(...this.trace(app, device, { connection: one.token, limit }).items)
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

  figures(): Readonly<Record<string, number>> {
    const { oldest } = this.#ring
    return {
      recorder_entries_total: this.#ring.written + this.#strangers.written,
      recorder_connections: this.#connections.size,
      recorder_reach_seconds:
        oldest === 0 ? 0 : (this.#clock.nowMs() - this.#ring.atMs(oldest)) / 1000,
    }
  }

  #strangersOf(connection: Connection): readonly TraceEntry[] {
    const found: TraceEntry[] = []
    if (connection.strangers === 0) return found
    const ring = this.#strangers
    for (let place = ring.oldest; place > 0 && place <= ring.newest; place++)
      if (ring.connectionAt(place) === connection) found.push(ring.read(place))
    return found
  }

  #tell(track: Track): void {
    this.#fresh.add(track)
    if (this.#telling) return
    this.#telling = true
    queueMicrotask(this.#told)
  }

  readonly #told = (): void => {
    this.#telling = false
    const fresh = [...this.#fresh]
    this.#fresh.clear()
    for (const track of fresh) for (const heard of [...(track.followers ?? [])]) heard()
  }
}

/** A connection on which nobody has proved to be anybody, or that is of many. */
class ConnectionTrail implements Trail {
  readonly #recorder: FlightRecorder
  readonly #connection: Connection

  constructor(recorder: FlightRecorder, connection: Connection) {
    this.#recorder = recorder
    this.#connection = connection
  }

  get token(): LinkId {
    return this.#connection.token
  }

  as(app: AppId, device: DeviceId, channel?: ChannelName): Trail {
    return deviceTrail(this.#recorder, this.#connection, app, device, channel)
  }

  frame(way: 'in' | 'out', type: string, bytes: number, seen?: Seen): void {
    const where = way === 'in' ? wayIn : wayOut
    this.#recorder.writeStranger(this.#connection, where, type, bytes, seen)
  }

  note(type: string, seen?: Seen): void {
    this.#recorder.writeStranger(this.#connection, state, type, 0, seen)
  }

  end(reason: Reason | 'lost'): void {
    this.#recorder.end(this.#connection, reason)
  }
}

class DeviceTrail implements Trail {
  readonly #recorder: FlightRecorder
  readonly #connection: Connection
  #track: Track
  readonly #channel: ChannelName | undefined

  constructor(
    recorder: FlightRecorder,
    connection: Connection,
    track: Track,
    channel: ChannelName | undefined,
  ) {
    this.#recorder = recorder
    this.#connection = connection
    this.#track = track
    this.#channel = channel
  }

  get token(): LinkId {
    return this.#connection.token
  }

  as(app: AppId, device: DeviceId, channel?: ChannelName): Trail {
    return deviceTrail(this.#recorder, this.#connection, app, device, channel)
  }

  frame(way: 'in' | 'out', type: string, bytes: number, seen?: Seen): void {
    if (!this.#track.listed) this.#track = this.#recorder.listed(this.#track)
    const where = way === 'in' ? wayIn : wayOut
    this.#recorder.write(this.#track, this.#connection, this.#channel, where, type, bytes, seen)
  }

  note(type: string, seen?: Seen): void {
    if (!this.#track.listed) this.#track = this.#recorder.listed(this.#track)
    this.#recorder.write(this.#track, this.#connection, this.#channel, state, type, 0, seen)
  }

  end(reason: Reason | 'lost'): void {
    this.#recorder.end(this.#connection, reason)
  }
}

function deviceTrail(
  recorder: FlightRecorder,
  connection: Connection,
  app: AppId,
  device: DeviceId,
  channel: ChannelName | undefined,
): Trail {
  const track = recorder.trackOf(app, device)
  const known = connection.tracks.some((one) => one.app === app && one.device === device)
  // Who came and went on it long ago makes room.
  if (!known) connection.tracks = connection.tracks.slice(1 - devicesMax).concat(track)
  return new DeviceTrail(recorder, connection, track, channel)
}

/** What adapters are given while nothing is recorded. */
class Nothing implements Trail {
  readonly token: LinkId

  constructor(token: LinkId) {
    this.token = token
  }

  as(): Trail {
    return this
  }

  frame(): void {}
  note(): void {}
  end(): void {}
}
