import type { IConnackPacket, IPublishPacket } from 'mqtt-packet'
import { type DeviceChannel, oldestAtMs } from '../channel.ts'
import type { Cause } from '../lifecycle.ts'
import type { SendFailure } from '../outbox.ts'
import { reconnectPolicy } from '../reconnect.ts'
import type { ClientSession, OpenSession, SessionEvents, SessionParts } from '../session.ts'
import type { Uplink } from '../storage.ts'
import { causeOfSuback, passes } from './causes.ts'
import { MqttConnection } from './connection.ts'
import { Lane } from './lane.ts'
import type { Item, Saying, Speaker, Words } from './words.ts'
import { words3 } from './words3.ts'
import { words5 } from './words5.ts'

/** Uplinks of one channel without their PUBACK; the gateway tells repeats as far back as 64. */
const uplinkWindow = 16
/** Of all channels, where the gateway does not say how many it takes. */
const receiveMaximumDefault = 0xffff
/** The longest topic a gateway takes. */
const topicMaxBytes = 512
/** Beside topic and payload: head, packet id, lengths, and what the properties are called. */
const publishExtraBytes = 128

/** PUBACK codes of MQTT 5 after which the same would never be taken… */
const neverTaken: ReadonlyMap<number, SendFailure> = new Map([
  [0x97, 'too-large'],
  [0x99, 'refused'],
])
/** …and after which a reply need not be: its stamp is of long ago, or nobody knows the command. */
const notNeeded: ReadonlyMap<number, SendFailure> = new Map([
  [0x83, 'stale-stamp'],
  [0x90, 'unknown-channel'],
])

/** A topic of a channel that every device has was refused for the name in it. */
const whyOf = (why: SendFailure, channel: string): SendFailure =>
  why === 'unknown-channel' && (channel === 'main' || channel === 'urgent') ? 'refused' : why

/** The way of a `PikeClient` over MQTT 3.1.1, with the topics of a gateway by default. */
export const mqttSession: OpenSession = (parts, events) => new MqttSession(words3, parts, events)

/** The same over MQTT 5. */
export const mqtt5Session: OpenSession = (parts, events) => new MqttSession(words5, parts, events)

/**
 * A client's channels over MQTT; the page is `docs/mqtt.md`.
 *
 *     CONNECT ─▶ CONNACK ─▶ SUBSCRIBE, each channel ─▶ SUBACK ─▶ ready
 *     PUBLISH of a command ─▶ inbox          PUBACK ◀─ its position is stored
 *     PUBLISH of an uplink ◀─ outbox         PUBACK ─▶ the gateway has it
 *
 * A clean session each time: what waits is in the device's mailbox and in our outbox, and both know
 * what the other has, by positions and stamps.
 */
class MqttSession implements ClientSession {
  readonly #words: Words
  readonly #parts: SessionParts
  readonly #events: SessionEvents
  readonly #connection: MqttConnection
  readonly #lanes: readonly Lane[]
  readonly #askedAtMs: number
  /** Of the gateway, in CONNACK; undefined: it did not say, so its clock is taken for ours. */
  #gatewayMs: number | undefined
  #keepaliveS: number
  #inFlightMax = receiveMaximumDefault
  #packetMaxBytes = Number.POSITIVE_INFINITY
  #ready = false
  #ended = false
  #flushing = false
  /** Why a channel is not had for now: DISCONNECT follows, and knows when to come back. */
  #refusal: Cause | undefined
  /** The gateway, or the network, has ended it. */
  #told = false

  constructor(words: Words, parts: SessionParts, events: SessionEvents) {
    this.#words = words
    this.#parts = parts
    this.#events = events
    this.#lanes = parts.keeper.channels.map((channel) => new Lane(channel))
    this.#askedAtMs = parts.nowMs()
    this.#connection = new MqttConnection(parts, words.version, {
      connected: (granted) => this.#connected(granted),
      subscribed: (codes) => this.#subscribed(codes),
      command: (packet) => this.#command(packet),
      ponged: () => parts.heartbeat.ponged(parts.nowMs()),
      heard: () => parts.heartbeat.heard(),
      drained: () => this.scheduleFlush(),
      ended: (cause) => this.#lost(cause.kind === 'closed' ? cause : (this.#refusal ?? cause)),
    })
    this.#keepaliveS = this.#connection.keepaliveS
  }

  get usable(): boolean {
    return this.#connection.usable
  }

  get closed(): Promise<void> {
    return this.#connection.closed
  }

  get dueMs(): number {
    return this.#ready
      ? this.#parts.heartbeat.dueMs(oldestAtMs(this.#parts.keeper.channels))
      : Number.POSITIVE_INFINITY
  }

  tick(nowMs: number): void {
    this.checkLife(nowMs)
  }

  checkLife(nowMs: number) {
    if (!this.#ready || this.#ended) return
    const { heartbeat } = this.#parts
    const verdict = heartbeat.check(nowMs, oldestAtMs(this.#parts.keeper.channels))
    if (verdict === 'dead') return this.#lost({ kind: 'local', text: 'the server fell silent' })
    if (verdict === 'fine') return
    this.#connection.ping()
    heartbeat.pinged(nowMs)
    this.#parts.changed()
  }

  writeUnreliable(
    channel: DeviceChannel,
    name: string,
    payload: Uint8Array,
    binary: boolean,
  ): 'written' | 'busy' {
    if (!this.#ready || this.#ended || this.#connection.full) return 'busy'
    const uplink: Uplink = { kind: 'event', sequence: 0, name, payload, binary }
    const saying = this.#words.say(uplink, { ...this.#speaker(channel), uplinkEpoch: undefined })
    if (this.#isTooLarge(saying, payload)) return 'busy'
    this.#connection.publishOnce(saying, payload)
    this.#parts.heartbeat.wrote(this.#parts.nowMs())
    return 'written'
  }

  scheduleFlush(): void {
    if (this.#flushing || !this.#ready || this.#ended) return
    this.#flushing = true
    queueMicrotask(this.#flush)
  }

  end(politely: boolean): void {
    if (this.#ended) return
    this.#ended = true
    if (politely) this.#connection.leave(!this.#told)
    else this.#connection.reset()
  }

  #connected(granted: IConnackPacket['properties']): void {
    if (this.#ended) return
    const timeMs = Date.parse(String(granted?.userProperties?.['pike-time']))
    if (!Number.isNaN(timeMs)) this.#gatewayMs = timeMs
    this.#keepaliveS = granted?.serverKeepAlive || this.#keepaliveS
    this.#inFlightMax = granted?.receiveMaximum ?? receiveMaximumDefault
    this.#packetMaxBytes = granted?.maximumPacketSize ?? Number.POSITIVE_INFINITY
    this.#connection.subscribe(this.#lanes.map(({ channel }) => this.#words.filter(channel.name)))
  }

  #subscribed(codes: readonly number[]) {
    if (this.#ready || this.#ended) return
    for (const [index, { channel }] of this.#lanes.entries()) {
      const code = codes[index] ?? 0x80
      if (code >= 0x80) {
        const cause = causeOfSuback(this.#words.version, code, channel.name)
        if (!passes(this.#words.version, code)) return this.#lost(cause)
        this.#refusal = cause
        return
      }
      if (code !== 1) return this.#wrong('commands without acknowledgement')
    }
    const { heartbeat, nowMs } = this.#parts
    for (const { channel } of this.#lanes) this.#welcome(channel)
    heartbeat.begin(this.#keepaliveS * 1000, nowMs())
    this.#ready = true
    this.#events.ready(this.#parts.options.reconnect ?? reconnectPolicy)
  }

  /** Nobody says where the gateway believes us: what we know already comes again, and is told by its position. */
  #welcome(channel: DeviceChannel): void {
    const { limits } = this.#parts
    const { position } = channel.inbox
    // What the gateway has of ours it does not say; what goes again is known by its stamp.
    channel.outbox.welcome(0, () => {})
    channel.welcomed(
      {
        type: 'welcome',
        channelNumber: channel.number,
        capabilities: 0,
        proof: new Uint8Array(0),
        resumed: position === undefined ? 'fresh' : 'resumed',
        epoch: position?.epoch ?? 0,
        offset: position?.offset ?? 0,
        uplinkKept: 0,
        keepaliveS: this.#keepaliveS,
        frameMaxBytes: limits.frameMaxBytes,
        windowMax: limits.windowMaxCommands,
        uplinkWindowMax: uplinkWindow,
        bindingsMax: 0,
        timeMs: 0,
        reconnectBaseMs: 0,
        reconnectMaxMs: 0,
        connection: '',
        extensions: [],
      },
      this.#askedAtMs,
    )
  }

  #command(packet: IPublishPacket) {
    if (this.#ended) return
    const item = this.#words.command(packet)
    const lane = this.#lanes.find(({ channel }) => channel.name === item?.channel)
    if (item === undefined || lane === undefined || !this.#ready)
      return this.#wrong('a command that cannot be read')
    const { channel } = lane
    const deadlineMs = Math.max(0, this.#expiresAtMs(item) - this.#askedAtMs)
    const frame = { ...item.frame, channelNumber: channel.number, deadlineMs }
    const wrong = lane.come({ epoch: item.epoch, frame, packetId: packet.messageId! })
    if (wrong !== undefined) return this.#wrong(wrong)
    this.#parts.downlink.pump(channel)
  }

  /**
   * On our clock, rather too early than too late (rule 2): by the gateway's clock, and by the time it
   * had left when it was written, which holds whatever the clocks say.
   */
  #expiresAtMs({ expiresAtMs, leftMs }: Item): number {
    const byClockMs =
      this.#gatewayMs === undefined ? expiresAtMs : this.#askedAtMs + expiresAtMs - this.#gatewayMs
    return Math.min(byClockMs, this.#parts.nowMs() + leftMs)
  }

  readonly #flush = (): void => {
    this.#flushing = false
    if (this.#ended) return
    const { heartbeat, nowMs } = this.#parts
    let wrote = false
    for (const lane of this.#lanes) {
      if (this.#write(lane)) wrote = true
      if (this.#acknowledge(lane)) wrote = true
      if (this.#ended) return
    }
    if (wrote) heartbeat.wrote(nowMs())
    this.#parts.changed()
  }

  /** As far as they are stored, and the gateway takes more. */
  #write(lane: Lane): boolean {
    const { channel } = lane
    const { keeper, nowMs } = this.#parts
    let wrote = false
    while (!this.#connection.full && this.#inFlight < this.#inFlightMax) {
      const slot = channel.outbox.peek(uplinkWindow)
      if (slot === undefined) break
      const { uplink } = slot
      const saying = this.#words.say(uplink, this.#speaker(channel))
      if (this.#isTooLarge(saying, uplink.payload)) {
        if (uplink.kind === 'reply') channel.inbox.unrefused(uplink.epoch, uplink.offset, nowMs())
        keeper.note({ kind: 'removed', channel: channel.name, sequence: uplink.sequence })
        this.#events.notTaken(channel, channel.outbox.remove(), 'too-large')
        continue
      }
      channel.outbox.written(nowMs())
      const out = lane.wrote(uplink)
      wrote = true
      this.#connection.publish(saying, uplink.payload, (code) => {
        out.code = code
        this.#answered(lane, code)
      })
    }
    return wrote
  }

  /** Each command by its own PUBACK, as soon as it is done with: nothing is gained by waiting. */
  #acknowledge(lane: Lane): boolean {
    const packetIds = lane.payable()
    if (packetIds.length === 0) return false
    for (const packetId of packetIds) this.#connection.acknowledge(packetId)
    const wrong = lane.admit()
    if (wrong === undefined) this.#parts.downlink.pump(lane.channel)
    else this.#wrong(wrong)
    return true
  }

  #answered(lane: Lane, answer: number) {
    if (this.#ended) return
    const { channel } = lane
    const { keeper, downlink, heartbeat, nowMs } = this.#parts
    heartbeat.heard()
    if (answer >= 0x80 && !neverTaken.has(answer) && !notNeeded.has(answer))
      return this.#wrong(`the gateway does not take it: 0x${answer.toString(16)}`)
    lane.settle((sequence, code) => {
      channel.outbox.acknowledge(sequence, (gone) => {
        heartbeat.acknowledged(nowMs() - gone.writtenAtMs)
        const why =
          neverTaken.get(code) ?? (gone.uplink.kind === 'event' ? notNeeded.get(code) : undefined)
        if (why === undefined) this.#events.kept(channel, gone)
        else this.#events.notTaken(channel, gone, whyOf(why, channel.name))
      })
      keeper.note({ kind: 'kept', channel: channel.name, upTo: sequence })
    })
    this.#events.acknowledged()
    this.scheduleFlush()
    downlink.pump(channel)
  }

  #speaker({ name, outbox }: DeviceChannel): Speaker {
    return {
      device: this.#parts.options.device,
      channel: name,
      uplinkEpoch: outbox.uplinkEpoch,
    }
  }

  #isTooLarge({ topic }: Saying, payload: Uint8Array): boolean {
    const topicBytes = Buffer.byteLength(topic)
    const nameMaxBytes = this.#parts.limits.nameMaxBytes
    const bytes = topicBytes + payload.length + 2 * nameMaxBytes + publishExtraBytes
    return topicBytes > topicMaxBytes || bytes > this.#packetMaxBytes
  }

  get #inFlight(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.inFlight, 0)
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
