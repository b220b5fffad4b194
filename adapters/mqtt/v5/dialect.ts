import type { KeptCommand, Limits, Reason, Trail } from '../../../src/contract/index.ts'
import { reasons } from '../../../src/contract/index.ts'
import type { MqttClient } from '../client.ts'
import type { Connection, Dialect } from '../connection.ts'
import type { GateProblem } from '../gate.ts'
import { wordsFor } from '../reasons.ts'
import type { Addressee, Outgoing, Wire } from '../wire.ts'
import { decodePacket, isConnect } from './decode.ts'
import { encodePublish, type Publication, publicationBytes } from './encode.ts'
import { type Opened, openClient } from './opening.ts'
import {
  type AckPacket,
  type Code,
  type ConnectPacket,
  code,
  type DisconnectPacket,
  type Packet,
  type SubscribePacket,
  type UnsubscribePacket,
} from './packets.ts'
import { publicationOf } from './publication.ts'
import { connackCodes, deviceReasons } from './refusals.ts'
import type { Sessions } from './sessions.ts'
import { Speaker } from './speaker.ts'
import { Subscriptions } from './subscriptions.ts'
import { Uplinks, type UplinksHost } from './uplinks.ts'

export const dialect5 = (connection: Connection, sessions: Sessions): Dialect =>
  new Dialect5(connection, sessions)

/**
 * One connection that speaks MQTT 5.
 *
 *     new ──CONNECT──▶ opening ──CONNACK──▶ open ──DISCONNECT──▶ over
 *
 * While something is done for it that takes a while (opening, a SUBSCRIBE) it is not read, and what
 * came with it waits.
 */
class Dialect5 implements Dialect, Wire, UplinksHost {
  readonly protocol = 'mqtt5'
  /** Publishes it takes unacknowledged (§3.1.2.11.3). */
  receiveMaximum = 0xffff
  readonly speaker: Speaker
  readonly #connection: Connection
  readonly #sessions: Sessions
  /** Made for its first publish: many a client only receives. */
  #uplinks: Uplinks | undefined
  readonly #subscriptions: Subscriptions
  #state: 'new' | 'opening' | 'open' | 'over' = 'new'
  #client: MqttClient | undefined
  #waiting: Buffer[] | undefined
  #isBusy = false
  #isHeld = false
  /** It is being sent away. */
  #backInMs: number | undefined
  /** How long after its end it may come back to what it was; 0: not. */
  #sessionS = 0
  #lateWill: (Opened & { kind: 'client' })['lateWill']

  constructor(connection: Connection, sessions: Sessions) {
    this.#connection = connection
    this.#sessions = sessions
    this.speaker = new Speaker(connection)
    this.#subscriptions = new Subscriptions(this.limits)
  }

  proved(app: string, device: string): Trail {
    return this.#connection.proved(app, device)
  }

  get why(): Reason | 'lost' {
    return this.#connection.why
  }

  get peer(): string {
    return this.#connection.peer
  }

  get limits(): Limits {
    return this.#connection.house.core.limits
  }

  // What the connection says.

  packet(packet: Buffer): void {
    if (this.#state === 'over') return
    if (this.#isBusy) {
      this.#waiting ??= []
      this.#waiting.push(packet)
      return
    }
    // Whatever is in it: what is wrong there may be what only CONNACK can say [MQTT-3.1.0-2].
    if (this.#client !== undefined && isConnect(packet)) {
      this.fail(code.protocolError, 'a second CONNECT')
      return
    }
    let at = 1
    while (packet[at]! >= 0x80) at++
    const read = decodePacket(packet[0]!, packet, at + 1, packet.length)
    if (read.type === 'fault') this.fail(read.code, read.text)
    else if (read.type === 'connect') this.#connect(read)
    else if (this.#client !== undefined) this.#take(read, this.#client)
    else this.fail(code.protocolError, 'a connection begins with CONNECT') // [MQTT-3.1.0-1]
  }

  unreadable(problem: GateProblem): void {
    this.#end(wordsFor[problem].disconnect5 as Code, reasons[problem].text)
  }

  drained(): void {
    this.#client?.drained()
  }

  lost(): void {
    this.#over(false)
    this.#connection.end()
  }

  gone(): void {
    this.#over(false)
  }

  overdue(): void {
    this.close('handshake-timeout')
  }

  goAway(backInMs: number): void {
    if (this.#uplinks?.isBusy !== true) {
      this.close('going-away', backInMs)
      return
    }
    // What it said already is kept and acknowledged first, lest it say it again elsewhere.
    this.#backInMs = backInMs
    this.hold(true)
  }

  /** Nothing it said is on its way into the store any more. */
  settled(): void {
    if (this.#backInMs !== undefined) this.close('going-away', this.#backInMs)
  }

  // What its client asks of it.

  carries(topic: string, command: KeptCommand, channel: Addressee): boolean {
    if (this.speaker.packetMaxBytes === Number.POSITIVE_INFINITY) return true
    const message = { channel, topic, qos: 1, messageId: 1, dup: false, command } as const
    return publicationBytes(this.#publication(message)) <= this.speaker.packetMaxBytes
  }

  publish(message: Outgoing): void {
    this.write(encodePublish(this.#publication(message)))
  }

  tell(topic: string, payload: Uint8Array): void {
    const subscriptionIds = this.#subscriptions.idsFor(topic)
    const bytes = encodePublish({ ...told, topic, payload, subscriptionIds })
    if (this.#state === 'open' && bytes.length <= this.speaker.packetMaxBytes) this.write(bytes)
  }

  isFull(): boolean {
    return this.#connection.waitingBytes >= this.limits.linkMaxBytes
  }

  hold(held: boolean): void {
    this.#isHeld = held
    this.#connection.hold(held || this.#isBusy)
  }

  close(reason: Reason, retryAfterMs?: number): void {
    if (this.#state === 'over') return
    this.#connection.why = reason
    const { reset, text } = reasons[reason]
    // What is not out yet goes with the connection, so nothing may be said behind it (rule 20).
    if (reset && this.#connection.waitingBytes > 0) {
      this.#over(false)
      this.#connection.reset()
      return
    }
    const words = wordsFor[reason]
    if (this.#state !== 'open') this.speaker.refuseConnect(words.connack5 as Code, text)
    else this.speaker.disconnect(words.disconnect5 as Code, text, retryAfterMs)
    this.#over(false)
    if (reset) setImmediate(hangUp, this.#connection)
    else this.#connection.end()
  }

  write(bytes: Buffer): void {
    this.#connection.write(bytes)
  }

  /** It broke the protocol: say so, and end (§4.13). */
  fail(why: Code, text: string): void {
    this.#connection.house.counts.malformedTotal++
    this.#connection.why = why === code.malformed ? 'malformed' : 'protocol-error'
    this.#end(why, text)
  }

  #end(why: Code, text: string): void {
    if (this.#state === 'over') return
    if (this.#state === 'open') this.speaker.disconnect(why, text)
    // Without a CONNECT there is nobody to be told.
    else if (connackCodes.has(why)) this.speaker.refuseConnect(why, text)
    this.#over(false)
    this.#connection.end()
  }

  #over(graceful: boolean): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#waiting = undefined
    this.#uplinks?.end()
    const client = this.#client
    if (client === undefined) return
    client.end(graceful)
    if (this.#sessionS > 0) this.#keepSession(client, graceful)
  }

  #keepSession(client: MqttClient, graceful: boolean): void {
    const nowMs = this.#connection.house.core.clock.nowMs()
    const late = graceful ? undefined : this.#lateWill
    this.#sessions.keep(client, {
      filters: this.#subscriptions.all,
      will: late === undefined ? undefined : { message: late.message, atMs: nowMs + late.delayMs },
      endsAtMs: nowMs + this.#sessionS * 1000,
    })
  }

  #sessionFor(askedS: number | undefined): number {
    return Math.min(askedS ?? 0, Math.floor(this.limits.mqttSessionMaxMs / 1000))
  }

  /** Nothing that comes is taken before this is done. */
  #while(work: Promise<void>): void {
    this.#isBusy = true
    this.#connection.hold(true)
    work
      .catch(() => this.close('unavailable'))
      .finally(() => {
        this.#isBusy = false
        const waiting = this.#waiting
        this.#waiting = undefined
        for (const packet of waiting ?? []) this.packet(packet)
        if (!this.#isBusy) this.#connection.hold(this.#isHeld)
      })
  }

  #connect(packet: ConnectPacket): void {
    this.#state = 'opening'
    const { sessionExpiryS, receiveMaximum, packetMaxBytes, wantsProblems } = packet.properties
    this.receiveMaximum = receiveMaximum ?? 0xffff
    this.#sessionS = this.#sessionFor(sessionExpiryS)
    this.#subscriptions.lasts = this.#sessionS > 0
    this.speaker.packetMaxBytes = packetMaxBytes ?? Number.POSITIVE_INFINITY
    this.speaker.wantsProblems = wantsProblems ?? true
    const { house } = this.#connection
    this.#while(
      openClient(
        house,
        this,
        packet,
        this.#sessionS,
        this.#connection.trail.token,
        () => this.#state === 'over',
      ).then((opened) => this.#opened(opened, packet.cleanStart)),
    )
  }

  async #opened(opened: Opened, isClean: boolean): Promise<void> {
    if (opened.kind === 'refused') {
      this.#end(opened.code, opened.text)
      return
    }
    const { client, connack, lateWill } = opened
    if (this.#state === 'over') {
      client.end(false)
      return
    }
    this.#client = client
    this.#lateWill = lateWill
    if (isClean) this.#sessions.end(client)
    const session = isClean ? undefined : this.#sessions.resume(client)
    const start = session && (await this.#subscriptions.restore(session.filters, client))
    if (this.#isOver) return
    this.#state = 'open'
    this.#connection.welcomed()
    if (this.speaker.connack(code.success, connack, start !== undefined)) {
      start?.()
      return
    }
    this.#over(false)
    this.#connection.end()
  }

  /** Perhaps it ended while something else was waited for. */
  get #isOver(): boolean {
    return this.#state === 'over'
  }

  #take(packet: Exclude<Packet, ConnectPacket>, client: MqttClient): void {
    client.touch()
    switch (packet.type) {
      case 'publish':
        this.#uplinks ??= new Uplinks(this)
        this.#uplinks.publish(packet, client)
        return
      case 'puback':
        this.#acknowledged(packet, client)
        return
      case 'pubrel':
        this.#uplinks ??= new Uplinks(this)
        this.#uplinks.release(packet.id, client)
        return
      case 'pubrec':
        // We publish nothing at QoS 2, so nobody knows this one (§3.6.2.1).
        this.speaker.ack('pubrel', packet.id, code.packetIdNotFound)
        return
      case 'pubcomp':
        return
      case 'subscribe':
        this.#while(this.#subscribe(packet, client))
        return
      case 'unsubscribe':
        this.#while(this.#unsubscribe(packet, client))
        return
      case 'pingreq':
        this.speaker.pong()
        return
      case 'disconnect':
        this.#disconnected(packet)
        return
      case 'auth':
        // No method was agreed on [MQTT-4.12.0-6].
        this.fail(code.protocolError, 'AUTH without an authentication method')
    }
  }

  /** Refused by the device is rejected: it says that it did not act. */
  #acknowledged({ id, code: why }: AckPacket, client: MqttClient): void {
    const isKnown =
      why < code.unspecified
        ? client.acknowledge(id)
        : client.reject(id, deviceReasons.get(why) ?? 'unspecified')
    // Rule 12.
    if (!isKnown) this.fail(code.protocolError, `nothing is out under packet id ${id}`)
  }

  async #subscribe(packet: SubscribePacket, client: MqttClient): Promise<void> {
    const { codes, text, start, ends } = await this.#subscriptions.subscribe(packet, client)
    if (this.#state === 'over') return
    this.speaker.suback(packet.id, codes, text)
    start()
    if (ends !== undefined) client.close(ends.reason, ends.retryAfterMs)
  }

  async #unsubscribe(packet: UnsubscribePacket, client: MqttClient): Promise<void> {
    const codes = await this.#subscriptions.unsubscribe(packet, client)
    if (this.#state !== 'over') this.speaker.unsuback(packet.id, codes)
  }

  #disconnected({ code: why, properties }: DisconnectPacket): void {
    const { sessionExpiryS } = properties
    if (sessionExpiryS !== undefined) {
      if (sessionExpiryS > 0 && this.#sessionS === 0) {
        this.fail(code.protocolError, 'a session that was not asked for') // §3.14.2.2.2
        return
      }
      this.#sessionS = this.#sessionFor(sessionExpiryS)
    }
    this.#over(why === code.success)
    this.#connection.end()
  }

  #publication(message: Outgoing): Publication {
    const { core, topics } = this.#connection.house
    return publicationOf(
      message,
      topics.replyTopic(message.channel, message.command.id),
      this.#subscriptions.idsFor(message.topic),
      core.clock.nowMs(),
    )
  }
}

/** Of what is no command. */
const told: Omit<Publication, 'topic' | 'payload' | 'subscriptionIds'> = {
  qos: 0,
  id: 0,
  dup: false,
  messageExpiryS: undefined,
  contentType: 'application/json',
  responseTopic: undefined,
  correlation: undefined,
  user: [],
}

const hangUp = (connection: Connection): void => connection.reset()
