import type { CommandFrame } from '../adapters/pike/frames.ts'
import type { Epoch, Offset, Position } from '../src/contract/index.ts'
import { movePosition } from './storage.ts'

/** A command as it came, with what tells it from others. */
export interface Received {
  readonly epoch: Epoch
  readonly frame: CommandFrame
  /** The session it came in: what is acknowledged in another would be a lie. */
  readonly session: number
}

/** Acknowledge at the latest after this, or this many. */
export const ackDelayMs = 200
const ackEvery = 8

/**
 * Commands of one channel, from the wire to the application, one at a time and in order. Pure.
 *
 *     received ──▶ queue ──▶ at the application ──▶ stored ──▶ owed an acknowledgement ──▶ done with
 *
 * A position moves once a command has been acted on, and is stored before it is acknowledged. What
 * lies at or below it is never handed on again, whatever the server repeats.
 */
export class Inbox {
  readonly positions: Position[]
  readonly #windowMax: number
  #session = 0
  #epoch: Epoch = 0
  #firstEpoch: Epoch = 0
  /** Highest offset received in this session. */
  #received: Offset = 0
  /** Received in this session and not acknowledged by us. */
  #open = 0
  #queue: Received[] = []
  /** Acted on, stored, not acknowledged yet; in order. */
  #owed: Position[] = []
  #owedSinceMs = 0
  /** Refused by a REPLY that is not written yet; no acknowledgement may overtake it. In order. */
  #refused: Position[] = []

  /** @param positions as stored; the last is where the channel stands. */
  constructor(positions: Position[], windowMax: number) {
    this.positions = positions
    this.#windowMax = windowMax
  }

  get position(): Position | undefined {
    return this.positions.at(-1)
  }

  /** Commands this client takes before it acknowledges. */
  get windowMax(): number {
    return this.#windowMax
  }

  /** A new session; what was received in the last and not handed on will come again. */
  welcome(session: number, epoch: Epoch): void {
    this.lost()
    this.#session = session
    this.#epoch = epoch
    this.#firstEpoch = epoch
  }

  lost(): void {
    this.#session = 0
    this.#received = 0
    this.#open = 0
    this.#queue = []
    this.#owed = []
    this.#refused = []
  }

  /** The commands that follow were numbered in this epoch. */
  renumbered(epoch: Epoch): void {
    this.#epoch = epoch
  }

  /** @returns what the server did wrong, if anything. */
  take(frame: CommandFrame): string | undefined {
    if (frame.offset <= this.#received) return 'a command out of order'
    if (this.#open >= this.#windowMax) return 'more commands than the window allows'
    this.#received = frame.offset
    this.#open++
    this.#queue.push({ epoch: this.#epoch, frame, session: this.#session })
    return undefined
  }

  next(): Received | undefined {
    return this.#queue.shift()
  }

  /** Acted on before, by this device in this life of its storage. */
  isRepeat({ epoch, frame }: Received): boolean {
    for (const known of this.positions)
      if (known.epoch === epoch) return frame.offset <= known.offset
    return false
  }

  moved(position: Position): void {
    movePosition(this.positions, position)
  }

  /** Stored: an acknowledgement is owed to the session it came in, if that is still this one. */
  owe({ epoch, frame, session }: Received, nowMs: number): void {
    if (session !== this.#session || session === 0) return
    if (this.#owed.length === 0) this.#owedSinceMs = nowMs
    this.#owed.push({ epoch, offset: frame.offset })
  }

  /** Its own REPLY will acknowledge it; until then nothing else may. */
  refuse({ epoch, frame, session }: Received): void {
    if (session !== this.#session || session === 0) return
    this.#refused.push({ epoch, offset: frame.offset })
  }

  /** That REPLY can never be written: all that is left to say is that the command came. */
  unrefused(epoch: Epoch, offset: Offset, nowMs: number): void {
    if (!take(this.#refused, epoch, offset)) return
    if (this.#owed.length === 0) this.#owedSinceMs = nowMs
    const behind = this.#owed.findIndex((one) => one.offset > offset)
    this.#owed.splice(behind === -1 ? this.#owed.length : behind, 0, { epoch, offset })
  }

  /** When an acknowledgement must go, if nothing takes it along before. */
  get ackDueMs(): number {
    const count = this.#payable
    if (count === 0) return Number.POSITIVE_INFINITY
    const most = Math.min(ackEvery, Math.ceil(this.#windowMax / 2))
    return count >= most ? 0 : this.#owedSinceMs + ackDelayMs
  }

  /** How many of what is owed no refusal stands before. */
  get #payable(): number {
    const limit = this.#refused[0]?.offset
    if (limit === undefined) return this.#owed.length
    let count = 0
    while (count < this.#owed.length && this.#owed[count]!.offset < limit) count++
    return count
  }

  /**
   * A reply goes out, which acknowledges its command. It may be one of an older session, and the
   * epochs of this one may have moved on twice since its command came: only the position tells.
   */
  replied(epoch: Epoch, offset: Offset): void {
    if (take(this.#owed, epoch, offset) || take(this.#refused, epoch, offset)) this.#open--
  }

  /** @returns what to acknowledge now, everything before it included; undefined: nothing is owed. */
  acknowledge(): Offset | undefined {
    const count = this.#payable
    if (count === 0) return undefined
    this.#open -= count
    return this.#owed.splice(0, count).at(-1)?.offset
  }

  /** May a reply leave its epoch out? Only where nobody could read it as another. */
  isPlain(epoch: Epoch): boolean {
    return epoch === this.#firstEpoch && epoch === this.#epoch
  }
}

function take(list: Position[], epoch: Epoch, offset: Offset): boolean {
  const at = list.findIndex((one) => one.offset === offset && one.epoch === epoch)
  if (at !== -1) list.splice(at, 1)
  return at !== -1
}
