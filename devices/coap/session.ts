import type { ParsedPacket } from 'coap-packet'
import type { DeviceChannel } from '../channel.ts'
import type { Keeper } from '../keeper.ts'
import type { Cause } from '../lifecycle.ts'
import type { Slot } from '../outbox.ts'
import { reconnectPolicy } from '../reconnect.ts'
import type { ClientSession, OpenSession, SessionEvents, SessionParts } from '../session.ts'
import { Asker } from './asker.ts'
import { causeOf, whyNever } from './causes.ts'
import { Lane } from './lane.ts'
import { login, type Ticket } from './login.ts'
import { eventOf, post, reportOf, type Verdict, verdictOf } from './posting.ts'
import { fetchRest, optionOf, readNotification, takeCommand } from './receiving.ts'
import { type Asking, uintOf } from './requests.ts'
import { Wire } from './wire.ts'

/** Below the half minute in which a NAT forgets, unless the device says what it can bear. */
const beatMaxMs = 25_000
/** Events not worth keeping that wait for their turn. */
const unreliableMax = 16
/** How an answer begins that tells who does not observe how many commands wait. */
const waitingWord = 'waiting='
/** Ours: the gateway's time. */
const timeOption = '65008'

/** Sessions outlast connections, and the clients that ask for them by what they keep. */
const tickets = new WeakMap<Keeper, Ticket>()

/** The way of a `PikeClient` over CoAP. There is no DTLS yet: with `tls` it is refused. */
export const coapSession: OpenSession = (parts, events) => new CoapSession(parts, events)

/**
 * A client's channels over CoAP; the resources are in `docs/coap.md`.
 *
 *     POST session ─▶ s/{token} ─▶ GET …/commands, Observe, ack=explicit, each channel ─▶ ready
 *     notification ─▶ inbox ─▶ application ─▶ stored ─▶ GET …?after=, or POST …/replies
 *     POST …/events, …/replies ◀─ outbox; 2.04: the gateway has it
 *
 * One request at a time, whatever it is (RFC 7252 §4.7). A notification is acknowledged when it is in the
 * inbox, which is no promise: its command is acknowledged by a request, once its position is stored.
 */
class CoapSession implements ClientSession {
  readonly closed: Promise<void>
  readonly #parts: SessionParts
  readonly #events: SessionEvents
  readonly #wire: Wire
  readonly #asker: Asker
  readonly #lanes: Lane[]
  readonly #unreliable: Asking[] = []
  #ticket: Ticket | undefined
  #isFresh = false
  #intervalMs = beatMaxMs
  #isOpen = false
  #ready = false
  #ended = false
  #working = false
  #flushing = false
  /** The gateway, or the network, has ended it. */
  #told = false

  constructor(parts: SessionParts, events: SessionEvents) {
    this.#parts = parts
    this.#events = events
    this.#lanes = parts.keeper.channels.map((channel) => new Lane(channel))
    this.#ticket = tickets.get(parts.keeper)
    this.#wire = new Wire({
      heard: () => this.#asker.heard(),
      notified: (token, packet) => this.#notified(token, packet),
      failed: (text) => (this.#ended ? this.#asker.cancel() : this.#wrong(text)),
    })
    this.closed = this.#wire.closed
    this.#asker = new Asker(this.#wire, parts, () => this.#wrong('the gateway fell silent'))
    void this.#begin()
  }

  get usable(): boolean {
    return !this.#ended
  }

  get dueMs(): number {
    let { dueMs } = this.#asker
    // What is due beside the request under way comes after it.
    if (!this.#ready || this.#working) return dueMs
    dueMs = Math.min(dueMs, this.#asker.wroteAtMs + this.#intervalMs)
    for (const { waiting, notBeforeMs } of this.#lanes)
      if (waiting !== undefined) dueMs = Math.min(dueMs, notBeforeMs)
    return dueMs
  }

  tick(nowMs: number): void {
    this.#asker.tick(nowMs)
    this.#work()
  }

  checkLife(nowMs: number): void {
    this.#asker.tick(nowMs)
  }

  writeUnreliable(
    channel: DeviceChannel,
    name: string,
    payload: Uint8Array,
    binary: boolean,
  ): 'written' | 'busy' {
    const lane = this.#lanes.find((one) => one.channel === channel)
    if (!this.#ready || this.#ended || this.#ticket === undefined || lane === undefined)
      return 'busy'
    if (this.#unreliable.length >= unreliableMax) return 'busy'
    this.#unreliable.push(eventOf(lane, this.#ticket.token, name, payload, binary, []))
    this.#work()
    return 'written'
  }

  scheduleFlush(): void {
    if (this.#flushing || !this.#ready || this.#ended) return
    this.#flushing = true
    // A reply says more than an acknowledgement: both are there at the end of this turn.
    queueMicrotask(() => {
      this.#flushing = false
      this.#work()
    })
  }

  end(politely: boolean): void {
    if (this.#ended) return
    this.#ended = true
    const isGoodbye = politely && this.#ready && !this.#told && this.#ticket !== undefined
    if (isGoodbye) tickets.delete(this.#parts.keeper)
    const goodbye: Asking = { method: 'DELETE', path: ['s', this.#ticket?.token ?? ''] }
    void this.#asker.end(isGoodbye ? goodbye : undefined).then(() => this.#wire.close())
  }

  async #begin(): Promise<void> {
    const { host, port } = this.#parts.options
    // Not within the constructor: who made us does not have us yet.
    await undefined
    const impossible = whyNever(this.#parts.options, this.#lanes)
    if (impossible !== undefined) return this.#lost(impossible)
    try {
      await this.#wire.open(host, port)
    } catch (error) {
      return this.#wrong(error instanceof Error ? error.message : String(error))
    }
    this.#isOpen = true
    this.#work()
  }

  // One after the other.

  #work(): void {
    if (this.#working || this.#ended || !this.#isOpen) return
    this.#working = true
    void this.#run()
  }

  async #run(): Promise<void> {
    for (let next = this.#next(); next !== undefined && !this.#ended; next = this.#next())
      await next
    this.#working = false
    this.#parts.changed()
  }

  /** Begun already; undefined: there is nothing to do. */
  #next(): Promise<unknown> | undefined {
    if (this.#ended) return undefined
    const ticket = this.#ticket
    if (ticket === undefined) return this.#login()
    for (const lane of this.#lanes) if (!lane.isObserved) return this.#observe(lane, ticket)
    const nowMs = this.#parts.nowMs()
    for (const lane of this.#lanes) {
      if (lane.part !== undefined) return this.#fetch(lane, ticket)
      const head = lane.head(nowMs)
      if (head?.uplink.kind === 'reply') return this.#report(lane, ticket, head)
      const id = lane.owed()
      if (id !== undefined) return this.#acknowledge(lane, ticket, id)
    }
    for (const [index, lane] of this.#lanes.entries()) {
      const head = lane.head(nowMs)
      if (head === undefined) continue
      // The next time it is the turn of those behind it.
      this.#lanes.push(...this.#lanes.splice(0, index + 1))
      return this.#report(lane, ticket, head)
    }
    const unreliable = this.#unreliable.shift()
    if (unreliable !== undefined) return post(unreliable, this.#asker.ask)
    if (this.#ready && nowMs >= this.#asker.wroteAtMs + this.#intervalMs)
      return this.#beat(ticket, nowMs)
    return undefined
  }

  async #login(): Promise<void> {
    const made = await login(this.#parts, this.#asker.ask)
    if (made === undefined || this.#ended) return
    if ('kind' in made) return this.#lost(made)
    this.#ticket = made
    this.#isFresh = true
    tickets.set(this.#parts.keeper, made)
  }

  async #observe(lane: Lane, { token, keepaliveMs }: Ticket): Promise<void> {
    const { channel } = lane
    const { options, nowMs } = this.#parts
    const isFirst = channel.session === undefined
    const after = isFirst ? lane.standing(options.device) : undefined
    const askedAtMs = nowMs()
    this.#wire.observe(lane.key, true)
    const answer = await this.#asker.ask({
      ...{ method: 'GET', path: lane.path(token), token: lane.token },
      query: ['ack=explicit', ...(after === undefined ? [] : [`after=${after}`])],
      options: { Observe: nothing },
    })
    this.#wire.observe(lane.key, false)
    if (answer === undefined) return
    if (answer.code === '4.01' && !this.#isFresh) {
      // Of before: it has ended meanwhile, and the next thing to do is to make another.
      this.#ticket = undefined
      for (const one of this.#lanes) one.isObserved = false
      return
    }
    if (answer.code !== '2.05' || !answer.isObserved) return this.#refused(answer)
    lane.isObserved = true
    lane.heardAtMs = nowMs()
    if (isFirst) {
      lane.gatewayMs = uintOf(answer.option(timeOption)) ?? askedAtMs
      lane.welcomed(this.#parts.limits, keepaliveMs, askedAtMs, after !== undefined)
    }
    if (this.#ready || !this.#lanes.every(({ isObserved }) => isObserved)) return
    this.#ready = true
    const { keepalive } = options
    const beatMs = keepaliveMs / 2
    this.#intervalMs = keepalive === undefined ? Math.min(beatMs, beatMaxMs) : beatMs
    this.#parts.heartbeat.begin(this.#intervalMs, nowMs())
    this.#events.ready(options.reconnect ?? reconnectPolicy)
  }

  /** Who heard nothing for long makes sure that it is still observed (RFC 7641 §3.3.1). */
  async #beat(ticket: Ticket, nowMs: number): Promise<void> {
    const silent = this.#lanes.find(({ heardAtMs }) => nowMs >= heardAtMs + ticket.keepaliveMs)
    if (silent !== undefined) return this.#observe(silent, ticket)
    const answer = await this.#asker.ask({ method: 'PUT', path: ['s', ticket.token] })
    if (answer === undefined) return
    if (answer.code !== '2.04') return this.#refused(answer)
    // It calls, as for one that does not listen: it has lost an observation.
    if (answer.payload.toString().startsWith(waitingWord))
      for (const lane of this.#lanes) lane.isObserved = false
  }

  // Down.

  #notified(token: string, packet: ParsedPacket): boolean {
    const lane = this.#lanes.find(({ key }) => key === token)
    if (lane === undefined || this.#ended) return false
    const { code, payload } = packet
    if (!code.startsWith('2.')) {
      const maxAge = uintOf(optionOf(packet, 'Max-Age'))
      const maxAgeMs = maxAge === undefined ? undefined : maxAge * 1000
      // Not before its acknowledgement is on its way.
      queueMicrotask(() => this.#refused({ code, payload, maxAgeMs }))
      return true
    }
    if (lane.channel.session === undefined) return false
    lane.heardAtMs = this.#parts.nowMs()
    if (payload.length === 0) return true
    const kind = readNotification(lane, packet)
    if (kind === 'malformed') this.#wrong('a notification that cannot be read')
    else if (kind === 'whole') this.#take(lane, Buffer.from(payload))
    else this.#work()
    return true
  }

  async #fetch(lane: Lane, { token }: Ticket): Promise<void> {
    const rest = await fetchRest(lane, lane.path(token), this.#asker.ask)
    if (rest === undefined) return
    if (rest === 'lost') return this.#wrong('a command that cannot be fetched')
    if (rest !== 'gone' && !Buffer.isBuffer(rest)) return this.#refused(rest)
    lane.part = undefined
    if (rest !== 'gone') this.#take(lane, rest)
  }

  #take(lane: Lane, body: Buffer) {
    const wrong = takeCommand(lane, this.#parts.options.device, body)
    if (wrong !== undefined) return this.#wrong(wrong)
    this.#parts.downlink.pump(lane.channel)
    this.#work()
  }

  async #acknowledge(lane: Lane, { token }: Ticket, id: string): Promise<void> {
    const path = lane.path(token)
    const answer = await this.#asker.ask({ method: 'GET', path, query: [`after=${id}`] })
    if (answer === undefined) return
    if (answer.code !== '2.05') return this.#refused(answer)
    this.#events.acknowledged()
  }

  // Up.

  async #report(lane: Lane, { token }: Ticket, slot: Slot): Promise<void> {
    const { channel } = lane
    const { uplink } = slot
    const { device } = this.#parts.options
    const asking = reportOf(lane, token, device, uplink)
    if (lane.waiting === undefined) channel.outbox.written(this.#parts.nowMs())
    lane.waiting = undefined
    if (uplink.kind === 'reply') channel.inbox.replied(uplink.epoch, uplink.offset)
    const answer = await post(asking, this.#asker.ask)
    if (answer === undefined) return
    const verdict = verdictOf(uplink.kind, answer)
    if (verdict === 'refused') return this.#refused(answer)
    if (typeof verdict === 'number') {
      lane.waiting = slot
      lane.notBeforeMs = this.#parts.nowMs() + verdict
      return this.#parts.changed()
    }
    if (uplink.kind === 'reply') {
      const id = lane.nameOf(device, uplink.epoch, uplink.offset)
      if (lane.answered(id) && answer.code !== '2.04') lane.repeats.push(id)
    }
    this.#settled(channel, slot, verdict)
  }

  #settled(channel: DeviceChannel, { uplink }: Slot, verdict: Verdict): void {
    const { sequence } = uplink
    const { keeper, downlink } = this.#parts
    channel.outbox.acknowledge(sequence, (gone) => {
      if (verdict !== 'over') this.#events.notTaken(channel, gone, verdict.never)
      else this.#events.kept(channel, gone)
    })
    keeper.note({ kind: 'kept', channel: channel.name, upTo: sequence })
    this.#events.acknowledged()
    downlink.pump(channel)
  }

  // The end.

  #refused(refused: Parameters<typeof causeOf>[0]) {
    // Of this session, not of us: the next one begins with a proof.
    if (refused.code === '4.01') {
      tickets.delete(this.#parts.keeper)
      return this.#wrong('the gateway does not know this session any more')
    }
    const isFinal = refused.code === '4.04' || refused.code === '5.03' || refused.code === '4.29'
    if (isFinal) this.#lost(causeOf(refused))
    else this.#wrong(`the gateway answered ${refused.code} ${refused.payload.toString()}`.trim())
  }

  #wrong(text: string): void {
    this.#lost({ kind: 'local', text })
  }

  #lost(cause: Cause): void {
    if (this.#ended) return
    this.#told = true
    this.#events.lost(cause)
  }
}

const nothing = Buffer.alloc(0)
