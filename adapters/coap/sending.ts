import type { ChannelName, KeptCommand, Reason } from '../../src/contract/index.ts'
import type { House } from './house.ts'
import type { CoapLink, Held, Way } from './link.ts'
import type { Outgoing } from './messages.ts'
import { isDormant } from './reasons.ts'
import type { CoapSession } from './session.ts'
import { traceCommand, traceFate } from './trace.ts'
import type { Fate, Transmission } from './transmissions.ts'

/** Something that commands are sent by, as it outlasts a restart. */
export interface SendingRecord {
  /** The channel it is of; empty: all that go together; ` server`: its device's own server. */
  readonly resource: string
  /** The token its notifications carry, hex. */
  readonly token: string
  /** Blocks it takes, RFC 7959. */
  readonly szx: number
  /** An observation whose device says by itself what it has. */
  readonly explicit?: true
  /** Its device fell silent; it is attached again when it speaks. */
  readonly dormant?: true
}

/** A message with a command in it, and how large it may become. */
export interface Composed {
  readonly outgoing: Outgoing
  readonly bytesMax: number
}

/**
 * Commands of some channels sent to a device as confirmable messages, one at a time whatever the number
 * of channels: a client may drop what arrives behind a newer message of the same observation, after
 * having acknowledged it; and RFC 7252 §4.7 asks for no more.
 *
 *     held ─▶ sent ─┬─ ACK ─▶ what that means is for who sends ─▶ next
 *                   ├─ expired, and the ACK overdue ─▶ next, if any waits: from then on its ACK is not heard
 *                   ╰─ RST, or 93 s ─▶ over, and the command stays queued
 *
 * When its device falls silent it is dormant: the device does not know, and its next sign of life
 * attaches it again (rule 25).
 */
export abstract class Sending implements Way {
  readonly resource: string
  readonly channels: readonly ChannelName[]
  protected readonly house: House
  protected readonly session: CoapSession
  /** The device knows of it. */
  #running = false
  #out: Transmission | undefined
  /** It was sent to another address than its peer has now. */
  #isAstray = false
  #current: CoapLink | undefined
  dormant = false
  /** False while it is asked for: its answer comes before what is sent. */
  isAnswered = true

  constructor(
    house: House,
    session: CoapSession,
    resource: string,
    channels: readonly ChannelName[],
  ) {
    this.house = house
    this.session = session
    this.resource = resource
    this.channels = channels
  }

  get takes(): 'open' {
    return 'open'
  }

  abstract get record(): SendingRecord
  protected abstract compose(held: Held): Composed
  /** It goes out now. */
  protected sent(_link: CoapLink, _held: Held, _outgoing: Outgoing): void {}
  /** The device's end has what was sent. */
  protected abstract taken(link: CoapLink, held: Held): void
  /** The core ended it for good: tell the device. */
  protected abstract tell(reason: Reason, retryAfterMs: number | undefined): void
  abstract carries(command: KeptCommand): boolean

  /** Something is on its way. */
  protected get isOut(): boolean {
    return this.#out !== undefined
  }

  /** May the next one be sent? */
  protected get isFree(): boolean {
    return true
  }

  /** It has been told. */
  run(): void {
    this.#running = true
    this.isAnswered = true
    this.dormant = false
    for (const link of this.links()) {
      link.start()
      link.session?.drained() // it may have been polled for before
    }
    this.next()
  }

  /** Nobody is told. */
  stop(): void {
    this.#running = false
    this.stopSending()
  }

  /** The device gave a sign of life; more may be sent to it than before. */
  heard(): void {
    this.next()
  }

  /** Its peer has another address; what is on its way went to the one before. */
  moved(): void {
    if (this.#out === undefined) return
    this.house.messages.move(this.#out, this.session.peer)
    this.#isAstray = true
    this.session.ping() // it may be too large for an address that proved nothing
  }

  /** Its peer is there. */
  reached(): void {
    if (this.#out !== undefined && this.#isAstray) this.house.messages.again(this.#out)
    this.#isAstray = false
  }

  /** What was held is not any more. */
  released(link: CoapLink): void {
    // A reply is more than an acknowledgement.
    if (this.#current === link) this.stopSending()
    this.next()
  }

  offered(link: CoapLink): void {
    // The one before has ended: it must not arrive any more.
    if (this.#current === link) this.stopSending()
    this.next()
  }

  /** @param link undefined: it could not be attached again. */
  closed(link: CoapLink | undefined, reason: Reason, retryAfterMs: number | undefined): void {
    if (link !== undefined && this.#current === link) this.stopSending()
    if (isDormant(reason)) {
      this.dormant = true
      this.house.keepSoon(this.session)
      return
    }
    this.stop()
    this.tell(reason, retryAfterMs)
    this.session.sendingOver(this, true)
    this.session.silenced(reason)
  }

  protected links(): CoapLink[] {
    const links: CoapLink[] = []
    for (const channel of this.channels) {
      const link = this.session.links.of(channel)
      if (link?.way === this) links.push(link)
    }
    return links
  }

  protected next(): void {
    if (!this.#running || !this.isFree) return
    if (this.#out !== undefined && !this.#out.hasLapsed) return
    const nowMs = this.house.core.clock.nowMs()
    for (const link of this.links()) {
      const { held } = link
      if (held === undefined || held.isTheirs || !held.mayBeWritten(nowMs)) continue
      this.stopSending()
      this.#send(link, held)
      return
    }
  }

  protected stopSending(): void {
    if (this.#out !== undefined) this.house.messages.cancel(this.#out)
    this.#out = undefined
    this.#isAstray = false
    this.#current = undefined
  }

  #send(link: CoapLink, held: Held): void {
    const { reach } = this.session
    held.goes()
    const { outgoing, bytesMax } = this.compose(held)
    if (!reach.mayGet(bytesMax)) return // it is asked for proof of its address
    held.written = true
    traceCommand(link.trail, 'CON', held)
    this.sent(link, held, outgoing)
    this.#current = link
    const careful = {
      untilMs: held.command.expiresAtMs,
      mayWrite: (bytes: number) => reach.mayWrite(bytes),
      lapsed: () => this.next(),
    }
    this.#out = this.house.messages.confirm(reach.peer, outgoing, careful, (fate) =>
      this.#settled(link, held, fate),
    )
  }

  #settled(link: CoapLink, held: Held, fate: Fate): void {
    const hasLapsed = this.#out?.hasLapsed === true
    this.#out = undefined
    this.#isAstray = false
    this.#current = undefined
    traceFate(link.trail, fate, held)
    // Sent once or twice while it was good: that it was lost does not mean that nobody is there.
    if (hasLapsed && fate === 'timeout') return
    if (fate !== 'ack') {
      this.session.sendingOver(this, fate === 'rst')
      return
    }
    this.taken(link, held)
    this.session.proved() // which looks for what comes next, too
  }
}
