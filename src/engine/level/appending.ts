import type { Appended, AppendOptions, ChannelId, Clock, Command } from '../../contract/index.ts'
import { channelParts, idOfCommand } from '../../contract/index.ts'
import type { Apps } from './apps.ts'
import { isHeavy } from './bytes.ts'
import type { Casts } from './casts.ts'
import type { Channel } from './channel.ts'
import type { Channels } from './channels.ts'
import type { Entry } from './command-record.ts'
import { encodeCommand } from './command-record.ts'
import { entryOf, keptCommand } from './commands.ts'
import type { Database } from './database.ts'
import type { Endings } from './endings.ts'
import type { Idempotency } from './idempotency.ts'
import { commandKey } from './keys.ts'
import type { Schedule } from './schedule.ts'
import { scheduledId } from './schedule-record.ts'
import type { Refused } from './status.ts'
import type { Waiting } from './timetable.ts'

type Answer = (appended: Appended) => void

/** Keeping a command: what was asked before, who must go for it, and its place. */
export class Appending {
  readonly #database: Database
  readonly #clock: Clock
  readonly #channels: Channels
  readonly #apps: Apps
  readonly #endings: Endings
  readonly #idempotency: Idempotency
  readonly #schedule: Schedule
  readonly #casts: Casts
  readonly #refused: () => Refused | undefined
  readonly #surprised: (error: unknown) => void

  /** `refused`: why nothing new can be kept at the moment. */
  constructor(parts: {
    readonly database: Database
    readonly clock: Clock
    readonly channels: Channels
    readonly apps: Apps
    readonly endings: Endings
    readonly idempotency: Idempotency
    readonly schedule: Schedule
    readonly casts: Casts
    readonly refused: () => Refused | undefined
    readonly surprised: (error: unknown) => void
  }) {
    this.#database = parts.database
    this.#clock = parts.clock
    this.#channels = parts.channels
    this.#apps = parts.apps
    this.#endings = parts.endings
    this.#idempotency = parts.idempotency
    this.#schedule = parts.schedule
    this.#casts = parts.casts
    this.#refused = parts.refused
    this.#surprised = parts.surprised
  }

  append(id: ChannelId, command: Command, options: AppendOptions, answer: Answer): void {
    const channel = this.#channels.use(id)
    // The first of an empty channel is held at once: it may be sent before anybody opens it.
    const first = channel.count === 0 && options.ended === undefined
    if (channel.live === undefined && (first || this.#needsOpenOnes(channel, command, options))) {
      this.#channels.withLive(channel, (live) => {
        if (!live) {
          answer({ kind: 'unavailable', full: this.#full() })
          return
        }
        try {
          this.#append(channel, command, options, answer)
        } catch (error) {
          this.#surprised(error)
          answer({ kind: 'unavailable', full: false })
        }
      })
    } else this.#append(channel, command, options, answer)
  }

  #needsOpenOnes(channel: Channel, command: Command, options: AppendOptions): boolean {
    if (this.#channels.isLoading(channel)) return true
    if (channel.count === 0 || options.ended !== undefined) return false
    return (
      command.collapse !== undefined ||
      (options.overflow === 'drop-oldest' && !fits(channel, command, options))
    )
  }

  #append(channel: Channel, given: Command, options: AppendOptions, answer: Answer): void {
    const app = appOf(channel.id)
    const { idempotency, ended } = options
    if (idempotency !== undefined) {
      const earlier = this.#idempotency.answer(app, idempotency, 'command')
      if (earlier !== undefined) {
        this.#whenKept(earlier, answer)
        return
      }
    }
    const { scheduled } = given
    let command = given
    let waiting: Waiting | undefined
    if (scheduled !== undefined) {
      waiting = this.#schedule.get(channel.id, scheduled)
      if (waiting === undefined) {
        this.#whenKept({ kind: 'repeat', id: scheduledId(channel.id, scheduled) }, answer)
        return
      }
      if (command.notBeforeMs === undefined) {
        command = { ...command, notBeforeMs: waiting.notBeforeMs }
      }
    }
    if (command.broadcast !== undefined) {
      const member = this.#casts.member(app, command.broadcast, deviceIdOf(channel.id))
      if (member === undefined) command = withoutBroadcast(command)
      else if (member !== '') {
        this.#whenKept({ kind: 'repeat', id: member }, answer)
        return
      }
    }
    // What was accepted already may always go on.
    const refused = waiting === undefined ? this.#refused() : undefined
    if (refused !== undefined) {
      answer(refused)
      return
    }
    if (ended === undefined && !this.#makeRoom(channel, command, options)) {
      answer({ kind: 'full', depth: depthOf(channel) })
      return
    }
    this.#channels.begin(channel)
    channel.top += 1
    const { epoch, top: offset } = channel
    const id = idOfCommand(channel.id, epoch, offset, scheduled)
    const entry = entryOf(command, id, epoch, offset)
    // One that was scheduled is counted since then.
    if (waiting === undefined) this.#apps.accepted(app)
    else this.#schedule.place(waiting, entry, entry.acceptedAtMs)
    if (command.broadcast !== undefined) {
      this.#casts.placed(app, command.broadcast, deviceIdOf(channel.id), id)
    }
    if (ended === undefined) this.#queue(channel, entry, options)
    else {
      if (channel.count === 0) channel.floor = offset + 1
      const atMs = waiting === undefined ? command.acceptedAtMs : this.#clock.nowMs()
      this.#endings.publish(channel.id, entry, { ...ended, atMs })
    }
    this.#channels.changed(channel)
    if (idempotency !== undefined) {
      this.#idempotency.keep(app, idempotency.key, idempotency.hash, id)
    }
    const kept = keptCommand(command, id, channel.id, epoch, offset)
    this.#whenKept({ kind: 'kept', command: kept }, answer)
  }

  #queue(channel: Channel, entry: Entry, options: AppendOptions): void {
    const payload = entry.payload!
    this.#database.put(commandKey(channel.id, entry.offset), encodeCommand(entry, payload))
    if (channel.count === 0) {
      channel.floor = entry.offset
      channel.oldestAtMs = entry.acceptedAtMs
    }
    channel.count += 1
    channel.bytes += entry.bytes
    if (entry.delivery === 'now') channel.nowUpTo = entry.offset
    if (entry.offset <= options.intendUpTo && entry.offset > channel.intended) {
      channel.intended = entry.offset
    }
    this.#channels.held.push(channel, entry)
    if (entry.payload !== undefined && isHeavy(payload)) entry.payload = new Uint8Array(payload)
    // It is certainly unsent.
    this.#channels.deadlines.lower(channel, entry.expiresAtMs)
  }

  /**
   * End those that must go for a new one, if then it fits; else nobody goes.
   * What may have been sent never goes (rule 3), nor what a link is about to be given.
   */
  #makeRoom(channel: Channel, command: Command, options: AppendOptions): boolean {
    const { live } = channel
    const dropping = options.overflow === 'drop-oldest'
    if (command.collapse === undefined && (!dropping || fits(channel, command, options))) {
      return fits(channel, command, options)
    }
    if (live === undefined) return fits(channel, command, options)
    let count = channel.count + 1
    let bytes = channel.bytes + command.payload.length
    const fit = () => count <= options.maxCommands && bytes <= options.maxBytes
    const superseded: Entry[] = []
    const dropped: Entry[] = []
    const leave = (entry: Entry, where: Entry[]): void => {
      where.push(entry)
      count -= 1
      bytes -= entry.bytes
    }
    const taken = live.attached
      ? Math.max(channel.sentUpTo, channel.intended, live.wanted)
      : channel.sentUpTo
    if (command.collapse !== undefined) {
      live.open.scan(taken, (entry) => {
        const same = entry.collapse === command.collapse && entry.deliveredAtMs === undefined
        if (same) leave(entry, superseded)
        return true
      })
    }
    if (dropping) {
      live.open.scan(taken, (entry) => {
        if (fit()) return false
        if (entry.deliveredAtMs === undefined && !superseded.includes(entry)) leave(entry, dropped)
        return true
      })
    }
    if (!fit()) return false
    const atMs = this.#clock.nowMs()
    for (const entry of superseded) {
      this.#endings.end(channel, entry, { status: 'superseded', reason: 'collapsed', atMs })
    }
    for (const entry of dropped) {
      this.#endings.end(channel, entry, { status: 'dropped', reason: 'mailbox-full', atMs })
    }
    return true
  }

  #whenKept(appended: Appended, answer: Answer): void {
    this.#database.after((outcome) => {
      answer(outcome === 'kept' ? appended : { kind: 'unavailable', full: this.#full() })
    })
  }

  #full(): boolean {
    const refused = this.#refused()
    return refused?.full === true
  }
}

const deviceIdOf = (channel: ChannelId): string => channelParts(channel).device

/** Who is none of its members has a command of its own. */
function withoutBroadcast({ broadcast: _broadcast, ...command }: Command): Command {
  return command
}

export const appOf = (channel: ChannelId): string => channel.slice(0, channel.indexOf('/'))

const fits = (channel: Channel, command: Command, options: AppendOptions): boolean =>
  channel.count < options.maxCommands && channel.bytes + command.payload.length <= options.maxBytes

export const depthOf = (channel: Channel) => ({
  commands: channel.count,
  bytes: channel.bytes,
  oldestAtMs: channel.count === 0 ? undefined : channel.oldestAtMs,
})
