import type { ServerResponse } from 'node:http'
import type { CommandId, Downlink, Offset, Position } from '../../src/contract/index.ts'
import { hangUpOn } from '../../src/listen/sockets.ts'
import { httpBounds } from './bounds.ts'
import { type Closed, HttpLink, type LinkParts } from './link.ts'

/** A request that waits for commands. */
export interface Waiting {
  /** This seat has some. */
  ready(): void
  /** This seat is over. */
  closed(closed: Closed): void
}

/** What ends a seat that nobody comes back to. */
export interface Patience {
  /** Since an answer was taken, or its poll went away. */
  readonly lingering: { add(seat: Seat): void; remove(seat: Seat): void }
  /** Since an answer was written. */
  readonly answering: { add(seat: Seat): void; remove(seat: Seat): void }
}

/**
 * The link of a device that polls: it stays between polls, and holds what is to be handed over.
 *
 *     acknowledged | handed over, in an answer | for the next answer
 *                              out                      hand
 *
 * It is full from the first command it takes until the next poll. What was handed over and is still
 * out when the device asks again has not arrived. What of that may go again and what may not is for
 * the core to judge (rules 5, 24), so the link is given up for a new one.
 */
export class Seat extends HttpLink {
  readonly windowMaxCommands: number | undefined
  readonly #patience: Patience
  /** The poll it was made for. */
  #held = true
  #waiting: Waiting | undefined
  #started = false
  #hand: Downlink[] = []
  readonly #out = new Map<Offset, CommandId>()
  /** An answer that is being written. */
  #answer: ServerResponse | undefined
  /** When it said that it comes back. */
  #backAtMs: number | undefined

  constructor(parts: LinkParts, patience: Patience, windowMaxCommands: number | undefined) {
    super(parts)
    this.#patience = patience
    this.windowMaxCommands = windowMaxCommands
  }

  /** A poll waits here, or is on its way. */
  get isWaitedFor(): boolean {
    return this.#held || this.#waiting !== undefined
  }

  get hasSome(): boolean {
    return this.#hand.length > 0
  }

  // What the core does.

  deliver(downlink: Downlink): 'full' {
    this.#hand.push(downlink)
    this.#waiting?.ready()
    return 'full'
  }

  /** Nobody can be asked who has not asked. */
  probe(): boolean {
    return false
  }

  protected ending(closed: Closed): void {
    this.#rest()
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) {
      if (closed.reason !== 'normal') this.visitor.tellLater(this.channel, closed)
    } else waiting.closed(closed)
    this.#answer?.destroy()
  }

  // What the device does.

  /**
   * It asks again, and says where it stands. 'again': this link has to be given up for a new one.
   * 'not-sent': it speaks of what it never got.
   */
  comesBack(position: Position | undefined): 'goes-on' | 'again' | 'not-sent' {
    if (position !== undefined) {
      const said = this.acknowledge(position, true)
      // A request that was late on its way may have set this link back behind an earlier one.
      const handedUpTo = this.visitor.handedUpTo.get(this.channel) ?? 0
      if (said === 'not-sent' && position.offset > handedUpTo) return said
      if (said !== 'ok') return 'again'
    }
    if (this.#out.size > 0) return 'again'
    // Nothing is first handed over after its deadline (rule 2).
    const nowMs = this.core.clock.nowMs()
    return this.#hand.some(({ command }) => command.expiresAtMs <= nowMs) ? 'again' : 'goes-on'
  }

  override acknowledge(position: Position, upTo: boolean): ReturnType<HttpLink['acknowledge']> {
    const said = super.acknowledge(position, upTo)
    if (said === 'ok') {
      for (const offset of this.#out.keys()) {
        if (offset === position.offset || (upTo && offset < position.offset))
          this.#out.delete(offset)
      }
    }
    return said
  }

  /** Its reply is kept, which acknowledges it too. */
  override replied(id: CommandId): void {
    for (const [offset, one] of this.#out) if (one === id) this.#out.delete(offset)
  }

  /** A poll is on its way here: nobody gives it up meanwhile. */
  hold(): void {
    this.#held = true
    this.#rest()
  }

  wait(waiting: Waiting): void {
    this.#held = false
    this.#waiting = waiting
    this.#backAtMs = undefined
    if (!this.#started) {
      this.#started = true
      this.session?.start()
    } else if (this.hasSome) waiting.ready()
    else this.session?.drained()
  }

  /** What this answer hands over. */
  handOver(): readonly Downlink[] {
    const items = this.#hand
    this.#hand = []
    for (const one of items) {
      this.#out.set(one.command.offset, one.command.id)
      this.wrote(one)
    }
    return items
  }

  /** Its poll is being answered. */
  answered(answer: ServerResponse, backAtMs: number | undefined): void {
    this.#waiting = undefined
    if (this.session === undefined) return
    this.#backAtMs = backAtMs
    const lingersUntilMs = this.core.clock.nowMs() + httpBounds.pollLingerMs
    if ((backAtMs ?? 0) > lingersUntilMs && this.#out.size === 0 && !this.hasSome) {
      this.detach(true, backAtMs)
      return
    }
    this.#answer = answer
    this.#patience.answering.add(this)
    answer.on('close', () => {
      if (this.#answer !== answer) return
      this.#answer = undefined
      this.#patience.answering.remove(this)
      if (this.session !== undefined && !this.isWaitedFor) this.#patience.lingering.add(this)
    })
  }

  /** Its poll went away, or never came to wait. */
  abandoned(): void {
    this.#held = false
    this.#waiting = undefined
    if (this.session !== undefined) this.#patience.lingering.add(this)
  }

  /** Nobody came back, or nobody read. */
  giveUp(): void {
    this.#rest()
    const answer = this.#answer
    this.#answer = undefined
    // What lies in its buffers must not arrive later (rule 20).
    if (answer !== undefined) hangUpOn(answer)
    const nowMs = this.core.clock.nowMs()
    const backAtMs = (this.#backAtMs ?? 0) > nowMs ? this.#backAtMs : undefined
    this.detach(backAtMs !== undefined, backAtMs)
  }

  override detach(graceful: boolean, backAtMs?: number): void {
    this.#rest()
    super.detach(graceful, backAtMs)
  }

  #rest(): void {
    this.#patience.lingering.remove(this)
    this.#patience.answering.remove(this)
  }
}
