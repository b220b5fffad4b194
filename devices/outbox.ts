import type { Epoch, Offset, Position, Sequence } from '../src/contract/index.ts'
import type { DeviceLimits } from './limits.ts'
import type { Uplink } from './storage.ts'

/** What became of something sent. `kept`: the server has it, durable. */
export type Sent =
  | { readonly kind: 'kept'; readonly sequence: Sequence }
  /** Not reliable: given to the socket; nobody will say more. */
  | { readonly kind: 'written' }
  | { readonly kind: 'failed'; readonly reason: SendFailure }

export type SendFailure =
  /** Too many wait for the server already. */
  | 'outbox-full'
  | 'too-large'
  /** The gateway keeps nothing that lies so far behind what it has of this device: so it may be a repeat. */
  | 'stale-stamp'
  /** The gateway does not know this channel, or not any more. */
  | 'unknown-channel'
  /** The gateway takes it never as it is, and could not say more: a name or status it does not like. */
  | 'refused'
  /** The client is stopped. What was already in the outbox stays there and goes after a restart. */
  | 'stopped'
  /** Unreliable, and there is no connection, or it does not take more. */
  | 'not-connected'
  | 'busy'
  /** Unknown channel, empty name or a payload that is not JSON: a mistake of the caller. */
  | 'invalid'
  /** The storage could not keep it. */
  | 'storage'

export interface Slot {
  readonly uplink: Uplink
  /** Told once what became of it; undefined for what an earlier life of the client left. */
  settle: ((sent: Sent) => void) | undefined
  writtenAtMs: number
}

/**
 * Uplinks of one channel that the server has not acknowledged, in order. Pure.
 *
 *     gone | out on this connection | stored, to be sent | being stored
 *          ^ 0                      ^ next               ^ stored        slots
 *
 * Nothing is sent before it is stored: a sequence used on the wire and forgotten would be used
 * again for something else, which the server would take for a repeat and drop.
 */
export class Outbox {
  uplinkEpoch: Epoch
  readonly #limits: DeviceLimits
  #slots: Slot[] = []
  #next = 0
  #stored = 0
  #bytes = 0
  #lastSequence: Sequence
  /** Highest sequence ever written to this or an earlier connection, by us. */
  #lastWritten: Sequence = 0

  constructor(
    uplinkEpoch: Epoch,
    lastSequence: Sequence,
    stored: readonly Uplink[],
    limits: DeviceLimits,
  ) {
    this.uplinkEpoch = uplinkEpoch
    this.#lastSequence = lastSequence
    this.#limits = limits
    for (const uplink of stored) this.#push({ uplink, settle: undefined, writtenAtMs: 0 })
    this.#stored = this.#slots.length
    // An earlier life may have written any of these.
    this.#lastWritten = lastSequence
  }

  get size(): number {
    return this.#slots.length
  }

  get nextSequence(): Sequence {
    return this.#lastSequence + 1
  }

  get inFlight(): number {
    return this.#next
  }

  /** When the oldest one out on this connection was written. */
  get oldestAtMs(): number | undefined {
    return this.#next === 0 ? undefined : this.#slots[0]!.writtenAtMs
  }

  /** Replies may use what is reserved for them: an answer must not be lost to chatter. */
  room(kind: Uplink['kind'], bytes: number): boolean {
    const { outboxMaxMessages, outboxMaxBytes, replyReserve } = this.#limits
    if (kind === 'reply') return this.#slots.length < outboxMaxMessages
    return (
      this.#slots.length < outboxMaxMessages - replyReserve && this.#bytes + bytes <= outboxMaxBytes
    )
  }

  /** The oldest refusal nobody asked for that the server does not have yet: what stands before it. */
  get beforeRefusal(): Position | undefined {
    for (const { uplink } of this.#slots)
      if (uplink.kind === 'reply' && uplink.unasked === true)
        return { epoch: uplink.epoch, offset: uplink.offset - 1 }
    return undefined
  }

  /** Such a refusal of this command, not written on this connection yet? */
  isRefusing(epoch: Epoch, offset: Offset): boolean {
    for (let i = this.#next; i < this.#slots.length; i++) {
      const { uplink } = this.#slots[i]!
      if (uplink.kind !== 'reply' || uplink.unasked !== true) continue
      if (uplink.epoch === epoch && uplink.offset === offset) return true
    }
    return false
  }

  /** Its sequence must be `nextSequence`. */
  add(slot: Slot): void {
    this.#lastSequence = slot.uplink.sequence
    this.#push(slot)
  }

  /** Everything up to and with this is durable. */
  stored(upTo: Sequence): void {
    while (this.#stored < this.#slots.length && this.#slots[this.#stored]!.uplink.sequence <= upTo)
      this.#stored++
  }

  /**
   * A new connection, on which the server says what it has; all else goes again, in order.
   * 'forgot': it has what we know nothing of, so our storage is older than what we once sent.
   */
  welcome(kept: Sequence, gone: (slot: Slot) => void): 'ok' | 'forgot' {
    if (kept > this.#lastWritten) return 'forgot'
    this.#next = 0
    this.#drop(kept, gone)
    return 'ok'
  }

  /** No connection: nothing is out. */
  lost(): void {
    this.#next = 0
  }

  /** 'unknown': we never sent that one. */
  acknowledge(upTo: Sequence, gone: (slot: Slot) => void): 'ok' | 'unknown' {
    if (upTo > this.#lastWritten) return 'unknown'
    this.#drop(upTo, gone)
    return 'ok'
  }

  /** The next to be written, if there is one. */
  peek(windowMax: number): Slot | undefined {
    return this.#next < this.#stored && this.#next < windowMax ? this.#slots[this.#next] : undefined
  }

  /** What was peeked at is written. */
  written(nowMs: number): void {
    const slot = this.#slots[this.#next++]!
    slot.writtenAtMs = nowMs
    if (slot.uplink.sequence > this.#lastWritten) this.#lastWritten = slot.uplink.sequence
  }

  /** What was peeked at can never be written. */
  remove(): Slot {
    const [slot] = this.#slots.splice(this.#next, 1)
    this.#stored--
    this.#bytes -= slot!.uplink.payload.length
    return slot!
  }

  /** Number everything anew. @returns what to store under the new epoch, in order. */
  renumber(uplinkEpoch: Epoch): readonly Uplink[] {
    this.uplinkEpoch = uplinkEpoch
    this.#next = 0
    this.#stored = 0
    this.#lastWritten = 0
    this.#slots = this.#slots.map((slot, index) => ({
      ...slot,
      uplink: { ...slot.uplink, sequence: index + 1 },
    }))
    this.#lastSequence = this.#slots.length
    return this.#slots.map(({ uplink }) => uplink)
  }

  /** Tell everybody who still waits; what is stored stays stored. */
  settleAll(sent: Sent): void {
    for (const slot of this.#slots) {
      slot.settle?.(sent)
      slot.settle = undefined
    }
  }

  #push(slot: Slot): void {
    this.#slots.push(slot)
    this.#bytes += slot.uplink.payload.length
  }

  #drop(upTo: Sequence, gone: (slot: Slot) => void): void {
    let count = 0
    while (count < this.#stored && this.#slots[count]!.uplink.sequence <= upTo) count++
    if (count === 0) return
    const slots = this.#slots.splice(0, count)
    this.#next = Math.max(0, this.#next - count)
    this.#stored -= count
    for (const slot of slots) this.#bytes -= slot.uplink.payload.length
    for (const slot of slots) gone(slot)
  }
}
