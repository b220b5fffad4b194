import type { KeptCommand, Reason, Trail } from '../../../src/contract/index.ts'
import { reasons } from '../../../src/contract/index.ts'
import { logIn } from '../auth.ts'
import { MqttClient } from '../client.ts'
import type { Connection, Dialect } from '../connection.ts'
import { type GateProblem, packetType } from '../gate.ts'
import { wordsFor } from '../reasons.ts'
import type { Incoming } from '../said.ts'
import type { Sessions } from '../v5/sessions.ts'
import type { Outgoing, Wire } from '../wire.ts'
import { type Connect, whoOf } from './connect.ts'
import { publishPacket } from './encode.ts'
import { Lasting } from './lasting.ts'
import type { Subscribed } from './nothing.ts'
import { AedesStream, type StreamOwner } from './stream.ts'
import { bodyStart, problemOf, problemOfConnect } from './strict.ts'
import { Uplinks, type UplinksHost } from './uplinks.ts'

/** CONNACK return codes. */
const identifierRejected = 2
/** Packets that came before CONNACK wait for it; MQTT 3.1.1 §3.1.4 allows them. */
const earlyMaxPackets = 64
const messageIdMax = 65_535
const told = { qos: 0, messageId: 0, dup: false } as const
const pingresp = Buffer.from([packetType.pingresp << 4, 0])

/**
 * MQTT 3.1 and 3.1.1 on one connection: what passed the gate goes to aedes, what aedes writes goes
 * out, and what is ours stays ours.
 *
 *     gate ─▶ strict ─┬─ PUBACK ──────────────▶ client.acknowledge
 *                     ├─ PUBLISH, QoS 0, 1 ───▶ uplinks ─▶ client, PUBACK
 *                     ├─ PINGREQ ─────────────▶ PINGRESP
 *                     ╰─ the rest ─▶ stream ─▶ aedes ─▶ its hooks ─▶ client
 *     client ─▶ publish ─▶ stream ─▶ connection ◀─ PUBACK, SUBACK, … ◀─ aedes
 */
export class AedesDialect implements Dialect, Wire, StreamOwner, UplinksHost {
  readonly protocol = 'mqtt'
  readonly receiveMaximum = messageIdMax
  readonly #connection: Connection
  readonly #level: 3 | 4
  readonly #stream: AedesStream
  readonly token: string
  #state: 'new' | 'connecting' | 'open' | 'closed' = 'new'
  #client: MqttClient | undefined
  #early: Buffer[] | undefined
  #connect: Connect | undefined
  #saidGoodbye = false
  /** Granted, to be started once SUBACK is on its way. */
  #starts: (() => void)[] | undefined

  #lasting: Lasting | undefined
  readonly #sessions: Sessions
  #heldByClient = false
  #heldByStream = false
  /** Made for its first publish: many a client only receives. */
  #uplinks: Uplinks | undefined
  #isGoing = false

  /** @param handle gives aedes the stream. */
  constructor(
    connection: Connection,
    level: 3 | 4,
    sessions: Sessions,
    handle: (stream: AedesStream) => void,
  ) {
    this.#sessions = sessions
    this.#connection = connection
    this.#level = level
    this.token = connection.trail.token
    this.#stream = new AedesStream(this)
    handle(this.#stream)
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

  // Dialect: what the connection brings.

  packet(packet: Buffer): void {
    const { limits } = this.#connection.house.core
    if (this.#state === 'new') {
      const problem = problemOfConnect(packet, this.#level, limits)
      if (problem === 'identifier-rejected') this.#refuseWith(identifierRejected)
      else if (problem !== undefined) this.#malformed(problem)
      else {
        this.#state = 'connecting'
        this.#early = []
        this.#holdStream(true)
        this.#stream.push(packet)
      }
      return
    }
    if (this.#state === 'closed' || this.#saidGoodbye) return
    this.#client?.touch()
    const problem = problemOf(packet, limits)
    if (problem !== undefined) {
      this.#malformed(problem)
      return
    }
    if (this.#early !== undefined) {
      if (this.#early.length >= earlyMaxPackets) this.#malformed('protocol-error')
      else this.#early.push(Buffer.from(packet))
      return
    }
    this.#pass(packet)
  }

  unreadable(_problem: GateProblem): void {
    this.#end()
  }

  drained(): void {
    this.#client?.drained()
  }

  lost(): void {
    // What came before is still read to its end.
    this.#stream.push(null)
  }

  gone(): void {
    this.#stream.destroy()
    this.#left()
  }

  overdue(): void {
    this.#connection.house.counts.loginsFailedTotal++
    this.#reset()
  }

  goAway(): void {
    if (this.#client === undefined) this.#reset()
    else if (this.#uplinks?.isBusy !== true) this.#client.close('going-away')
    else {
      // What it said already is kept and acknowledged first, lest it say it again elsewhere.
      this.#isGoing = true
      this.hold(true)
    }
  }

  // Wire: what the client's side sends.

  carries(topic: string, _command: KeptCommand): boolean {
    return Buffer.byteLength(topic) <= messageIdMax
  }

  publish(message: Outgoing): void {
    if (this.#state === 'open') this.#stream.write(publishPacket(message, message.command.payload))
  }

  tell(topic: string, payload: Uint8Array): void {
    if (this.#state === 'open') this.#stream.write(publishPacket({ ...told, topic }, payload))
  }

  isFull(): boolean {
    const { linkMaxBytes } = this.#connection.house.core.limits
    return this.#connection.waitingBytes + this.#stream.writableLength >= linkMaxBytes
  }

  hold(held: boolean): void {
    this.#heldByClient = held
    this.#connection.hold(held || this.#heldByStream)
  }

  /** 3.x has no words for it: the connection just ends. */
  close(reason: Reason): void {
    this.#connection.why = reason
    if (reasons[reason].reset) this.#reset()
    else this.#end()
  }

  // What aedes asks.

  /** The CONNECT as aedes read it. */
  connects(connect: Connect): void {
    this.#connect = connect
  }

  /** @returns a CONNACK return code; 0: come in. */
  async authenticate(
    username: string | undefined,
    password: Uint8Array | undefined,
  ): Promise<number> {
    const { house } = this.#connection
    const connect = this.#connect
    if (connect === undefined) return wordsFor['protocol-error'].connack3
    this.#connect = undefined
    connect.forget()
    const who = await logIn(house, this.peer, username, password)
    if (who.kind === 'refused') return this.#refuse(who.reason)
    const client = new MqttClient(house, this, whoOf(connect, who, this.token), this.token)
    if (this.#state === 'closed') return this.#refuse('normal')
    this.#client = client
    const refused = await client.enter()
    if (refused !== undefined) {
      this.#client = undefined
      if (reasons[refused.reason].retry === 'later') await house.pause()
      return this.#refuse(refused.reason)
    }
    house.counts.loginsTotal++
    this.#lasting = new Lasting(this.#sessions, client)
    return 0
  }

  /** What aedes is to take up again. MQTT 3.1 has no word for it, so there we do. */
  get restored(): readonly Subscribed[] {
    return this.#level === 3 ? [] : (this.#lasting?.all ?? [])
  }

  /** CONNACK is written; what came before it is taken now. */
  ready(): void {
    if (this.#state !== 'connecting') return
    this.#state = 'open'
    this.#connection.welcomed()
    if (this.#level === 3) this.#restore()
    else this.subscribed()
    const early = this.#early ?? []
    this.#early = undefined
    this.#holdStream(false)
    for (const packet of early) this.#pass(packet)
  }

  /** A publish at QoS 2. `settled` with undefined: acknowledge it. */
  incoming(message: Incoming, settled: (ends: Reason | undefined) => void): void {
    if (this.#client === undefined) settled('unavailable')
    else this.#up.take(message, this.#client, settled)
  }

  settled(): void {
    if (this.#isGoing) this.#client?.close('going-away')
  }

  /** PUBREL. Rejects when there must be no PUBCOMP. */
  release(messageId: number): Promise<void> {
    return this.#up.release(messageId, this.#client)
  }

  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<boolean> {
    if (this.#client === undefined) return false
    const subscribed = await this.#client.subscribe(filter, qos)
    if (subscribed.kind === 'granted') {
      this.#lasting?.add(filter, qos)
      this.#starts ??= []
      this.#starts.push(subscribed.start)
      return true
    }
    if (reasons[subscribed.reason].retry === 'never') return false
    if (subscribed.spares === true) {
      await this.#connection.house.pause()
      return false
    }
    // SUBACK cannot say when to try again, and a client that is told no does not: so it comes again.
    await this.#connection.house.pause()
    this.#client?.close(subscribed.reason, subscribed.retryAfterMs)
    return false
  }

  /** SUBACK is written. */
  subscribed(): void {
    const starts = this.#starts ?? []
    this.#starts = undefined
    for (const start of starts) start()
  }

  unsubscribed(filters: readonly string[]): void {
    for (const filter of filters) {
      this.#lasting?.remove(filter)
      void this.#client?.unsubscribe(filter)
    }
  }

  wants(): void {
    if (this.#state === 'open') this.#holdStream(false)
  }

  writes(bytes: Buffer): void {
    this.#connection.write(bytes)
  }

  streamClosed(): void {
    this.#connection.end()
    this.#left()
  }

  /** CONNACK with a refusal, without aedes. */
  #refuseWith(code: number): void {
    this.#connection.house.counts.loginsFailedTotal++
    this.#connection.write(Buffer.from([packetType.connack << 4, 2, 0, code]))
    this.#end()
  }

  #refuse(reason: Reason): number {
    this.#connection.house.counts.loginsFailedTotal++
    return wordsFor[reason].connack3
  }

  get #up(): Uplinks {
    this.#uplinks ??= new Uplinks(this)
    return this.#uplinks
  }

  #pass(packet: Buffer): void {
    const type = packet[0]! >> 4
    if (type === packetType.puback) {
      // One that is not out is a repeat: it does no harm.
      this.#client?.acknowledge(packet.readUInt16BE(bodyStart(packet)))
      return
    }
    if (type === packetType.publish && (packet[0]! & 4) === 0) {
      if (this.#client !== undefined) this.#up.publish(packet, this.#client)
      return
    }
    if (type === packetType.pingreq) {
      this.#connection.write(pingresp)
      return
    }
    if (type === packetType.disconnect) this.#saidGoodbye = true
    if (!this.#stream.push(packet)) this.#holdStream(true)
  }

  #malformed(problem: GateProblem): void {
    this.#connection.house.counts.malformedTotal++
    this.#connection.why = problem
    this.#end()
  }

  #end(): void {
    if (this.#state === 'closed') return
    // Its acknowledgements leave first: what aedes wrote in this tick is still in the stream.
    this.#stream.end(() => this.#stream.destroy())
    this.#left()
  }

  #reset(): void {
    this.#connection.reset()
    this.#stream.destroy()
    this.#left()
  }

  #left(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#early = undefined
    this.#uplinks?.end()
    this.#client?.end(this.#saidGoodbye)
    this.#lasting?.keep()
  }

  #holdStream(held: boolean): void {
    this.#heldByStream = held
    this.#connection.hold(held || this.#heldByClient)
  }

  /** Without the client's asking, as it was before. */
  #restore(): void {
    for (const { topic, qos } of this.#lasting?.all ?? []) {
      void this.subscribe(topic, qos).then(() => this.subscribed())
    }
  }
}
