import type { AppId, DeviceId, LinkId } from '../../contract/index.ts'

/** What is known of one device: where its last entry is. */
export class Track {
  readonly app: AppId
  readonly device: DeviceId
  /** Place of its last entry, counted from 1; 0: none. */
  last = 0
  /** Of its entries so many are still there. */
  entries = 0
  /** Is it found by its name? While nothing of it is there it need not be. */
  listed = true
  /** Whoever follows it. */
  followers: Set<() => void> | undefined

  constructor(app: AppId, device: DeviceId) {
    this.app = app
    this.device = device
  }
}

/** One connection, while it lasts and as long as there are entries of it. */
export class Connection {
  readonly token: LinkId
  readonly protocol: string
  readonly peer: string
  readonly sinceMs: number
  endedAtMs = 0
  reason: string | undefined
  entries = 0
  /** Entries written before anybody had proved to be there; few are. */
  strangers = 0
  /** Who proved to be there: mostly one. */
  tracks: readonly Track[] = nobody

  constructor(token: LinkId, protocol: string, peer: string, sinceMs: number) {
    this.token = token
    this.protocol = protocol
    this.peer = peer
    this.sinceMs = sinceMs
  }
}

const nobody: readonly Track[] = []
