import { randomInt } from 'node:crypto'
import type {
  AliasRecord,
  AppId,
  AppRecord,
  BroadcastId,
  ChannelId,
  CommandId,
  Counts,
  DeviceId,
  DeviceRecord,
  EndedCommand,
  EndStatus,
  Epoch,
  EpochSpan,
  KeptCommand,
  KeptEvent,
  KeyRecord,
  NewBroadcast,
  Offset,
  Position,
  ScheduledCommand,
  WebhookRecord,
} from '../../contract/index.ts'
import { epochsKept } from '../../contract/index.ts'

/**
 * What a disk would hold: all that outlives the engine on it, plain data and nothing else, so that
 * a backup is a deep copy.
 */
export interface MemoryDisk {
  /** The engine on it closed in order; otherwise it was killed, or this is a copy. */
  clean: boolean
  /** One more at every start that did not follow a clean close; the last is current. */
  eras: Epoch[]
  /** Counts accepted commands, over all channels: the order of history. */
  accepted: number
  /** The last term claimed, over all channels. */
  term: number
  readonly boxes: Map<ChannelId, Box>
  readonly plans: Map<ChannelId, Plan>
  /** Of every app, in the order they were made. */
  readonly broadcasts: Map<AppId, Map<BroadcastId, Cast>>
  readonly logs: Map<AppId, Log>
  readonly counts: Map<AppId, Tally>
  /** By `app/key`. */
  readonly answers: Map<string, Answer>
  readonly apps: Map<AppId, AppRecord>
  readonly devices: Map<AppId, Map<string, DeviceRecord>>
  readonly keys: Map<AppId, Map<string, KeyRecord>>
  readonly aliases: Map<AppId, Map<string, AliasRecord>>
  readonly webhooks: Map<AppId, Map<string, WebhookRecord>>
  /** By path. */
  readonly shelf: Map<string, string>
}

/** The record of one channel. */
export interface Box {
  epochs: EpochSpan[]
  /** An epoch of its own, in place of an era it was not to go on in. */
  renumbered: { readonly era: Epoch; readonly epoch: Epoch } | undefined
  top: Offset
  intended: Offset
  /** Exact while an engine runs and after a clean close; a crash leaves only `intended`. */
  sentUpTo: Offset
  uplinks: string | undefined
  attempts: { readonly offset: Offset; readonly sessions: number } | undefined
  /** In order of offset. */
  readonly open: Map<Offset, Open>
  readonly ended: Map<Offset, Ended>
}

export interface Open {
  readonly command: KeptCommand
  /** Its place in the order of history. */
  readonly serial: number
  sentAtMs: number | undefined
  deliveredAtMs: number | undefined
}

export interface Ended {
  readonly command: EndedCommand
  readonly serial: number
  readonly atMs: number
}

/** What is scheduled in one channel, by number. */
export interface Plan {
  /** The last number given. */
  last: number
  readonly waiting: Map<number, { readonly command: ScheduledCommand; readonly serial: number }>
  /** Where those lie that are in the mailbox, or were and are not forgotten. */
  readonly placed: Map<number, Position>
}

/** A broadcast. */
export interface Cast {
  readonly made: NewBroadcast
  state: 'running' | 'placed' | 'stopped'
  why: string | undefined
  /** In order of name, each with its command once it has one. */
  readonly members: Map<DeviceId, CommandId | undefined>
  waiting: number
  open: number
  readonly ended: Map<EndStatus, number>
}

/** The events of one app, oldest first: sequences `purged + 1` to `top`. */
export interface Log {
  epochs: EpochSpan[]
  top: number
  purged: number
  events: KeptEvent[]
}

export interface Answer {
  readonly hash: string
  /** Of a command, or of a broadcast. */
  readonly id: string
  readonly atMs: number
}

export type Tally = { -readonly [name in keyof Counts]: Counts[name] }

export const makeDisk = (): MemoryDisk => ({
  clean: false,
  eras: [],
  accepted: 0,
  term: 0,
  boxes: new Map(),
  plans: new Map(),
  broadcasts: new Map(),
  logs: new Map(),
  counts: new Map(),
  answers: new Map(),
  apps: new Map(),
  devices: new Map(),
  keys: new Map(),
  aliases: new Map(),
  webhooks: new Map(),
  shelf: new Map(),
})

/** A backup. Never clean: what was accepted after it was taken is missing from it (rule 13). */
export const copyDisk = (disk: MemoryDisk): MemoryDisk => ({
  ...structuredClone(disk),
  clean: false,
})

/**
 * An engine starts on it.
 *
 * After anything but a clean close nobody knows which numbers were told to devices, so a new
 * epoch begins (rule 13), and nobody knows what was written to links, so all up to the kept
 * intents may have been (rule 4).
 */
export function startOn(disk: MemoryDisk): void {
  const clean = disk.clean
  disk.clean = false
  if (!clean) disk.eras = [...disk.eras, randomInt(1, 2 ** 32)].slice(-epochsKept)
  for (const box of disk.boxes.values()) {
    for (const open of box.open.values()) open.sentAtMs = undefined
    if (!clean) box.sentUpTo = Math.min(box.intended, box.top)
  }
}

export const currentEra = (disk: MemoryDisk): Epoch => disk.eras.at(-1)!

/** In which new commands of a channel are numbered. */
export function epochOf(box: Box, disk: MemoryDisk): Epoch {
  const era = currentEra(disk)
  return box.renumbered?.era === era ? box.renumbered.epoch : era
}

/** Nothing at or below it is undelivered. */
export function cursorOf(box: Box): Offset {
  for (const [offset, open] of box.open) {
    if (open.deliveredAtMs === undefined) return offset - 1
  }
  return box.top
}

/** Number the next one, in the current epoch. */
export function numberNext(numbered: { epochs: EpochSpan[]; top: number }, era: Epoch): number {
  numbered.top += 1
  beginEpoch(numbered, era)
  return numbered.top
}

/** Make the current epoch one of its epochs, and its last the top. */
export function beginEpoch(numbered: { epochs: EpochSpan[]; top: number }, era: Epoch): void {
  const older = numbered.epochs.filter((span) => span.epoch !== era)
  numbered.epochs = [...older, { epoch: era, last: numbered.top }].slice(-epochsKept)
}
