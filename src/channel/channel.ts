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
  Stamp,
} from '../contract/index.ts'
import { type Arrival, settleArrival } from './arrival.ts'
import { Dedupe, type Judgement } from './dedupe.ts'
import type { Effect } from './effects.ts'
import { acknowledged } from './lifecycle.ts'
import { Liveness } from './liveness.ts'
import { Pump } from './pump.ts'
import { currentEpoch, resume } from './resume.ts'
import { type Out, Window } from './window.ts'

/** A command that was proven to have arrived after it had ended. */
export interface LateProof {
  readonly offset: Offset
  readonly id: CommandId
}

/**
 * The live state of one channel while something is attached to it.
 *
 * Pure: a method takes the time, changes the state and adds to `effects` what should happen. It
 * never waits and holds no clock. All that must outlive the attachment is in the mailbox.
 *
 *     mailbox ──read──▶ pump ▶ window ──deliver──▶ link
 *     mailbox ◀─settle─ lifecycle ◀ window ◀─acknowledge── link
 *     mailbox ◀─settle─ dedupe ◀──────────────receive───── link
 *              any sign of life ▶ liveness
 */
export class Channel {
  readonly id: ChannelId
  readonly resumed: 'resumed' | 'fresh' | 'tail-lost'
  readonly uplinkKept: Sequence
  /** To be carried out by the hub, in order, and emptied. */
  readonly effects: Effect[] = []
  readonly pump: Pump
  readonly liveness: Liveness

  readonly #window: Window
  readonly #epoch: Epoch
  readonly #start: Offset
  /** None where its device numbers nothing; most do not, or bring it by another way. */
  readonly #uplinks: Dedupe | undefined
  readonly #uplinkEpoch: Epoch | undefined
  /** Ended as in doubt while out on this link: a late acknowledgement is proof worth telling. */
  #doubted: Map<Offset, CommandId> | undefined
  readonly #doubtedMax: number

  /** @param uplinks what others who bring uplinks of this channel judge by too; with an `uplinkEpoch`. */
  constructor(
    id: ChannelId,
    head: Head,
    arrival: Arrival,
    limits: Limits,
    nowMs: number,
    uplinks?: Dedupe,
  ) {
    const { resumed, start } = resume(head, arrival.resumeFrom)
    this.id = id
    this.resumed = resumed
    this.#epoch = currentEpoch(head)
    this.#start = start
    const { uplinkEpoch } = arrival
    this.#uplinks = uplinks
    this.#uplinkEpoch = uplinkEpoch
    // The last that is kept, not the last that was judged (rule 15).
    this.uplinkKept = uplinkEpoch === undefined ? 0 : new Dedupe(head.uplinks).keptUpTo(uplinkEpoch)
    this.#window = new Window(arrival.windowMaxCommands, limits.windowMaxBytes)
    this.#doubtedMax = limits.mailboxMaxCommands
    const { acknowledges } = arrival
    this.pump = new Pump(this.effects, this.#window, head, start, acknowledges)
    this.liveness = new Liveness(this.effects, this.#window, limits, arrival.keepaliveMs, nowMs)
    const settlement = settleArrival(this, head, arrival, limits, nowMs)
    this.effects.push({ kind: 'settle', settlement })
  }

  /** Where it started; derived, since it is asked for once or twice. */
  get position(): Position {
    return { epoch: this.#epoch, offset: this.#start }
  }

  get inFlight(): number {
    return this.#window.size
  }

  get windowMaxCommands(): number {
    return this.#window.maxCommands
  }

  /**
   * The device's end has this one (rule 12). Answers with what had ended in doubt before: the proof
   * comes late, changes nothing, but is told. 'unknown': neither sent nor resumed past.
   */
  acknowledge(offset: Offset, nowMs: number): readonly LateProof[] | 'unknown' {
    if (!this.pump.spoken(offset)) return 'unknown'
    const out = this.#window.acknowledge(offset)
    this.#settleAcknowledged(out === undefined ? [] : [out], nowMs)
    return this.#lateProof(offset, offset)
  }

  /** It has this one and all before it. */
  acknowledgeUpTo(offset: Offset, nowMs: number): readonly LateProof[] | 'unknown' {
    if (!this.pump.spoken(offset)) return 'unknown'
    this.#settleAcknowledged(this.#window.acknowledgeUpTo(offset), nowMs)
    return this.#lateProof(0, offset)
  }

  /** A command out on this link, for whoever has a reply to it. */
  outstanding(offset: Offset): OpenCommand | undefined {
    return this.#window.get(offset)?.command
  }

  /** The same, with when it was written to this link. */
  out(offset: Offset): Out | undefined {
    return this.#window.get(offset)
  }

  /** A reply to this one is being kept: no later acknowledgement of it needs anything. */
  replying(offset: Offset, nowMs: number): void {
    this.liveness.touch(nowMs)
    const out = this.#window.acknowledge(offset)
    if (out !== undefined) this.liveness.acknowledged(out, nowMs)
    this.#doubted?.delete(offset)
  }

  /** A command ended in doubt while it was out: it holds no place any more. */
  withdraw(offset: Offset): void {
    const out = this.#window.get(offset)
    if (out === undefined) return
    this.pump.retire([offset])
    this.#doubted ??= new Map()
    if (this.#doubted.size < this.#doubtedMax) this.#doubted.set(offset, out.command.id)
  }

  /**
   * Is an uplink new? Without a stamp, or of a device that came saying it numbers nothing, nobody can
   * tell, and each arrival is. The answer holds for the batch that keeps it together with
   * `keptUplinks`: from then on it is not.
   */
  judge({ stamp }: { readonly stamp?: Stamp }): Judgement {
    if (stamp === undefined || this.#uplinks === undefined) return 'fresh'
    return this.#uplinks.judge(stamp, this.isInOrder(stamp))
  }

  /** Would it be new? For what cannot be kept at once. */
  look({ stamp }: { readonly stamp?: Stamp }): Judgement {
    if (stamp === undefined || this.#uplinks === undefined) return 'fresh'
    return this.#uplinks.look(stamp, this.isInOrder(stamp))
  }

  /** What this session brings so comes in order: all before it was seen, or is lost. */
  isInOrder(stamp: Stamp): boolean {
    return stamp.epoch === this.#uplinkEpoch
  }

  /** What the batch of judged uplinks must keep so that their repeats are known. */
  get keptUplinks(): string | undefined {
    return this.#uplinks?.encode()
  }

  #settleAcknowledged(outs: readonly Out[], nowMs: number): void {
    this.liveness.touch(nowMs)
    const changes: Change[] = []
    for (const out of outs) {
      this.liveness.acknowledged(out, nowMs)
      const change = acknowledged(out.command, nowMs)
      if (change !== undefined) changes.push(change)
    }
    if (changes.length > 0) this.pump.settle(changes)
  }

  #lateProof(from: Offset, upTo: Offset): readonly LateProof[] {
    if (this.#doubted === undefined || this.#doubted.size === 0) return nothing
    const late: LateProof[] = []
    for (const [offset, id] of this.#doubted) {
      if (offset < from || offset > upTo) continue
      late.push({ offset, id })
      this.#doubted.delete(offset)
    }
    return late
  }
}

const nothing: readonly LateProof[] = []
