import type { ChannelName, Reason } from '../../src/contract/index.ts'
import { sameBytes } from '../../src/secrets/secrets.ts'
import { contentFormat } from './answers.ts'
import { blockBytes, blockOption, cut } from './blocks.ts'
import { type Option, uintOption } from './codec.ts'
import { code, option } from './codes.ts'
import { etagOf } from './command-body.ts'
import type { House } from './house.ts'
import type { CoapLink, Held, Way } from './link.ts'
import { endsSession, isDormant, refusal } from './reasons.ts'
import type { CoapSession } from './session.ts'
import type { Fate, Transmission } from './transmissions.ts'

/** An observation as it outlasts a restart. */
export interface ObservationRecord {
  /** The channel it is of; empty: all that are observed together. */
  readonly resource: string
  /** The token its notifications carry, hex. */
  readonly token: string
  /** Blocks it takes, RFC 7959. */
  readonly szx: number
  /** Its device fell silent; it is attached again when it speaks. */
  readonly dormant?: true
}

/** A token, type and code, an Observe, an ETag, a Content-Format, a Block2, a Size2 and the marker. */
const headMaxBytes = 4 + 8 + 4 + 5 + 2 + 4 + 5 + 1
const sequenceBits = 0x100_0000
/** Observe counts in steps of time, so that it grows over restarts too (RFC 7641 §4.4). */
const sequenceStepMs = 16
/** Blocks of one command are waited for so long before another one is notified. */
const fetchMs = 30_000
const nothing = Buffer.alloc(0)

/**
 * One observation of commands, RFC 7641: a confirmable notification a command, the next after its
 * acknowledgement. Only one is out at a time whatever the number of channels: a client may drop
 * what arrives behind a newer notification of the same observation, after having acknowledged it.
 *
 *     held ─▶ notified ─┬─ ACK ─▶ acknowledged ─▶ next
 *                       │    ╰─ larger than a block: fetched, then `after` or a reply says so (rule 25)
 *                       ╰─ RST, or 93 s ─▶ the observation is over, the command stays queued
 */
export class Observation implements Way {
  readonly takes = 'open'
  readonly resource: string
  readonly channels: readonly ChannelName[]
  readonly #house: House
  readonly #session: CoapSession
  #token: Buffer
  #szx: number
  #sequence: number | undefined
  /** The device knows that it observes. */
  #running = false
  #out: Transmission | undefined
  #current: CoapLink | undefined
  /** Acknowledged in part: its blocks are being fetched, and would be mixed up with those of another. */
  #fetched: CoapLink | undefined
  #fetchedByMs = 0
  dormant = false
  /** False while it is asked for: its answer comes before what is notified. */
  isAnswered = true

  constructor(
    house: House,
    session: CoapSession,
    resource: string,
    channels: readonly ChannelName[],
    token: Buffer,
    szx: number,
  ) {
    this.#house = house
    this.#session = session
    this.resource = resource
    this.channels = channels
    this.#token = token
    this.#szx = szx
  }

  get record(): ObservationRecord {
    const { resource } = this
    const token = this.#token.toString('hex')
    return { resource, token, szx: this.#szx, ...(this.dormant && { dormant: true }) }
  }

  /**
   * The device asks anew. By the same token it only makes sure, and what is out stays out; by another
   * it has forgotten what it had: what it has not acknowledged it gets again, but a `now`, which is in
   * doubt by that (rule 5).
   */
  renew(token: Buffer, szx: number): void {
    this.isAnswered = false
    this.#szx = szx
    if (sameBytes(this.#token, token)) return
    this.#stopSending()
    this.#running = false
    this.#token = token
    for (const link of this.#links()) {
      const { held } = link
      if (held === undefined) continue
      held.isPartly = false
      if (held.written && held.command.delivery === 'now') this.#session.drop(link)
    }
  }

  /** It has been told. */
  run(): void {
    this.#running = true
    this.isAnswered = true
    this.dormant = false
    for (const link of this.#links()) {
      link.start()
      link.session?.drained() // it may have been polled for before
    }
    this.#next()
  }

  /** For the answer to its registration. */
  observeOption(): Option {
    const time = Math.floor(this.#house.core.clock.nowMs() / sequenceStepMs) % sequenceBits
    const last = this.#sequence
    const isAhead = last === undefined || isNewer(time, last)
    // The clock, unless it was overtaken by more than one a step.
    this.#sequence = isAhead ? time : (last + 1) % sequenceBits
    return uintOption(option.observe, this.#sequence)
  }

  /** Its peer has another address. */
  moved(): void {
    if (this.#out !== undefined) this.#house.messages.move(this.#out, this.#session.peer)
  }

  /** The device gave a sign of life; more may be sent to it than before. */
  heard(): void {
    this.#next()
  }

  /** All blocks of what was notified have been fetched. */
  wasFetched(link: CoapLink): void {
    if (this.#fetched !== link) return
    this.#fetched = undefined
    this.#next()
  }

  /** What was held is not any more. */
  released(link: CoapLink): void {
    this.wasFetched(link)
  }

  /** Nobody is told. */
  stop(): void {
    this.#running = false
    this.#stopSending()
  }

  offered(link: CoapLink): void {
    // The one before has ended: it must not arrive any more.
    if (this.#current === link) this.#stopSending()
    this.#next()
  }

  closed(link: CoapLink | undefined, reason: Reason, retryAfterMs: number | undefined): void {
    if (link !== undefined && this.#current === link) this.#stopSending()
    if (isDormant(reason)) {
      this.dormant = true
      this.#house.keepSoon(this.#session)
      return
    }
    this.stop()
    const { code: number, options = [], payload = nothing } = refusal(reason, retryAfterMs)
    const message = { code: number, token: this.#token, options, payload }
    const { reach } = this.#session
    this.#house.messages.confirm(reach.peer, message, reach, () => {})
    this.#session.observationOver(this, true)
    if (endsSession(reason)) this.#house.forget(this.#session)
  }

  #links(): CoapLink[] {
    const links: CoapLink[] = []
    for (const channel of this.channels) {
      const link = this.#session.linkOf(channel)
      if (link?.way === this) links.push(link)
    }
    return links
  }

  #next(): void {
    if (!this.#running || this.#out !== undefined) return
    const nowMs = this.#house.core.clock.nowMs()
    if (this.#fetched !== undefined && nowMs < this.#fetchedByMs) return
    for (const link of this.#links()) {
      const { held } = link
      // One whose first block it has is the device's to acknowledge.
      if (held === undefined || held.isPartly || !held.mayBeWritten(nowMs)) continue
      this.#notify(link, held)
      return
    }
  }

  #notify(link: CoapLink, held: Held): void {
    const { body } = held
    const size = Math.min(body.length, blockBytes(this.#szx))
    if (!this.#session.reach.mayGet(headMaxBytes + size)) return // it is asked for proof of its address
    const { block, payload } = cut(body, 0, this.#szx)!
    const options: Option[] = [
      { number: option.etag, value: etagOf(held.command) },
      this.observeOption(),
      contentFormat(held),
    ]
    if (block.more) {
      options.push(blockOption(option.block2, block), uintOption(option.size2, body.length))
    }
    held.written = true
    this.#current = link
    this.#session.shows(this.resource, link)
    const message = { code: code.content, token: this.#token, options, payload }
    const { expiresAtMs } = held.command
    const { reach } = this.#session
    const careful = {
      untilMs: expiresAtMs,
      mayWrite: (bytes: number) => reach.mayWrite(bytes),
    }
    this.#out = this.#house.messages.confirm(reach.peer, message, careful, (fate) =>
      this.#settled(link, held, block.more, fate),
    )
  }

  #settled(link: CoapLink, held: Held, more: boolean, fate: Fate): void {
    this.#out = undefined
    this.#current = undefined
    if (fate !== 'ack') {
      this.#session.observationOver(this, fate === 'rst')
      return
    }
    if (more) {
      held.isPartly = true
      this.#fetched = link
      this.#fetchedByMs = this.#house.core.clock.nowMs() + fetchMs
    } else link.acknowledged(held)
    this.#session.proved() // which looks for what comes next, too
  }

  #stopSending(): void {
    if (this.#out !== undefined) this.#house.messages.cancel(this.#out)
    this.#out = undefined
    this.#current = undefined
    this.#fetched = undefined
  }
}

/** RFC 7641 §3.4. */
const isNewer = (one: number, other: number): boolean => {
  const ahead = (one - other + sequenceBits) % sequenceBits
  return ahead > 0 && ahead < sequenceBits / 2
}
