import type {
  AppendOptions,
  AppId,
  Change,
  ChannelId,
  Command,
  Depth,
  DeviceKey,
  EndedCommand,
  EndStatus,
  Found,
  HistoryPage,
  HistoryQuery,
  OpenCommand,
  Reply,
  Step,
} from '../../contract/index.ts'
import { channelParts, deviceOf } from '../../contract/index.ts'
import { ended as endedInBroadcast } from './broadcasts.ts'
import type { Box, MemoryDisk, Open } from './disk.ts'
import type { MemoryEvents } from './events.ts'
import { asOpen } from './schedule.ts'

export const makeBox = (): Box => ({
  epochs: [],
  renumbered: undefined,
  top: 0,
  intended: 0,
  sentUpTo: 0,
  uplinks: undefined,
  attempts: undefined,
  open: new Map(),
  ended: new Map(),
})

/** What has been acknowledged was sent, whatever else is known. */
const maybeSent = (box: Box, open: Open): boolean =>
  open.command.offset <= box.sentUpTo || open.deliveredAtMs !== undefined

export const openCommand = (box: Box, open: Open): OpenCommand => ({
  ...open.command,
  maybeSent: maybeSent(box, open),
  ...(open.sentAtMs === undefined ? {} : { sentAtMs: open.sentAtMs }),
  ...(open.deliveredAtMs === undefined ? {} : { deliveredAtMs: open.deliveredAtMs }),
})

export function depthOf(box: Box | undefined): Depth {
  const open = [...(box?.open.values() ?? [])]
  return {
    commands: open.length,
    bytes: open.reduce((sum, each) => sum + bytesOf(each), 0),
    oldestAtMs: open[0]?.command.acceptedAtMs,
  }
}

/** What has been delivered needs its payload no more. */
const bytesOf = (open: Open): number =>
  open.deliveredAtMs === undefined ? open.command.payload.length : 0

export interface Leaving {
  readonly open: Open
  readonly status: 'superseded' | 'dropped'
  readonly reason: 'collapsed' | 'mailbox-full'
}

/**
 * Who must go so that one more command fits; undefined: it does not fit, and nobody goes.
 * What may have been sent never goes (rule 3), nor what a link is about to be given: it is attached.
 */
export function makeRoom(
  box: Box | undefined,
  command: Command,
  options: AppendOptions,
  attached: boolean,
): readonly Leaving[] | undefined {
  const all = [...(box?.open.values() ?? [])]
  let commands = all.length + 1
  let bytes = all.reduce((sum, each) => sum + bytesOf(each), command.payload.length)
  const fits = () => commands <= options.maxCommands && bytes <= options.maxBytes
  const leaving: Leaving[] = []
  const leave = (open: Open, status: Leaving['status'], reason: Leaving['reason']) => {
    leaving.push({ open, status, reason })
    commands -= 1
    bytes -= bytesOf(open)
  }
  const intended = attached ? (box?.intended ?? 0) : 0
  const unsent = all.filter((open) => !maybeSent(box!, open) && open.command.offset > intended)
  for (const open of unsent) {
    if (command.collapse !== undefined && open.command.collapse === command.collapse) {
      leave(open, 'superseded', 'collapsed')
    }
  }
  if (options.overflow === 'drop-oldest') {
    for (const open of unsent) {
      if (fits()) break
      if (!leaving.some((other) => other.open === open)) leave(open, 'dropped', 'mailbox-full')
    }
  }
  return fits() ? leaving : undefined
}

/** Newest first by acceptance, over all channels of a device; the cursor is the last one's serial. */
export function historyOf(disk: MemoryDisk, device: DeviceKey, query: HistoryQuery): HistoryPage {
  const before = query.after === undefined ? Number.POSITIVE_INFINITY : Number(query.after)
  const found: { serial: number; item: Found }[] = []
  for (const [channel, box] of disk.boxes) {
    if (deviceOf(channel) !== device) continue
    for (const open of box.open.values()) {
      found.push({ serial: open.serial, item: { kind: 'open', command: openCommand(box, open) } })
    }
    for (const { serial, command } of box.ended.values()) {
      found.push({ serial, item: { kind: 'ended', command } })
    }
  }
  for (const [channel, plan] of disk.plans) {
    if (deviceOf(channel) !== device) continue
    for (const { serial, command } of plan.waiting.values()) {
      found.push({ serial, item: asOpen(command) })
    }
  }
  const following = found
    .filter(({ serial, item }) => {
      const status = item.kind === 'open' ? 'open' : item.command.status
      return serial < before && (query.status === undefined || query.status === status)
    })
    .sort((a, b) => b.serial - a.serial)
  const page = following.slice(0, query.limit)
  const next = following.length > page.length ? page.at(-1) : undefined
  return { items: page.map(({ item }) => item), next: next && `${next.serial}` }
}

/** Ends of commands that were certainly never written to a link (rule 3). */
const unsent = new Set<EndStatus>(['expired', 'canceled', 'superseded', 'dropped'])

/** Whether what has happened since it was decided makes this change untrue. */
export function isUntrue(box: Box, open: Open, change: Change): boolean {
  if (change.kind !== 'ended') return false
  if (change.status === 'in-doubt') {
    return open.deliveredAtMs !== undefined && change.reason !== 'device-removed'
  }
  return unsent.has(change.status) && maybeSent(box, open)
}

interface Ending {
  readonly status: EndStatus
  readonly reason?: string
  readonly atMs: number
  readonly reply?: Reply
  readonly steps?: readonly Step[]
}

/** The way of every command from open to ended: state, history, event and counter together. */
export class End {
  readonly #disk: MemoryDisk
  readonly #events: MemoryEvents

  constructor(disk: MemoryDisk, events: MemoryEvents) {
    this.#disk = disk
    this.#events = events
  }

  accepted(app: AppId): void {
    const counts = this.#disk.counts.get(app) ?? { accepted: 0, open: 0, ended: {} }
    counts.accepted += 1
    counts.open += 1
    this.#disk.counts.set(app, counts)
  }

  end(channel: ChannelId, box: Box, open: Open, ending: Ending): void {
    const { app, device, channel: name } = channelParts(channel)
    const ended = endedCommand(open, ending)
    box.open.delete(ended.offset)
    box.ended.set(ended.offset, { command: ended, serial: open.serial, atMs: ending.atMs })
    const counts = this.#disk.counts.get(app)!
    counts.open -= 1
    counts.ended = { ...counts.ended, [ended.status]: (counts.ended[ended.status] ?? 0) + 1 }
    if (ended.broadcast !== undefined) {
      endedInBroadcast(this.#disk, app, ended.broadcast, ended.status)
    }
    this.#events.keep({
      kind: 'command.ended',
      app,
      device,
      channel: name,
      atMs: ending.atMs,
      ended,
    })
  }
}

function endedCommand(
  open: Open,
  { status, reason, atMs, reply, steps = [] }: Ending,
): EndedCommand {
  const { command, sentAtMs, deliveredAtMs } = open
  // Whoever ended it may not know yet what came with the same commit.
  const others = steps.filter((step) => step.status !== 'delivered' || deliveredAtMs === undefined)
  const why = reason === undefined ? {} : { reason }
  const known: Step[] = [{ status: 'queued', atMs: command.acceptedAtMs }]
  if (sentAtMs !== undefined) known.push({ status: 'sent', atMs: sentAtMs })
  if (deliveredAtMs !== undefined) known.push({ status: 'delivered', atMs: deliveredAtMs })
  const { id, channel, epoch, offset, name, delivery, expect } = command
  const { acceptedAtMs, expiresAtMs, askedBy, notBeforeMs, callback, broadcast, traceparent } =
    command
  return {
    ...{ id, channel, epoch, offset, name, delivery, expect },
    ...{ acceptedAtMs, expiresAtMs, askedBy },
    ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
    ...(callback === undefined ? {} : { callback }),
    ...(broadcast === undefined ? {} : { broadcast }),
    ...(traceparent === undefined ? {} : { traceparent }),
    ...{ status, ...why },
    timeline: [...[...known, ...others].sort((a, b) => a.atMs - b.atMs), { status, atMs, ...why }],
    ...(reply === undefined ? {} : { reply }),
  }
}
