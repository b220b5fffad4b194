import type {
  Change,
  ChannelId,
  EndStatus,
  Offset,
  Settled,
  Settlement,
} from '../../contract/index.ts'
import { lateStep } from '../../contract/index.ts'
import type { Channel } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Entry } from './command-record.ts'
import type { Database } from './database.ts'
import type { Endings } from './endings.ts'
import type { LevelEvents } from './events.ts'
import type { Late } from './late.ts'
import type { Status } from './status.ts'

export interface SettlingParts {
  readonly database: Database
  readonly status: Status
  readonly channels: Channels
  readonly events: LevelEvents
  readonly endings: Endings
  readonly late: Late
  readonly surprised: (error: unknown) => void
}

/**
 * What becomes of commands, with the uplinks it came by, in one batch. Where it changes commands that
 * are not in memory it waits for them, and what is settled after it waits too.
 */
export class Settling {
  readonly #database: Database
  readonly #status: Status
  readonly #channels: Channels
  readonly #events: LevelEvents
  readonly #endings: Endings
  readonly #late: Late
  readonly #surprised: (error: unknown) => void

  constructor(parts: SettlingParts) {
    this.#database = parts.database
    this.#status = parts.status
    this.#channels = parts.channels
    this.#events = parts.events
    this.#endings = parts.endings
    this.#late = parts.late
    this.#surprised = parts.surprised
  }

  settle(channelId: ChannelId, settlement: Settlement, settled: (outcome: Settled) => void): void {
    if (!this.#status.ready) {
      queueMicrotask(() => settled('unavailable'))
      return
    }
    const channel = this.#channels.use(channelId)
    const needsLive = settlement.changes.length > 0 || settlement.late !== undefined
    const later =
      this.#channels.isLoading(channel) ||
      (channel.live === undefined && channel.count > 0 && needsLive)
    if (!later) {
      this.#take(channel, settlement)
      this.#database.after(settled)
      return
    }
    this.#channels.withLive(channel, (live) => {
      try {
        if (live) this.#take(channel, settlement)
      } catch (error) {
        this.#surprised(error)
        live = false
      }
      if (live) this.#database.after(settled)
      else queueMicrotask(() => settled('unavailable'))
    })
  }

  /** A promise that nothing above is written to a link before another is kept (rule 4). */
  intend(channel: Channel, upTo: Offset): void {
    if (upTo <= channel.intended) return
    channel.intended = upTo
    this.#channels.changed(channel)
  }

  #take(channel: Channel, settlement: Settlement): void {
    const { events, changes, late, uplinks, attempts, intendUpTo } = settlement
    if (events !== undefined) for (const event of events) this.#events.keep(event)
    for (const change of changes) {
      const entry = channel.live?.open.get(change.offset)
      if (entry === undefined) this.#tellLate(channel.id, change)
      if (entry === undefined || isUntrue(channel, entry, change)) continue
      if (change.kind === 'ended') {
        if (change.told !== undefined) this.#events.keep(change.told.event)
        this.#endings.end(channel, entry, change)
      } else this.#endings.delivered(channel, entry, change.atMs)
    }
    if (late !== undefined) {
      for (const { offset, step } of late) {
        const isOpen = channel.live?.open.get(offset) !== undefined
        if (!isOpen) this.#late.keep(channel.id, offset, step)
      }
    }
    if (uplinks !== undefined && uplinks !== channel.uplinks) {
      channel.uplinks = uplinks
      this.#channels.changed(channel)
    }
    if (attempts !== undefined) {
      channel.attempts = attempts
      this.#channels.changed(channel)
    }
    if (intendUpTo !== undefined) this.intend(channel, intendUpTo)
  }

  #tellLate(channel: ChannelId, change: Change): void {
    if (change.kind !== 'ended' || change.told === undefined) return
    this.#events.keep(change.told.late)
    this.#late.keep(channel, change.offset, lateStep(change))
  }
}

/** Ends of commands that were certainly never written to a link (rule 3). */
const unsent = new Set<EndStatus>(['expired', 'canceled', 'superseded', 'dropped'])

/** Whether what has happened since it was decided makes this change untrue. */
function isUntrue(channel: Channel, entry: Entry, change: Change): boolean {
  if (change.kind !== 'ended') return false
  const { status, reason } = change
  const { deliveredAtMs } = entry
  if (status === 'in-doubt') return deliveredAtMs !== undefined && reason !== 'device-removed'
  return unsent.has(status) && (deliveredAtMs !== undefined || entry.offset <= channel.sentUpTo)
}
