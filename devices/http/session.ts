import { type DeviceChannel, oldestAtMs } from '../channel.ts'
import type { Cause } from '../lifecycle.ts'
import type { Slot } from '../outbox.ts'
import { reconnectPolicy } from '../reconnect.ts'
import type { ClientSession, OpenSession, SessionEvents, SessionParts } from '../session.ts'
import { causeOf, causeOfProblem } from './causes.ts'
import { EventStream } from './event-stream.ts'
import { readItem, readProbe, readStart, type Start } from './items.ts'
import { eventOf, reportOf, reportsOf, takeNext, verdictOf } from './posting.ts'
import { type Answer, Requests } from './requests.ts'

/** Uplinks under way, one after the other: their order is theirs. */
interface Lane {
  readonly channel: DeviceChannel
  /** Of the last command that came, as it is said back. */
  numbering: string
  busy: boolean
  /** So many go each by itself: together one of them was not taken, and the answer was about all. */
  alone: number
}

const post = { method: 'POST' } as const

/** The way of a `PikeClient` over HTTP: commands by a stream, everything else by requests. */
export const httpSession: OpenSession = (parts, events) => new HttpSession(parts, events)

/**
 * A client's channels over HTTP; the calls are in `docs/http.md`.
 *
 *     GET /commands (stream) ─▶ start ─▶ ready ─▶ command … ─▶ inbox
 *     POST /acks       ◀─ inbox, when due
 *     POST /events, /replies ◀─ outbox, one at a time a channel; 204: the gateway has it
 */
class HttpSession implements ClientSession {
  readonly closed: Promise<void>
  readonly #parts: SessionParts
  readonly #events: SessionEvents
  readonly #requests: Requests
  readonly #lanes: readonly Lane[]
  readonly #askedAtMs: number
  #startedAtMs = 0
  #receiver = ''
  /** The stream may be silent so long. */
  #silenceMs = Number.POSITIVE_INFINITY
  #streamDeadAtMs = Number.POSITIVE_INFINITY
  #ready = false
  #ended = false
  #flushing = false
  /** The gateway, or the network, has ended it. */
  #told = false
  #closed: () => void = () => {}

  constructor(parts: SessionParts, events: SessionEvents) {
    this.#parts = parts
    this.#events = events
    this.#requests = new Requests(parts.options)
    this.#lanes = parts.keeper.channels.map((channel) => ({
      ...{ channel, numbering: '' },
      ...{ busy: false, alone: 0 },
    }))
    this.#askedAtMs = parts.nowMs()
    this.closed = new Promise((resolve) => {
      this.#closed = resolve
    })
    void this.#receive()
  }

  get usable(): boolean {
    return !this.#ended
  }

  get dueMs(): number {
    if (!this.#ready) return Number.POSITIVE_INFINITY
    let dueMs = Math.min(
      this.#parts.heartbeat.dueMs(oldestAtMs(this.#parts.keeper.channels)),
      this.#streamDeadAtMs,
    )
    for (const { channel } of this.#lanes) dueMs = Math.min(dueMs, channel.inbox.ackDueMs)
    return dueMs
  }

  tick(nowMs: number): void {
    if (!this.#ready) return
    this.#acknowledge(nowMs)
    this.checkLife(nowMs)
  }

  checkLife(nowMs: number) {
    if (!this.#ready || this.#ended) return
    // Requests go by other connections: that those work says nothing of the stream.
    if (nowMs >= this.#streamDeadAtMs)
      return this.#lost({ kind: 'local', text: 'the stream fell silent' })
    const { heartbeat } = this.#parts
    const verdict = heartbeat.check(nowMs, oldestAtMs(this.#parts.keeper.channels))
    if (verdict === 'dead') return this.#lost({ kind: 'local', text: 'the server fell silent' })
    if (verdict === 'fine') return
    heartbeat.pinged(nowMs)
    void this.#live(this.#receiver === '' ? '' : `receiver=${this.#receiver}`)
    this.#parts.changed()
  }

  writeUnreliable(
    channel: DeviceChannel,
    name: string,
    payload: Uint8Array,
    binary: boolean,
  ): 'written' | 'busy' {
    if (!this.#ready || this.#ended) return 'busy'
    void this.#requests.ask(eventOf(channel, name, payload, binary))
    return 'written'
  }

  scheduleFlush(): void {
    if (this.#flushing || !this.#ready || this.#ended) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      if (this.#ended) return
      for (const lane of this.#lanes) void this.#send(lane)
      this.#acknowledge(this.#parts.nowMs())
      this.#parts.changed()
    })
  }

  end(politely: boolean): void {
    if (this.#ended) return
    this.#ended = true
    void this.#leave(politely && this.#ready && !this.#told)
  }

  async #leave(politely: boolean): Promise<void> {
    if (politely) {
      const { goodbyeMs } = this.#parts.limits
      const cut = setTimeout(() => void this.#requests.close(), goodbyeMs)
      // Somebody else may receive for this device by now, and nobody have told us yet.
      const receiver = this.#receiver === '' ? '' : `?receiver=${this.#receiver}`
      await this.#requests.ask({ method: 'DELETE', path: `commands${receiver}` })
      clearTimeout(cut)
    }
    await this.#requests.close()
    this.#closed()
  }

  async #receive(): Promise<void> {
    const stream = new EventStream((event, data) => this.#heard(event, data))
    const answer = await this.#requests.ask({
      method: 'GET',
      path: `commands?channel=${this.#lanes.map(({ channel }) => channel.name).join(',')}${this.#positions()}`,
      headers: { accept: 'text/event-stream' },
      piece: (text) => {
        this.#parts.heartbeat.heard()
        this.#streamDeadAtMs = this.#parts.nowMs() + this.#silenceMs
        if (!this.#ended && !stream.read(text))
          this.#lost({ kind: 'local', text: 'no such stream' })
      },
    })
    this.#lost(
      answer.status === 200 ? { kind: 'local', text: 'the stream ended' } : causeOf(answer),
    )
  }

  /** Where the channels stand, all at once. */
  #positions(): string {
    const epochs: string[] = []
    const afters: number[] = []
    for (const { channel } of this.#lanes) {
      const position = channel.outbox.beforeRefusal ?? channel.inbox.position
      if (position === undefined || position.offset < 1) continue
      epochs.push(
        channel.name === 'main' ? `${position.epoch}` : `${position.epoch}.${channel.name}`,
      )
      afters.push(position.offset)
    }
    return epochs.length === 0 ? '' : `&epoch=${epochs.join(',')}&after=${afters.join(',')}`
  }

  #heard(event: string, data: string) {
    if (this.#ended) return
    switch (event) {
      case 'start': {
        const start = readStart(data)
        if (start === undefined) return this.#wrong('a start that cannot be read')
        return this.#welcomed(start)
      }
      case 'command':
        return this.#command(data)
      case 'probe':
        return void this.#live(`probe=${readProbe(data)}`)
      case 'closed':
        return this.#lost(causeOfProblem(data, 0))
    }
  }

  #welcomed({ timeMs, keepaliveS, commentS, receiver, channels }: Start) {
    this.#startedAtMs = timeMs
    this.#receiver = receiver
    if (commentS !== undefined) this.#silenceMs = commentS * 2_000 + 10_000
    this.#streamDeadAtMs = this.#parts.nowMs() + this.#silenceMs
    const { heartbeat, limits, nowMs } = this.#parts
    for (const lane of this.#lanes) {
      const { channel } = lane
      const granted = channels.find((one) => one.channel === channel.name)
      if (granted === undefined) return this.#wrong(`a start without ${channel.name}`)
      lane.numbering = granted.numbering
      // What the gateway has of ours it does not say; what goes again is known by its stamp.
      channel.outbox.welcome(0, () => {})
      if (granted.resumed === 'tail-lost') this.#tailLost(lane, granted.epoch, granted.after)
      channel.welcomed(
        {
          type: 'welcome',
          channelNumber: channel.number,
          capabilities: 0,
          proof: new Uint8Array(0),
          resumed: granted.resumed,
          epoch: granted.epoch,
          offset: granted.after,
          uplinkKept: 0,
          keepaliveS,
          frameMaxBytes: limits.frameMaxBytes,
          windowMax: limits.windowMaxCommands,
          uplinkWindowMax: 1,
          bindingsMax: 0,
          timeMs,
          reconnectBaseMs: 0,
          reconnectMaxMs: 0,
          connection: '',
          extensions: [],
        },
        this.#askedAtMs,
      )
    }
    heartbeat.begin((keepaliveS * 1000) / 2, nowMs())
    this.#ready = true
    this.#events.ready(this.#parts.options.reconnect ?? reconnectPolicy)
  }

  #tailLost({ channel }: Lane, epoch: number, offset: number): void {
    const claimed = channel.inbox.position
    const now = { epoch, offset }
    if (channel.inbox.positions.every((known) => known.epoch !== epoch)) {
      channel.inbox.moved(now)
      this.#parts.keeper.note({ kind: 'position', channel: channel.name, position: now })
    }
    this.#events.tailLost({ channel: channel.name, claimed, now })
  }

  #command(data: string) {
    const item = readItem(data)
    const lane = this.#lanes.find(({ channel }) => channel.name === item?.channel)
    if (item === undefined || lane === undefined || !this.#ready)
      return this.#wrong('a command that cannot be read')
    const { channel } = lane
    lane.numbering = item.numbering
    channel.inbox.renumbered(item.epoch)
    const wrong = channel.inbox.take({
      ...item.frame,
      channelNumber: channel.number,
      // By the gateway's clock from its start on, and by ours from before: never later than it is.
      deadlineMs: Math.max(0, item.expiresAtMs - this.#startedAtMs),
    })
    if (wrong !== undefined) return this.#wrong(wrong)
    this.#parts.downlink.pump(channel)
  }

  #acknowledge(nowMs: number): void {
    for (const lane of this.#lanes) {
      if (lane.channel.inbox.ackDueMs > nowMs) continue
      const upTo = lane.channel.inbox.acknowledge()
      if (upTo === undefined) continue
      this.#parts.heartbeat.wrote(nowMs)
      void this.#say(`acks?epoch=${lane.numbering}&upTo=${upTo}`)
    }
  }

  async #live(what: string): Promise<void> {
    const answer = await this.#say(`acks?${what}`)
    if (answer.status === 204) this.#parts.heartbeat.ponged(this.#parts.nowMs())
  }

  async #say(path: string): Promise<Answer> {
    const answer = await this.#requests.ask({ ...post, path })
    if (answer.status !== 204) this.#lost(causeOf(answer))
    return answer
  }

  /** One request after the other, as far as they are stored. */
  async #send(lane: Lane): Promise<void> {
    if (lane.busy) return
    lane.busy = true
    const { channel } = lane
    while (!this.#ended) {
      const nowMs = this.#parts.nowMs()
      const slots = takeNext(channel.outbox, nowMs, lane.alone > 0)
      const last = slots.at(-1)
      if (last === undefined) break
      const { uplink } = last
      this.#parts.heartbeat.wrote(nowMs)
      this.#parts.changed()
      if (uplink.kind === 'reply') channel.inbox.replied(uplink.epoch, uplink.offset)
      const answer = await this.#requests.ask(
        slots.length > 1
          ? reportsOf(channel, slots)
          : reportOf(this.#parts.options.device, channel, uplink),
      )
      if (this.#ended) return
      if (slots.length > 1 && typeof verdictOf('event', answer) === 'object') {
        lane.alone = slots.length
        channel.outbox.lost()
        continue
      }
      lane.alone = Math.max(0, lane.alone - 1)
      if (!this.#answered(channel, last, answer)) return
    }
    lane.busy = false
  }

  /** @returns false when this session is over by it. */
  #answered(channel: DeviceChannel, slot: Slot, answer: Answer): boolean {
    const { sequence } = slot.uplink
    const { keeper, heartbeat, downlink, nowMs } = this.#parts
    const verdict = verdictOf(slot.uplink.kind, answer)
    if (verdict === 'refused') {
      this.#lost(causeOf(answer))
      return false
    }
    heartbeat.heard()
    channel.outbox.acknowledge(sequence, (gone) => {
      heartbeat.acknowledged(nowMs() - gone.writtenAtMs)
      if (verdict !== 'over') this.#events.notTaken(channel, gone, verdict.never)
      else this.#events.kept(channel, gone)
    })
    keeper.note({ kind: 'kept', channel: channel.name, upTo: sequence })
    this.#events.acknowledged()
    downlink.pump(channel)
    return true
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
