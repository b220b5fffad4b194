import { randomInt } from 'node:crypto'
import type {
  Appended,
  AppendOptions,
  AppId,
  Asked,
  Change,
  ChannelId,
  Clock,
  Command,
  Counts,
  Depth,
  DeviceKey,
  Epoch,
  Found,
  Head,
  HistoryPage,
  HistoryQuery,
  IdempotencyKey,
  Limits,
  Mailbox,
  Offset,
  OpenCommand,
  Reading,
  Scheduled,
  ScheduledCommand,
  ScheduleOptions,
  Settled,
  Settlement,
  Step,
} from '../../contract/index.ts'
import { deviceOf, dueAtMs, lateStep, scheduledEpoch } from '../../contract/index.ts'
import { Accepting } from './accepting.ts'
import type { Answers } from './answers.ts'
import { depthOf, End, historyOf, isUntrue, makeBox, openCommand } from './box.ts'
import type { Commits } from './commits.ts'
import type { Box, MemoryDisk } from './disk.ts'
import { beginEpoch, currentEra, cursorOf, epochOf } from './disk.ts'
import type { MemoryEvents } from './events.ts'
import { asOpen, forgetPlaced, Schedule } from './schedule.ts'

export class MemoryMailbox implements Mailbox {
  /** For tests: there is no space for anything new. */
  full = false
  readonly #disk: MemoryDisk
  readonly #commits: Commits
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #end: End
  readonly #schedule: Schedule
  readonly #accepting: Accepting
  readonly #answers: Answers
  readonly #events: MemoryEvents
  readonly #attached = new Set<ChannelId>()
  /** No open command is due before it. */
  #nextDueMs = Number.POSITIVE_INFINITY

  constructor(
    disk: MemoryDisk,
    commits: Commits,
    events: MemoryEvents,
    clock: Clock,
    limits: Limits,
    answers: Answers,
  ) {
    this.#disk = disk
    this.#commits = commits
    this.#events = events
    this.#clock = clock
    this.#limits = limits
    this.#end = new End(disk, events)
    this.#schedule = new Schedule(disk)
    this.#answers = answers
    this.#accepting = new Accepting(disk, this.#end, this.#schedule, answers, clock, this)
    this.#byDeadline()
  }

  append(channel: ChannelId, command: Command, options: AppendOptions): Promise<Appended> {
    const attached = this.#attached.has(channel)
    return new Promise((resolve) => {
      this.#commits.keep(
        () => {
          const appended = this.#accepting.append(channel, command, options, attached)
          this.#nextDueMs = Math.min(this.#nextDueMs, command.expiresAtMs)
          return () => resolve(appended)
        },
        (full) => resolve({ kind: 'unavailable', full }),
      )
    })
  }

  async asked(app: AppId, asked: IdempotencyKey): Promise<Asked | undefined> {
    const { refusal } = this.#commits
    if (refusal !== undefined) throw refusal
    return this.#commits.look(() => this.#answers.find(app, asked, 'command'))
  }

  schedule(channel: ChannelId, command: Command, options: ScheduleOptions): Promise<Scheduled> {
    return new Promise((resolve) => {
      this.#commits.keep(
        () => {
          const scheduled = this.#accepting.schedule(channel, command, options)
          return () => resolve(scheduled)
        },
        (full) => resolve({ kind: 'unavailable', full }),
      )
    })
  }

  async ripe(nowMs: number, max: number): Promise<readonly ScheduledCommand[]> {
    return this.#commits.look(() =>
      this.#schedule
        .all()
        .filter(({ notBeforeMs }) => notBeforeMs <= nowMs)
        .slice(0, max),
    )
  }

  nextRipeMs(): number {
    return this.#schedule.all()[0]?.notBeforeMs ?? Number.POSITIVE_INFINITY
  }

  async scheduled(device: DeviceKey): Promise<readonly ScheduledCommand[]> {
    return this.#commits.look(() =>
      this.#schedule.all().filter(({ channel }) => deviceOf(channel) === device),
    )
  }

  open(channel: ChannelId, renumber = false): Promise<Head> {
    this.#attached.add(channel)
    return new Promise((resolve) => {
      const look = () => resolve(headOf(this.#disk.boxes.get(channel) ?? makeBox()))
      this.#commits.keep(() => {
        // A link names the epoch in which its device will be numbered, so it is kept by now.
        const box = this.#box(channel)
        if (renumber) {
          box.renumbered = { era: currentEra(this.#disk), epoch: randomInt(1, 2 ** 32) }
        }
        beginEpoch(box, epochOf(box, this.#disk))
        return look
      }, look)
    })
  }

  release(channel: ChannelId): void {
    this.#attached.delete(channel)
  }

  read(channel: ChannelId, after: Offset, max: number): Reading | Promise<Reading> {
    const reading = this.#commits.look(
      () => this.#commits.refusal ?? readOf(this.#disk.boxes.get(channel), after, max),
    )
    if (reading instanceof Error) return Promise.reject(reading)
    if (!(reading instanceof Promise)) return reading
    return reading.then((read) => {
      if (read instanceof Error) throw read
      return read
    })
  }

  intend(channel: ChannelId, upTo: Offset): Promise<boolean> {
    return new Promise((resolve) => {
      this.#commits.keep(
        () => {
          this.#intend(this.#box(channel), upTo)
          return () => resolve(true)
        },
        () => resolve(false),
      )
    })
  }

  sent(channel: ChannelId, upTo: Offset, atMs: number): void {
    const box = this.#disk.boxes.get(channel)
    if (box === undefined) return
    for (const [offset, open] of box.open) {
      if (offset > upTo) break
      if (offset > box.sentUpTo) open.sentAtMs = atMs
    }
    box.sentUpTo = Math.max(box.sentUpTo, upTo)
  }

  settle(channel: ChannelId, settlement: Settlement, settled: (outcome: Settled) => void): void {
    this.#commits.keep(
      () => {
        const box = this.#box(channel)
        for (const event of settlement.events ?? []) this.#events.keep(event)
        for (const change of settlement.changes) this.#change(channel, box, change)
        for (const { offset, step } of settlement.late ?? []) this.#late(box, offset, step)
        box.uplinks = settlement.uplinks ?? box.uplinks
        box.attempts = settlement.attempts ?? box.attempts
        this.#intend(box, settlement.intendUpTo ?? 0)
        return () => settled('kept')
      },
      () => settled('unavailable'),
    )
  }

  find(
    channel: ChannelId,
    epoch: Epoch,
    offset: Offset,
  ): Found | undefined | Promise<Found | undefined> {
    return this.#commits.look(() => {
      if (epoch !== scheduledEpoch) return this.#find(channel, epoch, offset)
      const waiting = this.#schedule.waiting(channel, offset)
      if (waiting !== undefined) return asOpen(waiting.command)
      const place = this.#schedule.placed(channel, offset)
      return place && this.#find(channel, place.epoch, place.offset)
    })
  }

  async due(nowMs: number, max: number): Promise<readonly OpenCommand[]> {
    return this.#commits.look(() => {
      const found = this.#byDeadline().filter(({ atMs }) => atMs <= nowMs)
      return found.slice(0, max).map(({ command }) => command)
    })
  }

  nextDueMs(): number {
    return this.#nextDueMs
  }

  uplinks(channel: ChannelId): string | undefined | Promise<string | undefined> {
    return this.#commits.look(() => this.#disk.boxes.get(channel)?.uplinks)
  }

  depth(channel: ChannelId): Depth | Promise<Depth> {
    return this.#commits.look(() => depthOf(this.#disk.boxes.get(channel)))
  }

  async channels(device: DeviceKey): Promise<readonly ChannelId[]> {
    return this.#commits.look(() =>
      [...this.#disk.boxes.keys()].filter((channel) => deviceOf(channel) === device),
    )
  }

  async history(device: DeviceKey, query: HistoryQuery): Promise<HistoryPage> {
    return this.#commits.look(() => historyOf(this.#disk, device, query))
  }

  async counts(app: AppId): Promise<Counts> {
    return this.#commits.look(() =>
      structuredClone(this.#disk.counts.get(app) ?? { accepted: 0, open: 0, ended: {} }),
    )
  }

  /** All of this process is void: what it sent is known no better than after a crash. */
  forget(): void {
    this.#attached.clear()
    this.#byDeadline()
  }

  /** Forget what ended before; the counters stay (rule 11). */
  purge(beforeMs: number): void {
    for (const [channel, box] of this.#disk.boxes) {
      for (const [offset, ended] of box.ended) {
        if (ended.atMs >= beforeMs) continue
        box.ended.delete(offset)
        forgetPlaced(this.#disk, channel, ended.command)
      }
    }
    const forgottenMs = this.#clock.nowMs() - this.#limits.idempotencyMs
    for (const [key, answer] of this.#disk.answers) {
      if (answer.atMs <= forgottenMs) this.#disk.answers.delete(key)
    }
  }

  #byDeadline(): readonly { readonly command: OpenCommand; readonly atMs: number }[] {
    const all: { command: OpenCommand; atMs: number }[] = []
    for (const box of this.#disk.boxes.values()) {
      for (const open of box.open.values()) {
        const command = openCommand(box, open)
        all.push({ command, atMs: dueAtMs(command, this.#limits.inDoubtGraceMs) })
      }
    }
    all.sort((a, b) => a.atMs - b.atMs)
    this.#nextDueMs = all[0]?.atMs ?? Number.POSITIVE_INFINITY
    return all
  }

  #find(channel: ChannelId, epoch: Epoch, offset: Offset): Found | undefined {
    const box = this.#disk.boxes.get(channel)
    const open = box?.open.get(offset)
    const ended = box?.ended.get(offset)
    if (open?.command.epoch === epoch) return { kind: 'open', command: openCommand(box!, open) }
    if (ended?.command.epoch === epoch) return { kind: 'ended', command: ended.command }
    return undefined
  }

  #change(channel: ChannelId, box: Box, change: Change): void {
    const open = box.open.get(change.offset)
    if (open === undefined && change.kind === 'ended' && change.told !== undefined) {
      this.#events.keep(change.told.late)
      this.#late(box, change.offset, lateStep(change))
    }
    if (open === undefined || isUntrue(box, open, change)) return
    if (change.kind === 'ended') {
      if (change.told !== undefined) this.#events.keep(change.told.event)
      this.#end.end(channel, box, open, change)
      return
    }
    open.deliveredAtMs ??= change.atMs
    const { replyTimeoutMs } = open.command
    this.#nextDueMs = Math.min(this.#nextDueMs, open.deliveredAtMs + replyTimeoutMs)
  }

  /** The command in the log stays as it is. */
  #late(box: Box, offset: Offset, step: Step): void {
    const ended = box.ended.get(offset)
    if (ended === undefined) return
    const { timeline } = ended.command
    if (timeline.filter(({ late }) => late).length >= this.#limits.lateStepsMax) return
    const command = { ...ended.command, timeline: [...timeline, step] }
    box.ended.set(offset, { ...ended, command })
  }

  #intend(box: Box, upTo: Offset): void {
    box.intended = Math.max(box.intended, upTo)
  }

  #box(channel: ChannelId): Box {
    const box = this.#disk.boxes.get(channel) ?? makeBox()
    this.#disk.boxes.set(channel, box)
    return box
  }
}

/** All that is looked at is committed, so nothing needs waiting for. */
function readOf(box: Box | undefined, after: Offset, max: number): Reading {
  const commands: OpenCommand[] = []
  if (box === undefined) return { commands, lookedUpTo: 0 }
  for (const [offset, open] of box.open) {
    if (offset <= after || open.deliveredAtMs !== undefined) continue
    if (commands.length >= max) return { commands, lookedUpTo: offset - 1 }
    commands.push(openCommand(box, open))
  }
  return { commands, lookedUpTo: box.top }
}

function headOf(box: Box): Head {
  const { epochs, top, sentUpTo, intended, uplinks, attempts } = box
  const open = [...box.open.values()].map((each) => openCommand(box, each))
  return { epochs, cursor: cursorOf(box), top, sentUpTo, intended, uplinks, attempts, open }
}
