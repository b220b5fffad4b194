import type {
  Change,
  ChannelId,
  CommandId,
  Epoch,
  Head,
  Limits,
  Offset,
  OpenCommand,
  Position,
  Sequence,
  Uplink,
} from '../contract/index.ts'
import { type Arrival, settleArrival } from './arrival.ts'
import { Dedupe } from './dedupe.ts'
import type { Effect, Pause } from './effects.ts'
import { Keepalive } from './keepalive.ts'
import { acknowledged, ended } from './lifecycle.ts'
import { currentEpoch, resume } from './resume.ts'
import { Roundtrip } from './roundtrip.ts'
import { Window } from './window.ts'

/**
 * The live state of one channel while something is attached to it.
 *
 * Pure: a method takes the time, changes the state and adds to `effects` what should happen. It
 * never waits and holds no clock. All that must outlive the attachment is in the mailbox.
 *
 *     mailbox ──read──▶ offer ▶ ready ▶ window ──deliver──▶ link
 *     mailbox ◀─settle─ lifecycle ◀ window ◀─acknowledge──── link
 *     mailbox ◀─settle─ dedupe ◀────────────────receive───── link
 *                any sign of life ▶ keepalive
 *
 * One reader: what is attached, hinted at and found by patrol takes the same way, so replay and
 * live traffic cannot race.
 */
export class Channel {
  readonly id: ChannelId
  readonly resumed: 'resumed' | 'fresh' | 'tail-lost'
  readonly position: Position
  readonly uplinkKept: Sequence
  /** To be carried out by the hub, in order, and emptied. */
  readonly effects: Effect[] = []

  readonly #limits: Limits
  readonly #uplinks: Dedupe
  readonly #uplinkEpoch: Epoch | undefined
  readonly #keepalive: Keepalive
  readonly #window: Window
  readonly #roundtrip = new Roundtrip()

  /** Everything up to here has been taken from the mailbox; it lies durable up to `#top`. */
  #takenUpTo: Offset
  #top: Offset
  /** Highest offset this session may speak of: sent in it, or resumed past. */
  #spokenUpTo: Offset
  /** Nothing above is written before an intent to do so is kept (rule 4). */
  #intended: Offset
  /** Ended as in doubt while out on this link: a late acknowledgement is proof worth telling. */
  readonly #doubted = new Map<Offset, CommandId>()
  #started = false
  #ended = false
  /** The read under way: how much it asked for, and the top as it was then. */
  #reading: { readonly max: number; readonly top: Offset } | undefined
  #intending = false
  /** The next command does not fit into what is left of the window's bytes. */
  #bytesFull = false
  #linkFull = false
  #askAgainAtMs = 0
  #acknowledgedAtMs: number | undefined

  constructor(id: ChannelId, head: Head, arrival: Arrival, limits: Limits, nowMs: number) {
    const { resumed, start } = resume(head, arrival.resumeFrom)
    this.id = id
    this.resumed = resumed
    this.position = { epoch: currentEpoch(head), offset: start }
    this.#limits = limits
    this.#uplinks = new Dedupe(head.uplinks)
    this.#uplinkEpoch = arrival.uplinkEpoch
    this.uplinkKept =
      arrival.uplinkEpoch === undefined ? 0 : this.#uplinks.high(arrival.uplinkEpoch)
    this.#keepalive = new Keepalive(arrival.keepaliveMs, nowMs)
    this.#window = new Window(arrival.windowMaxCommands, limits.windowMaxBytes)
    this.#takenUpTo = start
    this.#spokenUpTo = start
    this.#top = head.top
    this.#intended = head.intended
    const settlement = settleArrival(this, head, arrival, limits, nowMs)
    this.effects.push({ kind: 'settle', settlement })
  }

  get keepaliveMs(): number {
    return this.#keepalive.intervalMs
  }

  get heardAtMs(): number {
    return this.#keepalive.heardAtMs
  }

  get suspect(): boolean {
    return this.#keepalive.probing
  }

  get acknowledgedAtMs(): number | undefined {
    return this.#acknowledgedAtMs
  }

  get inFlight(): number {
    return this.#window.size
  }

  get windowMaxCommands(): number {
    return this.#window.maxCommands
  }

  /** Everything durable has been taken, and there is room: the next command can go at once. */
  get idle(): boolean {
    return this.paused === 'caught-up' && this.#window.size < this.#window.maxCommands
  }

  get paused(): Pause | undefined {
    if (!this.#started || this.#ended) return 'no-link'
    if (this.#linkFull) return 'link-full'
    if (this.#intending) return 'keeping-intent'
    if (this.#takenUpTo >= this.#top) return 'caught-up'
    return this.#windowFull ? 'window-full' : undefined
  }

  // Down: from the mailbox to the link.

  /** The device knows it is attached; commands may follow. */
  start(): void {
    this.#started = true
    this.#pump()
  }

  /** There is durable mail up to here; `intended`: with the intent to send it kept beside it. */
  hint(top: Offset, intended: boolean): void {
    if (top > this.#top) this.#top = top
    if (intended && top > this.#intended) this.#intended = top
    this.#pump()
  }

  /** Look once more, in case a hint was lost. */
  patrol(): void {
    if (this.#takenUpTo === this.#top) this.#top = this.#takenUpTo + 1
    this.#pump()
  }

  /**
   * What a `read` found, to be written now or read again: nothing is held back here, since what
   * waits may end meanwhile, and then must never be written.
   */
  offer(found: readonly OpenCommand[], nowMs: number): void {
    const read = this.#reading
    this.#reading = undefined
    if (read === undefined || this.#ended) return
    for (const command of found) {
      if (!this.#take(command, nowMs)) return
      this.#takenUpTo = command.offset
    }
    // Fewer than asked for: everything up to the top of then has been looked at.
    if (found.length < read.max) this.#takenUpTo = Math.max(this.#takenUpTo, read.top)
    this.#pump()
  }

  /** An `intend` was kept; when it could not be, the engine is down and ends this session. */
  intended(upTo: Offset): void {
    this.#intending = false
    if (upTo > this.#intended) this.#intended = upTo
    this.#pump()
  }

  /** The link takes no more until `drained`. */
  linkFull(): void {
    this.#linkFull = true
  }

  drained(): void {
    this.#linkFull = false
    this.#pump()
  }

  /** The link can never carry this one; it was not written (rule 7). */
  tooLarge(command: OpenCommand, nowMs: number): void {
    this.#retire(command.offset)
    // An older, roomier link may have carried it: then nobody can say it was never written.
    const change = command.maybeSent
      ? ended(command, 'in-doubt', 'too-large', nowMs)
      : ended(command, 'undeliverable', 'too-large', nowMs)
    this.#settle([change])
    this.#pump()
  }

  /** A command ended by other means than this link: it holds no place any more. */
  withdraw(offset: Offset, inDoubt: boolean): void {
    const out = this.#window.get(offset)
    if (out === undefined) return
    this.#retire(offset)
    if (inDoubt && this.#doubted.size < this.#limits.mailboxMaxCommands) {
      this.#doubted.set(offset, out.command.id)
    }
    this.#pump()
  }

  // Up: from the link to the mailbox.

  /**
   * This one (rule 12). Answers with what had ended in doubt before: the proof comes late, changes
   * nothing, but is told.
   */
  acknowledge(offset: Offset, nowMs: number): readonly CommandId[] | 'unknown' {
    if (offset > this.#spokenUpTo) return 'unknown'
    this.touch(nowMs)
    const out = this.#window.acknowledge(offset)
    if (out !== undefined) this.#settleAcknowledged([out], nowMs)
    return this.#lateProof(offset, offset)
  }

  /** This one and all before it. */
  acknowledgeUpTo(offset: Offset, nowMs: number): readonly CommandId[] | 'unknown' {
    if (offset > this.#spokenUpTo) return 'unknown'
    this.touch(nowMs)
    const outs = this.#window.acknowledgeUpTo(offset)
    if (outs.length > 0) this.#settleAcknowledged(outs, nowMs)
    return this.#lateProof(0, offset)
  }

  /** A command out on this link, for whoever has a reply to it. */
  outstanding(offset: Offset): OpenCommand | undefined {
    return this.#window.get(offset)?.command
  }

  /** May this session speak of a command at all? */
  knows(offset: Offset): boolean {
    return offset <= this.#spokenUpTo
  }

  /** A reply to this one is being kept: no later acknowledgement of it needs anything. */
  replying(offset: Offset, nowMs: number): void {
    this.touch(nowMs)
    const out = this.#window.acknowledge(offset)
    if (out !== undefined) this.#heardOf(out, nowMs)
    this.#doubted.delete(offset)
  }

  /**
   * Which of these uplinks are new; undefined where none can be judged, i.e. it has no stamp.
   * The answer holds for the batch that keeps them, together with `keptUplinks`.
   */
  judge(uplink: { readonly stamp?: Uplink['stamp'] }): 'fresh' | 'duplicate' | 'stale' {
    if (uplink.stamp === undefined) return 'fresh'
    return this.#uplinks.judge(uplink.stamp, uplink.stamp.epoch === this.#uplinkEpoch)
  }

  /** What the batch of these uplinks must keep so that their repeats are known. */
  get keptUplinks(): string {
    return this.#uplinks.encode()
  }

  /** Changes are kept: their places are free. Carries on with what waited. */
  settled(changes: readonly Change[], intendUpTo: Offset | undefined): void {
    for (const change of changes) this.#retire(change.offset)
    if (intendUpTo !== undefined && intendUpTo > this.#intended) this.#intended = intendUpTo
    this.#pump()
  }

  /** How far the next batch of this channel may carry the intent along, at no cost. */
  get intendAhead(): Offset {
    return Math.min(this.#top, this.#spokenUpTo + this.#window.maxCommands)
  }

  // Life.

  touch(nowMs: number): void {
    this.#keepalive.heard(nowMs)
  }

  /** The link is gone or fenced off: nothing more is written, nothing more is moved. */
  end(): void {
    this.#ended = true
  }

  /** When to call `tick` if nothing else happens. */
  get deadlineMs(): number {
    if (this.#ended) return Number.POSITIVE_INFINITY
    const keepaliveMs = this.#keepalive.deadlineMs
    const oldestMs = this.#window.oldestSentAtMs
    if (oldestMs === undefined || this.#keepalive.probing) return keepaliveMs
    return Math.min(keepaliveMs, Math.max(oldestMs + this.#overdueMs, this.#askAgainAtMs))
  }

  tick(nowMs: number): void {
    if (this.#ended) return
    const dead = this.#keepalive.expired(nowMs)
    if (dead !== undefined) {
      this.effects.push({ kind: 'close', reason: dead })
      return
    }
    const oldestMs = this.#window.oldestSentAtMs
    if (oldestMs === undefined || this.#keepalive.probing) return
    if (nowMs < Math.max(oldestMs + this.#overdueMs, this.#askAgainAtMs)) return
    // A late acknowledgement is a question, not a verdict: a slow door is slow (rule 21).
    this.effects.push({ kind: 'probe' })
    this.#askAgainAtMs = nowMs + Math.max(this.#overdueMs, this.#limits.ackOverdueMaxMs)
  }

  /** The probe is on its way. */
  probing(nowMs: number): void {
    this.#keepalive.probe(nowMs, this.#limits.ackOverdueMaxMs)
  }

  get #overdueMs(): number {
    const { ackOverdueMinMs, ackOverdueMaxMs } = this.#limits
    return this.#roundtrip.overdueMs(ackDelayMs, ackOverdueMinMs, ackOverdueMaxMs)
  }

  get #windowFull(): boolean {
    return this.#bytesFull || this.#window.size >= this.#window.maxCommands
  }

  #retire(offset: Offset): void {
    this.#window.retire(offset)
    this.#bytesFull = false
  }

  #pump(): void {
    if (!this.#started || this.#ended || this.#reading !== undefined) return
    if (this.#linkFull || this.#intending || this.#windowFull) return
    if (this.#takenUpTo >= this.#top) return
    const max = this.#window.maxCommands - this.#window.size
    this.#reading = { max, top: this.#top }
    this.effects.push({ kind: 'read', after: this.#takenUpTo, max })
  }

  /** Write a command, or settle that it never will be. False: not now. */
  #take(command: OpenCommand, nowMs: number): boolean {
    // May have been written before: after its deadline, or ever again if it is a `now`, it stays
    // where it is until its time to be in doubt comes (rules 2, 3, 5).
    if (command.maybeSent && (command.delivery === 'now' || nowMs >= command.expiresAtMs)) {
      return true
    }
    if (nowMs >= command.expiresAtMs) {
      this.#settle([ended(command, 'expired', 'ttl-passed', nowMs)])
      return true
    }
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
    this.#window.admit(command, command.maybeSent, nowMs)
    this.effects.push({ kind: 'deliver', command, repeated: command.maybeSent })
    return true
  }

  #intend(offset: Offset): void {
    if (this.#intending) return
    this.#intending = true
    const upTo = Math.max(offset, Math.min(this.#top, offset + this.#window.maxCommands))
    this.effects.push({ kind: 'intend', upTo })
  }

  #settleAcknowledged(
    outs: readonly {
      readonly command: OpenCommand
      readonly sentAtMs: number
      readonly repeated: boolean
    }[],
    nowMs: number,
  ): void {
    const changes: Change[] = []
    for (const out of outs) {
      this.#heardOf(out, nowMs)
      const change = acknowledged(out.command, nowMs)
      if (change !== undefined) changes.push(change)
    }
    if (changes.length > 0) this.#settle(changes)
  }

  #lateProof(from: Offset, upTo: Offset): readonly CommandId[] {
    if (this.#doubted.size === 0) return nothing
    const late: CommandId[] = []
    for (const [offset, id] of this.#doubted) {
      if (offset < from || offset > upTo) continue
      late.push(id)
      this.#doubted.delete(offset)
    }
    return late
  }

  #heardOf(out: { readonly sentAtMs: number; readonly repeated: boolean }, nowMs: number): void {
    this.#acknowledgedAtMs = nowMs
    if (!out.repeated) this.#roundtrip.sample(nowMs - out.sentAtMs)
  }

  #settle(changes: readonly Change[]): void {
    this.effects.push({
      kind: 'settle',
      settlement: { changes, intendUpTo: this.intendAhead },
    })
  }
}

/** Devices acknowledge within this, or with whatever goes their way. */
const ackDelayMs = 200

const nothing: readonly CommandId[] = []
