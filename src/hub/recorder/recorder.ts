import type {
  AppId,
  ChannelId,
  Clock,
  ConnectionRecord,
  DeviceId,
  Limits,
  LinkId,
  Recorder,
  Seen,
  Trace,
  TraceQuery,
  Traces,
  Trail,
} from '../../contract/index.ts'
import { Followers } from './followers.ts'
import { Connection, type DeviceOrigin, Origin, Track } from './known.ts'
import { Reading } from './reading.ts'
import { Register } from './register.ts'
import { Ring, state, type Way } from './ring.ts'
import { ConnectionTrail, Nothing, type Writer } from './trails.ts'

/** Of the whole, what is for those who have not proved themselves. */
const strangersShare = 1 / 16
/** Entries of one connection before anybody has proved to be there: more tell nothing. */
const strangerEntriesMax = 16
/** Each so many entries, so many devices are looked at: has one nothing left, it is forgotten. */
const sweepEntries = 256
const sweepDevices = 32

/**
 * The flight recorder: writes what happened into a ring, decodes it when somebody asks.
 *
 *     connect ▶ trail ──────────── frame, note ─────────▶ ring of strangers
 *                 ╰─ as(device) ─▶ frame, note ─────────▶ ring ◀── device, channel: what the hub notes
 *
 * To adapters it is the `Recorder`, to back ends the `Traces`. An entry is paid for by everybody's
 * throughput, so nothing is looked up, counted or made for it that was not there before.
 */
export class FlightRecorder implements Recorder, Traces, Writer {
  readonly on: boolean
  readonly register: Register
  readonly #clock: Clock
  readonly #ring: Ring
  readonly #strangers: Ring
  readonly #reading: Reading
  readonly #followers = new Followers()
  #lastId = 0

  constructor(clock: Clock, limits: Pick<Limits, 'recorderMaxBytes' | 'recorderPayloadMaxBytes'>) {
    this.#clock = clock
    const { recorderMaxBytes, recorderPayloadMaxBytes } = limits
    const forStrangers = recorderMaxBytes * strangersShare
    this.#ring = new Ring(recorderMaxBytes - forStrangers, recorderPayloadMaxBytes)
    this.#strangers = new Ring(forStrangers, recorderPayloadMaxBytes)
    this.on = this.#ring.slots > 0 && this.#strangers.slots > 0
    this.register = new Register(this.#ring, this.#strangers)
    this.#reading = new Reading(this.#ring, this.#strangers, this.register)
  }

  // Recorder: what adapters may ask.

  connect(token: LinkId, protocol: string, peer: string): Trail {
    if (!this.on) return new Nothing(token)
    const connection = new Connection(token, protocol, peer, this.nowMs())
    this.register.add(connection)
    return new ConnectionTrail(this, connection)
  }

  // What the hub notes of a device, whatever it is connected by.

  /** A change of state that belongs to no connection. */
  device(app: AppId, device: DeviceId, type: string, seen: Seen | undefined): void {
    if (!this.on) return
    const origin = this.register.device(app, device, seen?.channel)
    this.write(origin, this.nowMs(), state, type, 0, seen)
  }

  refused(app: AppId, device: DeviceId, seen: Seen): void {
    this.device(app, device, 'not-accepted', seen)
  }

  /**
   * Somebody who did not prove to be this device, which there is. It lies among the entries of
   * strangers, which may be as many as they like.
   */
  stranger(app: AppId, device: DeviceId, type: string, seen: Seen): void {
    if (!this.on) return
    const origin = new Origin(new Track(app, device), undefined, undefined)
    this.#write(this.#strangers, origin, this.nowMs(), state, type, 0, seen)
    const track = this.register.find(app, device)
    if (track?.followers !== undefined) this.#followers.tell(track)
  }

  /** As `device`, of a command, for which it is called twice: nothing is made to be read and dropped. */
  command(
    channel: ChannelId,
    atMs: number,
    type: string,
    id: string,
    epoch: number,
    offset: number,
    name: string,
    payload: Uint8Array | undefined,
    reason: string | undefined,
    about: string | undefined,
  ): void {
    const origin = this.register.channel(channel)
    const entry = ++this.#lastId
    this.#wrote(
      origin.track,
      this.#ring.write(
        entry,
        atMs,
        origin,
        state,
        type,
        0,
        undefined,
        id,
        epoch,
        offset,
        0,
        name,
        payload,
        reason,
        about,
      ),
    )
  }

  // What trails ask.

  nowMs(): number {
    return this.#clock.nowMs()
  }

  /** As it was told to whoever asked last: for what follows from that at once. */
  lastMs(): number {
    return this.#clock.lastMs ?? this.#clock.nowMs()
  }

  write(
    origin: DeviceOrigin,
    atMs: number,
    way: Way,
    type: string,
    bytes: number,
    seen: Seen | undefined,
  ): void {
    const track = origin.track
    this.#wrote(track, this.#write(this.#ring, origin, atMs, way, type, bytes, seen))
  }

  writeStranger(
    origin: Origin,
    way: Way,
    type: string,
    bytes: number,
    seen: Seen | undefined,
  ): void {
    const { connection } = origin
    if (connection === undefined || connection.strangers >= strangerEntriesMax) return
    connection.strangers++
    this.#write(this.#strangers, origin, this.nowMs(), way, type, bytes, seen)
  }

  end(connection: Connection, reason: string): void {
    if (connection.reason !== undefined) return
    const nowMs = this.nowMs()
    connection.endedAtMs = nowMs
    connection.reason = reason
    const seen = { reason }
    for (const track of connection.tracks) {
      const origin = new Origin(this.register.listed(track), connection, undefined)
      this.write(origin, nowMs, state, 'closed', 0, seen)
    }
    if (connection.tracks.length === 0)
      this.writeStranger(new Origin(undefined, connection, undefined), state, 'closed', 0, seen)
    this.register.ended(connection)
  }

  // Traces: what back ends may ask.

  trace(app: AppId, device: DeviceId, query: TraceQuery): Trace {
    return this.#reading.trace(app, device, query, this.#lastId)
  }

  follow(app: AppId, device: DeviceId, heard: () => void): () => void {
    if (!this.on) return () => {}
    const track = this.register.track(app, device)
    track.followers ??= new Set()
    track.followers.add(heard)
    return () => {
      track.followers?.delete(heard)
      if (track.followers?.size === 0) this.register.letGo(track)
    }
  }

  connection(app: AppId, token: LinkId, limit: number): ConnectionRecord | undefined {
    return this.#reading.connection(app, token, limit, this.#lastId)
  }

  figures(): Readonly<Record<string, number>> {
    const { oldest } = this.#ring
    return {
      recorder_entries_total: this.#ring.newest + this.#strangers.newest,
      recorder_connections: this.register.connections,
      recorder_reach_seconds: oldest === 0 ? 0 : (this.nowMs() - this.#ring.atMs(oldest)) / 1000,
    }
  }

  #write(
    ring: Ring,
    origin: Origin,
    atMs: number,
    way: Way,
    type: string,
    bytes: number,
    seen: Seen | undefined,
  ): number {
    const id = ++this.#lastId
    if (seen === undefined) {
      const none = undefined
      return ring.write(
        id,
        atMs,
        origin,
        way,
        type,
        bytes,
        none,
        none,
        0,
        0,
        0,
        none,
        none,
        none,
        none,
      )
    }
    const { channel, command, epoch = 0, offset = 0, sequence = 0, name } = seen
    const { payload, reason, about } = seen
    const other = channel === origin.channel ? undefined : channel
    return ring.write(
      id,
      atMs,
      origin,
      way,
      type,
      bytes,
      other,
      command,
      epoch,
      offset,
      sequence,
      name,
      payload,
      reason,
      about,
    )
  }

  #wrote(track: Track, place: number): void {
    track.last = place
    if (track.followers !== undefined) this.#followers.tell(track)
    if (place % sweepEntries === 0) this.register.sweep(sweepDevices)
  }
}
