import type {
  AppId,
  ChannelId,
  ChannelName,
  DeviceId,
  DeviceKey,
  LinkId,
} from '../../contract/index.ts'
import { channelParts, deviceKey } from '../../contract/index.ts'
import { type Connection, type DeviceOrigin, Origin, Track } from './known.ts'
import type { Ring } from './ring.ts'

/** Devices of one connection that are remembered. */
const devicesMax = 64

/**
 * Devices and connections of which there are entries, by name.
 *
 * Nobody counts their entries: from time to time it is asked of some of them whether their last entry
 * is still there. So who is over is forgotten a little late, and nothing is done for it at each entry.
 */
export class Register {
  readonly #ring: Ring
  readonly #strangers: Ring
  readonly #tracks = new Map<DeviceKey, Track>()
  /** What the gateway tells of a channel. */
  readonly #channels = new Map<ChannelId, DeviceOrigin>()
  readonly #connections = new Map<LinkId, Connection>()
  /** Ended ones, in order: of strangers, of devices. */
  readonly #endedStrangers = new Queue()
  readonly #ended = new Queue()
  #next: Iterator<Track> | undefined
  /** Devices listed since the last sweep. */
  #came = 0

  constructor(ring: Ring, strangers: Ring) {
    this.#ring = ring
    this.#strangers = strangers
  }

  get devices(): number {
    return this.#tracks.size
  }

  get connections(): number {
    this.#release()
    return this.#connections.size
  }

  // Devices.

  find(app: AppId, device: DeviceId): Track | undefined {
    return this.#tracks.get(deviceKey(app, device))
  }

  track(app: AppId, device: DeviceId): Track {
    const key = deviceKey(app, device)
    let track = this.#tracks.get(key)
    if (track === undefined) {
      track = new Track(app, device)
      this.#tracks.set(key, track)
      this.#came++
    }
    return track
  }

  /** It may have been forgotten meanwhile, and made anew. */
  listed(track: Track): Track {
    if (track.listed) return track
    const key = deviceKey(track.app, track.device)
    const other = this.#tracks.get(key)
    if (other !== undefined) return other
    track.listed = true
    this.#tracks.set(key, track)
    this.#came++
    return track
  }

  /** As what the gateway tells of this channel. */
  channel(id: ChannelId): DeviceOrigin {
    const known = this.#channels.get(id)
    if (known !== undefined) return known
    const { app, device, channel } = channelParts(id)
    return this.#origin(id, this.track(app, device), channel)
  }

  device(app: AppId, device: DeviceId, channel: ChannelName | undefined): DeviceOrigin {
    return channel === undefined
      ? new Origin(this.track(app, device), undefined, undefined)
      : this.channel(`${app}/${device}/${channel}`)
  }

  #origin(id: ChannelId, track: Track, channel: ChannelName): DeviceOrigin {
    const origin = new Origin(track, undefined, channel)
    this.#channels.set(id, origin)
    track.channels = track.channels.concat(id)
    return origin
  }

  // Connections.

  add(connection: Connection): void {
    this.#connections.set(connection.token, connection)
  }

  connection(token: LinkId): Connection | undefined {
    this.#release()
    return this.#connections.get(token)
  }

  joins(connection: Connection, track: Track): void {
    const { tracks } = connection
    if (tracks.includes(track)) return
    const others = tracks.filter(({ app, device }) => app !== track.app || device !== track.device)
    // Who came and went on it long ago makes room.
    connection.tracks = others.slice(1 - devicesMax).concat(track)
  }

  /** Its last entry is written. */
  ended(connection: Connection): void {
    const stranger = connection.tracks.length === 0
    connection.lastPlace = stranger ? this.#strangers.newest : this.#ring.newest
    if (stranger) this.#endedStrangers.add(connection)
    else this.#ended.add(connection)
    this.#release()
  }

  // Forgetting.

  /**
   * Look at some devices, in turn: called as entries are written, so all are seen again and again; and
   * at twice as many as came since, so those that are over go as fast as others come.
   */
  sweep(atLeast: number): void {
    this.#release()
    const count = atLeast + 2 * this.#came
    this.#came = 0
    for (let i = 0; i < count; i++) {
      this.#next ??= this.#tracks.values()
      const { value, done } = this.#next.next()
      if (done === true) {
        this.#next = undefined
        return
      }
      if (!this.#ring.has(value.last) && value.followers === undefined) this.#forget(value)
    }
  }

  /** Nobody follows it any more. */
  letGo(track: Track): void {
    track.followers = undefined
    if (track.listed && !this.#ring.has(track.last)) this.#forget(track)
  }

  #forget(track: Track): void {
    track.listed = false
    this.#tracks.delete(deviceKey(track.app, track.device))
    for (const id of track.channels) this.#channels.delete(id)
    track.channels = []
  }

  #release(): void {
    this.#releaseFrom(this.#endedStrangers, this.#strangers)
    this.#releaseFrom(this.#ended, this.#ring)
  }

  #releaseFrom(queue: Queue, ring: Ring): void {
    for (let one = queue.first; one !== undefined && !ring.has(one.lastPlace); one = queue.first) {
      queue.shift()
      if (this.#connections.get(one.token) === one) this.#connections.delete(one.token)
    }
  }
}

/** First in, first out, of any length: what is in front goes without a move of all behind it. */
class Queue {
  #items: (Connection | undefined)[] = []
  #head = 0

  get first(): Connection | undefined {
    return this.#items[this.#head]
  }

  add(connection: Connection): void {
    this.#items.push(connection)
  }

  shift(): void {
    this.#items[this.#head++] = undefined
    if (this.#head < 64 || this.#head * 2 < this.#items.length) return
    this.#items = this.#items.slice(this.#head)
    this.#head = 0
  }
}
