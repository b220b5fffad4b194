import { randomBytes } from 'node:crypto'
import type { WelcomeFrame } from '../adapters/pike/frames.ts'
import { Inbox } from './inbox.ts'
import type { DeviceLimits } from './limits.ts'
import { Outbox } from './outbox.ts'
import type { StoredChannel } from './storage.ts'

/** One channel of a client: both directions, and what the present session agreed on. */
export class DeviceChannel {
  readonly name: string
  /** On the wire of its session; the first of it is 0. */
  number: number
  readonly inbox: Inbox
  readonly outbox: Outbox
  /** A command is at the application or its position is being stored: the next one waits. */
  busy = false
  session: WelcomeFrame | undefined
  /** Deadlines of this session count from here. */
  deadlineBaseMs = 0
  #sessions = 0

  constructor(name: string, number: number, stored: StoredChannel, limits: DeviceLimits) {
    const { uplinkEpoch, lastSequence, positions, outbox } = stored
    this.name = name
    this.number = number
    this.inbox = new Inbox([...positions], limits.windowMaxCommands)
    this.outbox = new Outbox(uplinkEpoch, lastSequence, outbox, limits)
  }

  /**
   * @param askedAtMs WELCOME was made after this moment, so no deadline counted from here lies too
   * late: a door must rather stay shut than open after its time (rule 2).
   */
  welcomed(frame: WelcomeFrame, askedAtMs: number): void {
    this.session = frame
    this.deadlineBaseMs = askedAtMs
    this.inbox.welcome(++this.#sessions, frame.epoch)
  }

  lost(): void {
    this.session = undefined
    this.inbox.lost()
    this.outbox.lost()
  }
}

/** When the oldest unacknowledged uplink of these was written; undefined for none. */
export function oldestAtMs(channels: Iterable<DeviceChannel>): number | undefined {
  let oldestMs: number | undefined
  for (const { outbox } of channels) {
    const atMs = outbox.oldestAtMs
    if (atMs !== undefined && (oldestMs === undefined || atMs < oldestMs)) oldestMs = atMs
  }
  return oldestMs
}

/** 1 to 2^32-1. */
export const makeEpoch = (): number => randomBytes(4).readUInt32BE() || 1
