import type {
  ChannelId,
  Clock,
  Command,
  DeviceKey,
  Found,
  Scheduled,
  ScheduledCommand,
  ScheduleOptions,
} from '../../contract/index.ts'
import { scheduledEpoch, shareOfApp } from '../../contract/index.ts'
import type { Appending } from './appending.ts'
import { appOf } from './appending.ts'
import type { Apps } from './apps.ts'
import { noBytes } from './command-record.ts'
import { entryOf } from './commands.ts'
import type { Database } from './database.ts'
import type { Idempotency } from './idempotency.ts'
import { channelBeforeNumber, placedKey, scheduledFor, scheduledKey, scheduledOf } from './keys.ts'
import type { Lookups } from './lookups.ts'
import type { Schedule } from './schedule.ts'
import {
  asOpen,
  decodePlaced,
  decodeScheduled,
  scheduledCommand,
  scheduledId,
} from './schedule-record.ts'
import type { Refused, Status } from './status.ts'
import type { Waiting } from './timetable.ts'

/** Waits, is placed, has ended: each may not be durable yet when it is looked for. */
const findTries = 4

interface Parts {
  readonly database: Database
  readonly status: Status
  readonly clock: Clock
  readonly apps: Apps
  readonly schedule: Schedule
  readonly idempotency: Idempotency
  readonly appending: Appending
  readonly lookups: Lookups
  /** Why nothing new can be kept at the moment. */
  readonly refused: () => Refused | undefined
  readonly surprised: (error: unknown) => void
}

/** Commands for later: kept, found, and read again when their time has come. */
export class Scheduling {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  schedule(
    channel: ChannelId,
    command: Command,
    options: ScheduleOptions,
    answer: (scheduled: Scheduled) => void,
  ): void {
    const { idempotency, schedule, apps, clock } = this.#parts
    const app = appOf(channel)
    const earlier = options.idempotency && idempotency.answer(app, options.idempotency, 'command')
    if (earlier !== undefined) {
      this.#whenKept(earlier, answer)
      return
    }
    const refused = this.#parts.refused()
    if (refused !== undefined) {
      answer(refused)
      return
    }
    const max = this.#reached(channel, options)
    if (max !== undefined) {
      answer({ kind: 'full', max })
      return
    }
    const scheduled = schedule.number(channel, clock.nowMs())
    const id = scheduledId(channel, scheduled)
    const notBeforeMs = command.notBeforeMs ?? command.acceptedAtMs
    const entry = entryOf({ ...command, scheduled, notBeforeMs }, id, scheduledEpoch, scheduled)
    schedule.keep(channel, entry)
    apps.accepted(app)
    if (options.idempotency !== undefined) {
      idempotency.keep(app, options.idempotency.key, options.idempotency.hash, id)
    }
    this.#whenKept({ kind: 'kept', command: scheduledCommand(channel, scheduled, entry) }, answer)
  }

  /** The bound at which no more may wait. */
  #reached(channel: ChannelId, { maxCommands, maxTotal }: ScheduleOptions): number | undefined {
    const { schedule } = this.#parts
    const share = shareOfApp(maxTotal)
    if (schedule.count(channel) >= maxCommands) return maxCommands
    if (schedule.totalOf(appOf(channel)) >= share) return share
    return schedule.total >= maxTotal ? maxTotal : undefined
  }

  async ripe(nowMs: number, max: number): Promise<readonly ScheduledCommand[]> {
    const { database, status, schedule } = this.#parts
    if (!status.ready) return []
    return status.reading(async () => {
      const due = schedule.dueBy(nowMs, max)
      if (due.length === 0) return []
      const keys = due.map(({ channel, scheduled }) => scheduledKey(channel, scheduled))
      const values = await database.store.getMany(keys)
      return due.flatMap((waiting, index) => this.#read(waiting, values[index]) ?? [])
    })
  }

  async scheduled(device: DeviceKey): Promise<readonly ScheduledCommand[]> {
    const { database, status, schedule } = this.#parts
    return status.reading(async () => {
      if (database.pending > 0 && !(await database.kept())) throw status.unavailable()
      const entries = await database.store.iterator(scheduledFor(device)).all()
      return entries.flatMap(([key, value]) => {
        const waiting = schedule.get(channelBeforeNumber(key), scheduledOf(key))
        return waiting === undefined ? [] : (this.#read(waiting, value) ?? [])
      })
    })
  }

  /** By the number it was scheduled with, wherever it is. */
  find(channel: ChannelId, scheduled: number): Promise<Found | undefined> {
    return this.#parts.status.reading(() => this.#find(channel, scheduled))
  }

  async #find(channel: ChannelId, scheduled: number): Promise<Found | undefined> {
    const { database, status, schedule, lookups } = this.#parts
    for (let tries = 0; tries < findTries; tries++) {
      if (tries > 0 && !(await database.kept())) throw status.unavailable()
      const waiting = schedule.get(channel, scheduled)
      if (waiting !== undefined && waiting.keptIn > database.durable) continue
      const keys = [scheduledKey(channel, scheduled), placedKey(channel, scheduled)]
      const [value, placed] = await database.store.getMany(keys)
      if (placed !== undefined) {
        const { epoch, offset } = decodePlaced(placed)
        return lookups.find(channel, epoch, offset)
      }
      const command = waiting && value && this.#read(waiting, value)
      if (command !== undefined) return { kind: 'open', command: asOpen(command) }
      if (value === undefined && schedule.isDurable(channel)) return undefined
    }
    return undefined
  }

  /** @returns undefined when it waits no more, and when it cannot be read: then it is ended. */
  #read(waiting: Waiting, value: Buffer | undefined): ScheduledCommand | undefined {
    const { channel, scheduled } = waiting
    const { schedule, surprised } = this.#parts
    if (schedule.get(channel, scheduled) !== waiting) return undefined
    try {
      if (value === undefined) throw new RangeError('a scheduled command without a record')
      return decodeScheduled(channel, scheduled, value)
    } catch (error) {
      surprised(
        new Error(`scheduled command ${waiting.scheduled} of ${channel} is damaged`, {
          cause: error,
        }),
      )
      this.#endDamaged(waiting)
      return undefined
    }
  }

  #endDamaged({ channel, scheduled, notBeforeMs }: Waiting): void {
    const nowMs = this.#parts.clock.nowMs()
    const command: Command = {
      name: '',
      payload: noBytes,
      contentType: 'application/json',
      delivery: 'queue',
      expect: 'ack',
      acceptedAtMs: nowMs,
      expiresAtMs: nowMs,
      replyTimeoutMs: 0,
      askedBy: '',
      scheduled,
      notBeforeMs,
    }
    const ended = { status: 'undeliverable', reason: 'damaged' } as const
    const options = {
      maxCommands: 0,
      maxBytes: 0,
      overflow: 'reject',
      intendUpTo: 0,
      ended,
    } as const
    this.#parts.appending.append(channel, command, options, () => {})
  }

  #whenKept(scheduled: Scheduled, answer: (scheduled: Scheduled) => void): void {
    const { database, status } = this.#parts
    database.after((outcome) => {
      answer(outcome === 'kept' ? scheduled : { kind: 'unavailable', full: status.full })
    })
  }
}
