import type { Change, Head, Offset, OpenCommand, Reading } from '../contract/index.ts'
import type { Effect, Pause } from './effects.ts'
import { ended } from './lifecycle.ts'
import type { Window } from './window.ts'

/**
 * The only way from mailbox to link: what is attached, hinted at and found by patrol takes the same
 * one, so replay and live traffic cannot race.
 *
 *     durable in the mailbox                                 on the link
 *   | taken                     | not taken yet  |
 *   | 1  2  3  4  5  6  7  8  9 | 10  12  13     |  ──▶  window ──▶ deliver
 *                   takenUpTo ^            top ^
 *
 * Nothing that was read is held back: what has to wait is read again when its time has come, since
 * it may end meanwhile, and then must never be written. And nothing is written past a command that
 * was passed over before the end of that one is durable: the mailbox's `read` sees to it.
 */
export class Pump {
  readonly #effects: Effect[]
  readonly #window: Window
  readonly #acknowledges: boolean
  /** The ends of what was just written to a link that tells nothing (rule 23). */
  #unheard: Change[] | undefined
  #takenUpTo: Offset
  #top: Offset
  /** Highest offset this session may speak of: sent in it, or resumed past. */
  #spokenUpTo: Offset
  /** Nothing above is written before an intent to do so is kept (rule 4). */
  #intended: Offset
  #reading = false
  #intending = false
  /** The next command does not fit into what is left of the window's bytes. */
  #bytesFull = false
  #linkFull = false
  #running = false
  #held = false
  /** No more are out at once than this, which is the window or less. */
  #most: number

  /**
   * @param start where delivery starts.
   * @param acknowledges whether the link tells what has arrived. Where it does not, what is written
   * takes no room, and what may have been written before is passed over (rule 23).
   */
  constructor(effects: Effect[], window: Window, head: Head, start: Offset, acknowledges = true) {
    this.#effects = effects
    this.#window = window
    this.#acknowledges = acknowledges
    this.#takenUpTo = start
    this.#spokenUpTo = start
    this.#top = head.top
    this.#intended = head.intended
    this.#most = window.maxCommands
  }

  /** The device knows it is attached; commands may follow. */
  start(): void {
    this.#running = true
    this.#read()
  }

  stop(): void {
    this.#running = false
  }

  /** So many may be out at once, where that is less than the window; what is out stays out. */
  narrow(max: number): void {
    this.#most = Math.min(this.#window.maxCommands, max)
    this.#read()
  }

  /** Nothing more is written while it is held; what is out stays out. */
  hold(held: boolean): void {
    this.#held = held
    this.#read()
  }

  /** There is durable mail up to here; `intended`: with the intent to send it kept beside it. */
  hint(top: Offset, intended: boolean): void {
    if (top > this.#top) this.#top = top
    if (intended && top > this.#intended) this.#intended = top
    this.#read()
  }

  /** Look once more, in case a hint was lost. */
  patrol(): void {
    if (this.idle && !this.#reading) this.#ask()
    else this.#read()
  }

  /** What a `read` found; `carries` is the link's word on what it can carry at all. */
  offer(reading: Reading, carries: (command: OpenCommand) => boolean, nowMs: number): void {
    this.#reading = false
    if (!this.#running || this.#held) return
    this.#take(reading, carries, nowMs)
    const unheard = this.#unheard
    if (unheard === undefined) return
    this.#unheard = undefined
    this.settle(unheard)
  }

  #take(reading: Reading, carries: (command: OpenCommand) => boolean, nowMs: number): void {
    if (reading.lookedUpTo > this.#top) this.#top = reading.lookedUpTo
    for (const command of reading.commands) {
      const never = unwritable(command, carries, nowMs)
      if (never !== undefined) {
        this.settle([never])
        this.#takenUpTo = command.offset
        this.#read()
        return
      }
      const again = command.maybeSent && !this.#acknowledges
      if (!again && !this.#write(command, nowMs)) return
      this.#takenUpTo = command.offset
    }
    this.#takenUpTo = Math.max(this.#takenUpTo, reading.lookedUpTo)
    this.#read()
  }

  /** An `intend` was kept; when it could not be, the engine is down and ends this session. */
  intended(upTo: Offset): void {
    this.#intending = false
    if (upTo > this.#intended) this.#intended = upTo
    this.#read()
  }

  /** The link takes no more until `drained`. */
  linkFull(): void {
    this.#linkFull = true
  }

  drained(): void {
    this.#linkFull = false
    this.#read()
  }

  /** These hold no place in the window any more. */
  retire(offsets: Iterable<Offset>): void {
    for (const offset of offsets) this.#window.retire(offset)
    this.#bytesFull = false
    this.#read()
  }

  /** Changes are kept, and with them an intent. */
  settled(changes: readonly Change[], intendUpTo: Offset | undefined): void {
    if (intendUpTo !== undefined && intendUpTo > this.#intended) this.#intended = intendUpTo
    this.retire(changes.map(({ offset }) => offset))
  }

  /** Have these changes kept, and the intent carried along at no cost. */
  settle(changes: readonly Change[]): void {
    this.#effects.push({ kind: 'settle', settlement: { changes, intendUpTo: this.intendAhead } })
  }

  /** How far the next batch of this channel may carry the intent. */
  get intendAhead(): Offset {
    return Math.min(this.#top, this.#spokenUpTo + this.#window.maxCommands)
  }

  /** Up to where a command that is appended now will be taken at once; 0: none will. */
  get takesUpTo(): Offset {
    return this.idle ? this.#takenUpTo + this.#most - this.#window.size : 0
  }

  /** May this session speak of a command at all (rule 12)? */
  spoken(offset: Offset): boolean {
    return offset <= this.#spokenUpTo
  }

  /** Everything durable has been taken, and there is room: the next command can go at once. */
  get idle(): boolean {
    return this.paused === 'caught-up' && !this.#windowFull
  }

  get paused(): Pause | undefined {
    if (!this.#running) return 'no-link'
    if (this.#held) return 'leaving'
    if (this.#linkFull) return 'link-full'
    if (this.#intending) return 'keeping-intent'
    if (this.#takenUpTo >= this.#top) return 'caught-up'
    return this.#windowFull ? 'window-full' : undefined
  }

  get #windowFull(): boolean {
    return this.#bytesFull || this.#window.size >= this.#most
  }

  #read(): void {
    if (!this.#reading && this.paused === undefined) this.#ask()
  }

  #ask(): void {
    const max = Math.max(1, this.#most - this.#window.size)
    this.#reading = true
    this.#effects.push({ kind: 'read', after: this.#takenUpTo, max })
  }

  /** False: not now. */
  #write(command: OpenCommand, nowMs: number): boolean {
    if (this.#linkFull) return false
    if (!this.#window.room(command.payload.length)) {
      this.#bytesFull = true
      return false
    }
    if (command.offset > this.#intended) {
      this.#intend(command.offset)
      return false
    }
    this.#spokenUpTo = command.offset
    if (this.#acknowledges) this.#window.admit(command, command.maybeSent, nowMs)
    else if (command.expect === 'ack') {
      this.#unheard ??= []
      this.#unheard.push(ended(command, 'in-doubt', 'no-acknowledgement', nowMs))
    }
    this.#effects.push({ kind: 'deliver', command, repeated: command.maybeSent })
    return true
  }

  #intend(offset: Offset): void {
    this.#intending = true
    const upTo = Math.max(offset, Math.min(this.#top, offset + this.#window.maxCommands))
    this.#effects.push({ kind: 'intend', upTo })
  }
}

/**
 * The end of a command that will not be written to this link: it is late, may not go twice, or does
 * not fit. One that may have been written before is in doubt by this, and not only a while after its
 * deadline: it must have ended before the device's position passes it.
 */
function unwritable(
  command: OpenCommand,
  carries: (command: OpenCommand) => boolean,
  nowMs: number,
): Change | undefined {
  const { maybeSent } = command
  if (nowMs >= command.expiresAtMs) {
    return maybeSent
      ? ended(command, 'in-doubt', 'maybe-sent', nowMs)
      : ended(command, 'expired', 'ttl-passed', nowMs) // rules 2, 3
  }
  if (maybeSent && command.delivery === 'now') {
    return ended(command, 'in-doubt', 'maybe-sent', nowMs) // rule 5
  }
  if (carries(command)) return undefined
  return maybeSent
    ? ended(command, 'in-doubt', 'too-large', nowMs)
    : ended(command, 'undeliverable', 'too-large', nowMs) // rule 7
}
