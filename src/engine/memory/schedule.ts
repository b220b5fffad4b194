import type {
  AppId,
  ChannelId,
  Command,
  CommandId,
  Found,
  OpenCommand,
  Position,
  ScheduledCommand,
} from '../../contract/index.ts'
import { channelParts, idOfCommand, scheduledEpoch } from '../../contract/index.ts'
import type { MemoryDisk, Plan } from './disk.ts'

const makePlan = (): Plan => ({ last: 0, waiting: new Map(), placed: new Map() })

/**
 * Commands that wait for their time:
 *
 *     schedule ──▶ waiting ──(append)──▶ placed: where in the mailbox, until that is forgotten
 *
 * Their numbers follow the clock, so that a store that was put back does not give again what it
 * gave after the copy was taken.
 */
export class Schedule {
  readonly #disk: MemoryDisk

  constructor(disk: MemoryDisk) {
    this.#disk = disk
  }

  /** Of all, or of one app. */
  total(app?: AppId): number {
    let total = 0
    for (const [channel, { waiting }] of this.#disk.plans) {
      if (app === undefined || channelParts(channel).app === app) total += waiting.size
    }
    return total
  }

  count(channel: ChannelId): number {
    return this.#disk.plans.get(channel)?.waiting.size ?? 0
  }

  /** Part of a commit. */
  keep(channel: ChannelId, command: Command, nowMs: number, serial: number): ScheduledCommand {
    const plan = this.#disk.plans.get(channel) ?? makePlan()
    this.#disk.plans.set(channel, plan)
    plan.last = Math.max(plan.last + 1, Math.floor(nowMs))
    const scheduled = plan.last
    const id = scheduledId(channel, scheduled)
    const notBeforeMs = command.notBeforeMs ?? command.acceptedAtMs
    const kept: ScheduledCommand = { ...command, id, channel, scheduled, notBeforeMs }
    plan.waiting.set(scheduled, { command: kept, serial })
    return kept
  }

  waiting(channel: ChannelId, scheduled: number) {
    return this.#disk.plans.get(channel)?.waiting.get(scheduled)
  }

  placed(channel: ChannelId, scheduled: number): Position | undefined {
    return this.#disk.plans.get(channel)?.placed.get(scheduled)
  }

  /** Part of a commit: it has its place now. */
  place(channel: ChannelId, scheduled: number, position: Position): void {
    const plan = this.#disk.plans.get(channel)!
    plan.waiting.delete(scheduled)
    plan.placed.set(scheduled, position)
  }

  /** All that wait, earliest first. */
  all(): readonly ScheduledCommand[] {
    const plans = [...this.#disk.plans.values()]
    const commands = plans.flatMap(({ waiting }) =>
      [...waiting.values()].map(({ command }) => command),
    )
    return commands.sort((a, b) => a.notBeforeMs - b.notBeforeMs)
  }
}

export const scheduledId = (channel: ChannelId, scheduled: number): CommandId =>
  idOfCommand(channel, scheduledEpoch, scheduled, scheduled)

/** One that waits, as an open command. */
export const asOpen = (command: ScheduledCommand): Extract<Found, { kind: 'open' }> => {
  const open: OpenCommand = {
    ...command,
    epoch: scheduledEpoch,
    offset: command.scheduled,
    maybeSent: false,
  }
  return { kind: 'open', command: open }
}

/** The history of the command at this place is gone. */
export function forgetPlaced(disk: MemoryDisk, channel: ChannelId, { offset }: Position): void {
  const placed = disk.plans.get(channel)?.placed
  for (const [scheduled, position] of placed ?? []) {
    if (position.offset === offset) placed!.delete(scheduled)
  }
}
