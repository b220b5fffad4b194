import type { ChannelName, Reason } from '../../src/contract/index.ts'
import { contentFormat } from './answers.ts'
import { blockBytes, blockOption, cut } from './blocks.ts'
import { type Option, uintOption } from './codec.ts'
import { code, option } from './codes.ts'
import { etagOf } from './command-body.ts'
import type { House } from './house.ts'
import type { CoapLink, Held } from './link.ts'
import { refusal } from './reasons.ts'
import { type Composed, Sending, type SendingRecord } from './sending.ts'
import type { CoapSession } from './session.ts'

/** A token, type and code, an Observe, an ETag, a Content-Format, a Block2, a Size2 and the marker. */
const headMaxBytes = 4 + 8 + 4 + 5 + 2 + 4 + 5 + 1
const sequenceBits = 0x100_0000
/** Blocks of one command are waited for so long before another one is notified. */
const fetchMs = 30_000
const nothing = Buffer.alloc(0)

/**
 * One observation of commands, RFC 7641: a confirmable notification a command, the next after its
 * acknowledgement. What is larger than a block is fetched first, and `after` or a reply says that it
 * has arrived (rule 25). So it is for every command where a device asked for that with
 * `ack=explicit`: its stack acknowledges what its application has not kept yet.
 */
export class Observation extends Sending {
  /** In hex: as a buffer its few bytes would take 250. */
  #token: string
  #szx: number
  #isExplicit: boolean
  #sequence: number | undefined
  /** Its blocks are being fetched, and would be mixed up with those of another. */
  #fetched: CoapLink | undefined
  #fetchedByMs = 0

  constructor(
    house: House,
    session: CoapSession,
    resource: string,
    channels: readonly ChannelName[],
    token: Buffer,
    szx: number,
    isExplicit: boolean,
  ) {
    super(house, session, resource, channels)
    this.#token = token.toString('hex')
    this.#szx = szx
    this.#isExplicit = isExplicit
  }

  get record(): SendingRecord {
    const { resource } = this
    const token = this.#token
    return {
      ...{ resource, token, szx: this.#szx },
      ...(this.#isExplicit && { explicit: true }),
      ...(this.dormant && { dormant: true }),
    }
  }

  /**
   * The device asks anew. By the same token it only makes sure, and what is out stays out; by another
   * it has forgotten what it had: what it has not acknowledged it gets again, but a `now`, which is in
   * doubt by that (rule 5).
   */
  renew(token: Buffer, szx: number, isExplicit: boolean): void {
    this.isAnswered = false
    this.#szx = szx
    this.#isExplicit = isExplicit
    const hex = token.toString('hex')
    if (this.#token === hex) return
    this.stop()
    this.#token = hex
    for (const link of this.links()) {
      const { held } = link
      if (held === undefined) continue
      held.isTheirs = false
      if (held.written && held.command.delivery === 'now') this.session.links.drop(link)
    }
  }

  /**
   * For the answer to its registration. What is on its way already, and may go once more, must not
   * look older than this: a client acknowledges that, and drops it (RFC 7641 §3.4).
   */
  registeredOption(): Option {
    const last = this.#sequence
    if (!this.isOut || last === undefined) return this.observeOption()
    return uintOption(option.observe, (last + sequenceBits - 1) % sequenceBits)
  }

  /** For each notification. */
  observeOption(): Option {
    // The clock's ms, so that it grows over restarts too (RFC 7641 §4.4), unless they were overtaken.
    const time = Math.floor(this.house.core.clock.nowMs()) % sequenceBits
    const last = this.#sequence
    const isAhead = last === undefined || isNewer(time, last)
    this.#sequence = isAhead ? time : (last + 1) % sequenceBits
    return uintOption(option.observe, this.#sequence)
  }

  carries(): boolean {
    return true // in blocks, whatever its size
  }

  /** All blocks of what was notified have been given. */
  wasFetched(link: CoapLink): void {
    if (this.#fetched !== link) return
    this.#fetched = undefined
    this.next()
  }

  override released(link: CoapLink): void {
    this.wasFetched(link)
    super.released(link)
  }

  protected override get isFree(): boolean {
    return this.#fetched === undefined || this.house.core.clock.nowMs() >= this.#fetchedByMs
  }

  protected override stopSending(): void {
    super.stopSending()
    this.#fetched = undefined
  }

  protected compose(held: Held): Composed {
    const { body } = held
    const { block, payload } = cut(body, 0, this.#szx)!
    const options: Option[] = [
      { number: option.etag, value: etagOf(held) },
      this.observeOption(),
      contentFormat(held),
    ]
    if (block.more) {
      options.push(blockOption(option.block2, block), uintOption(option.size2, body.length))
    }
    const bytesMax = headMaxBytes + Math.min(body.length, blockBytes(this.#szx))
    const token = Buffer.from(this.#token, 'hex')
    return { outgoing: { code: code.content, token, options, payload }, bytesMax }
  }

  protected override sent(link: CoapLink): void {
    this.session.shows(this.resource, link)
  }

  protected taken(link: CoapLink, held: Held): void {
    const isWhole = held.body.length <= blockBytes(this.#szx)
    if (isWhole && !this.#isExplicit) {
      link.acknowledged(held)
      return
    }
    if (link.held !== held) return
    held.isTheirs = true
    if (isWhole) return
    this.#fetched = link
    this.#fetchedByMs = this.house.core.clock.nowMs() + fetchMs
  }

  /** RFC 7641 §4.2: a notification with an error is the last. */
  protected tell(reason: Reason, retryAfterMs: number | undefined): void {
    const { code: number, options = [], payload = nothing } = refusal(reason, retryAfterMs)
    const { reach } = this.session
    const token = Buffer.from(this.#token, 'hex')
    const outgoing = { code: number, token, options, payload }
    this.house.messages.confirm(reach.peer, outgoing, reach, () => {})
  }
}

/** RFC 7641 §3.4. */
const isNewer = (one: number, other: number): boolean => {
  const ahead = (one - other + sequenceBits) % sequenceBits
  return ahead > 0 && ahead < sequenceBits / 2
}
