import type { AppId, ChannelId, ChannelName, DeviceId, LinkId } from '../../contract/index.ts'

/** What is known of one device: where its last entry is. */
export class Track {
  readonly app: AppId
  readonly device: DeviceId
  /** Place of its last entry, counted from 1; 0: none. */
  last = 0
  /** Is it found by its name? While nothing of it is there it need not be. */
  listed = true
  /** Whoever follows it. */
  followers: Set<() => void> | undefined
  /** Of these the gateway itself has told something. */
  channels: readonly ChannelId[] = nothing

  constructor(app: AppId, device: DeviceId) {
    this.app = app
    this.device = device
  }
}

/** One connection, while it lasts and as long as its last entry is there. */
export class Connection {
  readonly token: LinkId
  readonly protocol: string
  readonly peer: string
  readonly sinceMs: number
  endedAtMs = 0
  reason: string | undefined
  /** Place of its last entry, once it has ended; among those of strangers where it was of nobody. */
  lastPlace = 0
  /** Entries written before anybody had proved to be there; few are. */
  strangers = 0
  /** Who proved to be there: mostly one. */
  tracks: readonly Track[] = nothing

  constructor(token: LinkId, protocol: string, peer: string, sinceMs: number) {
    this.token = token
    this.protocol = protocol
    this.peer = peer
    this.sinceMs = sinceMs
  }
}

/**
 * Whom and what an entry is about, in one reference. Of a stranger there is no track, of what the
 * gateway tells no connection.
 */
export class Origin<T extends Track | undefined = Track | undefined> {
  track: T
  readonly connection: Connection | undefined
  readonly channel: ChannelName | undefined

  constructor(track: T, connection: Connection | undefined, channel: ChannelName | undefined) {
    this.track = track
    this.connection = connection
    this.channel = channel
  }
}

export type DeviceOrigin = Origin<Track>

const nothing: readonly never[] = []
