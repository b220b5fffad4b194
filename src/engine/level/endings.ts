import type { ChannelId, EndStatus, Offset } from '../../contract/index.ts'
import { channelParts } from '../../contract/index.ts'
import type { Apps } from './apps.ts'
import type { Casts } from './casts.ts'
import type { Channel } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Entry } from './command-record.ts'
import { encodeCommand, noBytes } from './command-record.ts'
import type { Ending } from './commands.ts'
import { endedCommand } from './commands.ts'
import type { Database } from './database.ts'
import { encodePointer } from './event-record.ts'
import type { LevelEvents } from './events.ts'
import { commandKey, historyKey } from './keys.ts'

/** Ends of commands that their device has, or had. */
const reached = new Set<EndStatus>(['delivered', 'done', 'failed', 'rejected', 'unanswered'])

/** What happens to a command once it is kept, each in one batch with all that belongs to it. */
export class Endings {
  readonly #database: Database
  readonly #channels: Channels
  readonly #apps: Apps
  readonly #events: LevelEvents
  readonly #casts: Casts

  constructor(
    database: Database,
    channels: Channels,
    apps: Apps,
    events: LevelEvents,
    casts: Casts,
  ) {
    this.#casts = casts
    this.#database = database
    this.#channels = channels
    this.#apps = apps
    this.#events = events
  }

  /** The end of an open command, whose channel is in memory. */
  end(channel: Channel, entry: Entry, ending: Ending): void {
    this.#channels.held.remove(channel, entry)
    this.#database.del(commandKey(channel.id, entry.offset))
    channel.count -= 1
    if (entry.deliveredAtMs === undefined) channel.bytes -= entry.bytes
    const first = channel.live!.open.first
    channel.floor = first === undefined ? channel.top + 1 : first.offset
    channel.oldestAtMs = first === undefined ? 0 : first.acceptedAtMs
    if (!reached.has(ending.status)) this.#passOver(channel, entry.offset)
    this.#channels.changed(channel)
    this.publish(channel.id, entry, ending)
  }

  /** Nothing above it is given to a link before this is durable (rule 14). */
  #passOver(channel: Channel, offset: Offset): void {
    if (channel.passed === 0 || offset < channel.passed) channel.passed = offset
  }

  /** It cannot be read any more, so it cannot be handed over. */
  damaged(channel: Channel, entry: Entry, atMs: number): void {
    const status = entry.offset <= channel.sentUpTo ? 'in-doubt' : 'undeliverable'
    this.end(channel, entry, { status, reason: 'damaged', atMs })
  }

  /** Outcome event, the way to it, and the counter; of an ending command that was never open too. */
  publish(channel: ChannelId, entry: Entry, ending: Ending): void {
    const { app, device, channel: name } = channelParts(channel)
    const sequence = this.#events.keep({
      kind: 'command.ended',
      app,
      device,
      channel: name,
      atMs: ending.atMs,
      ended: endedCommand(channel, entry, ending),
    })
    const { acceptedAtMs, more } = entry
    const { status } = ending
    const pointer =
      more?.scheduled === undefined
        ? encodePointer({ sequence, acceptedAtMs, status })
        : encodePointer({ sequence, acceptedAtMs, status, scheduled: true })
    this.#database.put(historyKey(channel, entry.offset), pointer)
    this.#apps.ended(app, status)
    if (more?.broadcast !== undefined) this.#casts.ended(app, more.broadcast, status)
  }

  /** The device's end has it; its reply is awaited, its payload no more. */
  delivered(channel: Channel, entry: Entry, atMs: number): void {
    if (entry.deliveredAtMs !== undefined) return
    this.#channels.held.forgetPayload(entry)
    channel.bytes -= entry.bytes
    entry.bytes = 0
    entry.deliveredAtMs = atMs
    entry.deliveredIn = this.#database.commit
    this.#database.put(commandKey(channel.id, entry.offset), encodeCommand(entry, noBytes))
    this.#channels.deadlines.lower(channel, this.#channels.dueAtMs(channel, entry))
    this.#channels.changed(channel)
  }
}
