import { randomBytes } from 'node:crypto'
import {
  type CloseFrame,
  capability,
  closeCode,
  type Frame,
  type HelloFrame,
  version,
  type WelcomeFrame,
  welcomeTag,
} from '../../adapters/pike/frames.ts'
import { kdfFor } from '../../src/secrets/secrets.ts'
import { type DeviceChannel, oldestAtMs } from '../channel.ts'
import type { Cause } from '../lifecycle.ts'
import { openSocket } from '../options.ts'
import { dictated, type ReconnectPolicy, reconnectPolicy } from '../reconnect.ts'
import type { ClientSession, SessionEvents, SessionParts } from '../session.ts'
import { type Carrier, type CarrierOptions, Connection } from './connection.ts'
import { type FrameSink, writeUplinks } from './uplink.ts'

/** Nothing of the other channels may delay it. */
const urgentChannel = 'urgent'

class Behind implements FrameSink {
  readonly #connection: () => Carrier

  constructor(connection: () => Carrier) {
    this.#connection = connection
  }

  get full(): boolean {
    return this.#connection().busy
  }

  write(frame: Frame): void {
    this.#connection().write(frame)
  }
}

/**
 * A client's channels over one connection, from the first HELLO to its end.
 *
 *     HELLO channel 0 ─▶ WELCOME ─▶ HELLO of all others ─▶ WELCOME… ─▶ ready
 *
 * Until then commands wait in the inboxes and uplinks in the outboxes. Writes of one turn of the
 * event loop leave together, acknowledgements that are owed with them.
 */
export class Session implements ClientSession {
  readonly #parts: SessionParts
  readonly #events: SessionEvents
  readonly #connection: Carrier
  #channels: readonly DeviceChannel[]
  /** undefined: left this connection, or never was on it. */
  readonly #byNumber: (DeviceChannel | undefined)[]
  /** The first is, so others can be. */
  #opened = false
  #policy: ReconnectPolicy = reconnectPolicy
  #ready = false
  #ended = false
  #flushing = false
  /** For all but `urgent`: what lies in the socket stands before what `urgent` says next. */
  readonly #behind: FrameSink

  /**
   * The storage must be loaded.
   * @param carry what carries its frames; left out: a connection of its own.
   */
  constructor(
    parts: SessionParts,
    events: SessionEvents,
    carry = (how: CarrierOptions): Carrier =>
      new Connection({ ...how, socket: openSocket(parts.options) }),
  ) {
    this.#parts = parts
    this.#events = events
    this.#channels = parts.channels
    this.#behind = new Behind(() => this.#connection)
    this.#byNumber = [...parts.channels]
    for (const [number, channel] of parts.channels.entries()) channel.number = number
    this.#connection = carry({
      hello: this.#hello(this.#channels[0]!),
      keys: parts.keys,
      limits: parts.limits,
      nowMs: parts.nowMs,
      events: {
        welcome: (frame, askedAtMs) => this.#welcomed(frame, askedAtMs),
        frame: (frame) => this.#take(frame),
        heard: () => parts.heartbeat.heard(),
        drained: () => this.scheduleFlush(),
        ended: (cause) => this.#lost(cause),
      },
    })
  }

  get usable(): boolean {
    return this.#connection.usable
  }

  get closed(): Promise<void> {
    return this.#connection.closed
  }

  /** When `tick` must come if nothing else happens. */
  get dueMs(): number {
    if (!this.#ready) return Number.POSITIVE_INFINITY
    let dueMs = this.#parts.heartbeat.dueMs(oldestAtMs(this.#channels))
    for (const { inbox } of this.#channels) dueMs = Math.min(dueMs, inbox.ackDueMs)
    return dueMs
  }

  tick(nowMs: number): void {
    if (!this.#ready) return
    if (this.#channels.some(({ inbox }) => inbox.ackDueMs <= nowMs)) this.#flush()
    this.checkLife(nowMs)
  }

  /** Is something overdue? Asked on each beat and each send. */
  checkLife(nowMs: number) {
    if (!this.#ready || this.#ended) return
    const { heartbeat } = this.#parts
    const verdict = heartbeat.check(nowMs, oldestAtMs(this.#channels))
    if (verdict === 'dead') return this.#lost({ kind: 'local', text: 'the server fell silent' })
    if (verdict === 'fine') return
    this.#acknowledge(nowMs, true)
    this.#connection.write({ type: 'ping' })
    heartbeat.pinged(nowMs)
    this.#parts.changed()
  }

  /** An event that is not worth keeping. */
  writeUnreliable(
    channel: DeviceChannel,
    name: string,
    payload: Uint8Array,
    binary: boolean,
  ): 'written' | 'busy' {
    if (this.#connection.full) return 'busy'
    const channelNumber = channel.number
    const sequence = undefined
    this.#connection.write({ type: 'event', channelNumber, sequence, name, payload, binary })
    this.#parts.heartbeat.wrote(this.#parts.nowMs())
    return 'written'
  }

  /** Write what may be written, at the end of this turn. */
  scheduleFlush(): void {
    if (this.#flushing || !this.#ready || this.#ended) return
    this.#flushing = true
    queueMicrotask(this.#flush)
  }

  end(politely: boolean): void {
    this.#ended = true
    if (politely) this.#connection.close(closeCode.normal, '')
    else this.#connection.reset()
  }

  add(channel: DeviceChannel): void {
    if (this.#ended) return
    // 0 is for the first HELLO of a connection only.
    let number = 1
    while (this.#byNumber[number] !== undefined) number++
    channel.number = number
    this.#byNumber[number] = channel
    this.#channels = [...this.#channels, channel]
    // Else it is opened with the others, once the first is.
    if (this.#opened) this.#connection.open(this.#hello(channel))
  }

  readonly #flush = (): void => {
    this.#flushing = false
    if (this.#ended) return
    const { limits, keeper, heartbeat } = this.#parts
    const nowMs = this.#parts.nowMs()
    let wrote = false
    for (const channel of this.#urgentFirst) {
      const sink = channel.name === urgentChannel ? this.#connection : this.#behind
      const some = writeUplinks(channel, sink, nowMs, limits, (slot) => {
        keeper.note({ kind: 'removed', channel: channel.name, sequence: slot.uplink.sequence })
        this.#events.notTaken(channel, slot, 'too-large')
      })
      wrote ||= some
    }
    if (this.#acknowledge(nowMs, wrote)) wrote = true
    if (wrote) heartbeat.wrote(nowMs)
    this.#parts.changed()
  }

  get #urgentFirst(): readonly DeviceChannel[] {
    const urgent = this.#channels.find(({ name }) => name === urgentChannel)
    if (urgent === undefined || urgent === this.#channels[0]) return this.#channels
    return [urgent, ...this.#channels.filter((channel) => channel !== urgent)]
  }

  /** What is due, or everything that is owed where something goes that way anyhow. */
  #acknowledge(nowMs: number, all: boolean): boolean {
    let wrote = false
    for (const { inbox, number } of this.#channels) {
      if (!all && inbox.ackDueMs > nowMs) continue
      const upTo = inbox.acknowledge()
      if (upTo === undefined) continue
      this.#connection.write({ type: 'ack', channelNumber: number, upTo })
      wrote = true
    }
    return wrote
  }

  #hello(channel: DeviceChannel): HelloFrame {
    const { options, limits } = this.#parts
    const { app = 'default', device, secret, keepalive } = options
    const { inbox, outbox, name, number } = channel
    const hello: HelloFrame = {
      type: 'hello',
      version,
      capabilities:
        capability.batch |
        capability.bindings |
        capability.independent |
        (kdfFor(secret) === 'scrypt' ? capability.stretched : 0),
      channelNumber: number,
      app: app === 'default' ? '' : app,
      device,
      channel: name,
      nonce: number === 0 ? randomBytes(12) : new Uint8Array(0),
      resume: outbox.beforeRefusal ?? inbox.position,
      uplinkEpoch: outbox.uplinkEpoch,
      keepaliveMinS: keepalive?.minS ?? 0,
      keepaliveMaxS: keepalive?.maxS ?? 0,
      frameMaxBytes: limits.frameMaxBytes,
      windowMax: inbox.windowMax,
      bindingsMax: limits.bindingsMax,
      extensions: [],
    }
    return hello
  }

  #welcomed(frame: WelcomeFrame, askedAtMs: number) {
    const channel = this.#byNumber[frame.channelNumber]
    if (channel === undefined) return // it has left meanwhile
    const { keeper, heartbeat, options, nowMs } = this.#parts
    const kept = channel.outbox.welcome(frame.uplinkKept, (slot) =>
      this.#events.kept(channel, slot),
    )
    if (kept === 'forgot') {
      keeper.renumber(channel, () => this.scheduleFlush())
      return this.#connection.fail(closeCode.normal, 'our uplinks are numbered anew')
    }
    keeper.note({ kind: 'kept', channel: channel.name, upTo: frame.uplinkKept })
    if (frame.resumed === 'tail-lost') this.#tailLost(channel, frame)
    channel.welcomed(frame, askedAtMs)
    const keepaliveMs = frame.keepaliveS * 1000
    if (this.#isMoved(channel, frame)) return
    if (!this.#opened) {
      this.#opened = true
      heartbeat.begin(keepaliveMs, nowMs())
      for (const other of this.#channels)
        if (other !== channel) this.#connection.open(this.#hello(other))
    } else heartbeat.intervalMs = Math.min(heartbeat.intervalMs, keepaliveMs)
    this.#policy = dictated(
      options.reconnect ?? reconnectPolicy,
      frame.reconnectBaseMs,
      frame.reconnectMaxMs,
    )
    if (this.#ready) this.#joined(channel)
    else this.#readyIf()
  }

  #readyIf(): void {
    if (this.#channels.some(({ session }) => session === undefined)) return
    this.#ready = true
    this.#events.ready(this.#policy)
  }

  /** It came when the others were here. */
  #joined(channel: DeviceChannel): void {
    this.#parts.downlink.pump(channel)
    this.scheduleFlush()
  }

  /** Is it on the wrong connection, by what its WELCOME says? */
  #isMoved(channel: DeviceChannel, { capabilities, extensions }: WelcomeFrame): boolean {
    if ((capabilities & capability.independent) === 0) return false
    const alone = extensions.some(({ tag }) => tag === welcomeTag.independent)
    if (!alone) return this.#parts.independent && this.#events.moves(channel, 'shared')
    if (this.#channels.length === 1) return this.#events.moves(channel, 'stays')
    this.#channels = [channel]
    this.#byNumber.length = 0
    this.#byNumber[channel.number] = channel
    return this.#events.moves(channel, 'stays')
  }

  /** One channel was closed, the others stay. */
  #left({ channelNumber, code }: CloseFrame): void {
    const channel = this.#byNumber[channelNumber ?? 0]
    if (channel === undefined) return
    this.#byNumber[channel.number] = undefined
    this.#channels = this.#channels.filter((one) => one !== channel)
    channel.lost()
    this.#events.moves(channel, code === closeCode.shared ? 'shared' : 'independent')
    if (!this.#ready && this.#opened && !this.#ended) this.#readyIf()
  }

  /** It will not know our position next time either; from here on we stand where it stands. */
  #tailLost(channel: DeviceChannel, { epoch, offset }: WelcomeFrame): void {
    const { inbox, name } = channel
    const claimed = inbox.position
    const now = { epoch, offset }
    if (inbox.positions.every((known) => known.epoch !== epoch)) {
      inbox.moved(now)
      this.#parts.keeper.note({ kind: 'position', channel: name, position: now })
    }
    this.#events.tailLost({ channel: name, claimed, now })
  }

  #take(frame: Frame) {
    switch (frame.type) {
      case 'command':
      case 'epoch':
      case 'ack': {
        const channel = this.#byNumber[frame.channelNumber]
        if (channel?.session === undefined) return this.#wrong('a frame of no open channel')
        if (frame.type === 'epoch') return channel.inbox.renumbered(frame.epoch)
        if (frame.type === 'ack') return this.#acknowledged(channel, frame.upTo)
        const wrong = channel.inbox.take(frame)
        if (wrong !== undefined) return this.#wrong(wrong)
        return this.#parts.downlink.pump(channel)
      }
      case 'ping':
        return this.#connection.write({ type: 'pong', keepaliveS: undefined })
      case 'pong':
        this.#parts.heartbeat.ponged(this.#parts.nowMs())
        if (frame.keepaliveS === undefined) return
        this.#parts.heartbeat.intervalMs = frame.keepaliveS * 1000
        return this.#parts.changed()
      case 'close':
        return this.#left(frame)
      case 'goaway':
        this.#acknowledge(this.#parts.nowMs(), true)
        return this.#lost({ kind: 'going-away', spreadMs: frame.spreadMs })
      default:
        return this.#wrong(`${frame.type} from a server`)
    }
  }

  #acknowledged(channel: DeviceChannel, upTo: number) {
    const { outbox, name } = channel
    const { keeper, downlink, heartbeat } = this.#parts
    const nowMs = this.#parts.nowMs()
    const outcome = outbox.acknowledge(upTo, (slot) => {
      heartbeat.acknowledged(nowMs - slot.writtenAtMs)
      this.#events.kept(channel, slot)
    })
    if (outcome === 'unknown') return this.#wrong('an acknowledgement of what was never sent')
    keeper.note({ kind: 'kept', channel: name, upTo })
    this.#events.acknowledged()
    this.scheduleFlush()
    downlink.pump(channel)
  }

  #wrong(text: string): void {
    this.#connection.fail(closeCode['protocol-error'], text)
  }

  #lost(cause: Cause): void {
    if (this.#ended) return
    this.#events.lost(cause)
  }
}
