import type {
  Appended,
  AppendOptions,
  ChannelId,
  Clock,
  Command,
  Scheduled,
  ScheduleOptions,
} from '../../contract/index.ts'
import { channelParts, idOfCommand, shareOfApp } from '../../contract/index.ts'
import type { Answers } from './answers.ts'
import type { End } from './box.ts'
import { depthOf, makeBox, makeRoom } from './box.ts'
import { membersOf, placed as placedInBroadcast } from './broadcasts.ts'
import type { MemoryDisk } from './disk.ts'
import { epochOf, numberNext } from './disk.ts'
import type { Schedule } from './schedule.ts'
import { scheduledId } from './schedule.ts'

/** How a command gets in: kept for later, or with a place in its mailbox. Both are part of a commit. */
export class Accepting {
  readonly #disk: MemoryDisk
  readonly #end: End
  readonly #schedule: Schedule
  readonly #answers: Answers
  readonly #clock: Clock
  readonly #room: { readonly full: boolean }

  constructor(
    disk: MemoryDisk,
    end: End,
    schedule: Schedule,
    answers: Answers,
    clock: Clock,
    room: { readonly full: boolean },
  ) {
    this.#room = room
    this.#disk = disk
    this.#end = end
    this.#schedule = schedule
    this.#answers = answers
    this.#clock = clock
  }

  schedule(channel: ChannelId, command: Command, options: ScheduleOptions): Scheduled {
    const { app } = channelParts(channel)
    const earlier = this.#answers.find(app, options.idempotency, 'command')
    if (earlier !== undefined) return earlier
    if (this.#room.full) return { kind: 'unavailable', full: true }
    const { maxCommands, maxTotal } = options
    if (this.#schedule.count(channel) >= maxCommands) return { kind: 'full', max: maxCommands }
    const share = shareOfApp(maxTotal)
    if (this.#schedule.total(app) >= share) return { kind: 'full', max: share }
    if (this.#schedule.total() >= maxTotal) return { kind: 'full', max: maxTotal }
    this.#disk.accepted += 1
    const { accepted: serial } = this.#disk
    const kept = this.#schedule.keep(channel, command, this.#clock.nowMs(), serial)
    this.#end.accepted(app)
    this.#answers.keep(app, options.idempotency, kept.id)
    return { kind: 'kept', command: kept }
  }

  append(channel: ChannelId, given: Command, options: AppendOptions, attached: boolean): Appended {
    const { app, device } = channelParts(channel)
    const nowMs = this.#clock.nowMs()
    const earlier = this.#answers.find(app, options.idempotency, 'command')
    if (earlier !== undefined) return earlier
    const { scheduled } = given
    const waiting = scheduled === undefined ? undefined : this.#schedule.waiting(channel, scheduled)
    if (scheduled !== undefined && waiting === undefined) {
      return { kind: 'repeat', id: scheduledId(channel, scheduled) }
    }
    const members =
      given.broadcast === undefined ? undefined : membersOf(this.#disk, app, given.broadcast)
    const before = members?.get(device)
    if (before !== undefined) return { kind: 'repeat', id: before }
    // What was accepted already may always go on.
    if (this.#room.full && waiting === undefined) return { kind: 'unavailable', full: true }
    const command = { ...given }
    // Who is none of its members has a command of its own.
    if (!members?.has(device)) delete command.broadcast
    const known = this.#disk.boxes.get(channel)
    // What ends as it is accepted takes no room, so it moves nothing either.
    const leaving = options.ended === undefined ? makeRoom(known, command, options, attached) : []
    if (leaving === undefined) return { kind: 'full', depth: depthOf(known) }

    const box = known ?? makeBox()
    this.#disk.boxes.set(channel, box)
    for (const { open, status, reason } of leaving) {
      this.#end.end(channel, box, open, { status, reason, atMs: nowMs })
    }
    const epoch = epochOf(box, this.#disk)
    const offset = numberNext(box, epoch)
    const id = idOfCommand(channel, epoch, offset, scheduled)
    const kept = { ...command, id, channel, epoch, offset }
    if (waiting === undefined) this.#disk.accepted += 1
    const serial = waiting?.serial ?? this.#disk.accepted
    const open = { command: kept, serial, sentAtMs: undefined, deliveredAtMs: undefined }
    box.open.set(offset, open)
    // One that was scheduled is counted since then.
    if (waiting === undefined) this.#end.accepted(app)
    else this.#schedule.place(channel, scheduled!, { epoch, offset })
    if (command.broadcast !== undefined) {
      placedInBroadcast(this.#disk, app, command.broadcast, device, id)
    }
    if (options.ended !== undefined) {
      const atMs = waiting === undefined ? command.acceptedAtMs : nowMs
      this.#end.end(channel, box, open, { ...options.ended, atMs })
    } else {
      if (offset <= options.intendUpTo) box.intended = Math.max(box.intended, offset)
    }
    this.#answers.keep(app, options.idempotency, id)
    return { kind: 'kept', command: kept }
  }
}
