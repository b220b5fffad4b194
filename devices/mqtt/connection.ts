import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { IClientOptions, MqttClient, Packet } from 'mqtt'
import type { IConnackPacket, IPublishPacket } from 'mqtt-packet'
import type { Cause } from '../lifecycle.ts'
import { openSocket } from '../options.ts'
import type { SessionParts } from '../session.ts'
import { causeOfConnack, causeOfDisconnect } from './causes.ts'
import { PacketLengths } from './packet-lengths.ts'
import { asBuffer, type Saying } from './words.ts'

export interface ConnectionEvents {
  /** CONNACK: we are in. */
  connected(granted: IConnackPacket['properties']): void
  /** SUBACK: a code for each filter. */
  subscribed(codes: readonly number[]): void
  /** Its PUBACK is owed: `acknowledge`. */
  command(packet: IPublishPacket): void
  ponged(): void
  /** Bytes came. */
  heard(): void
  /** There is room again after `full`. */
  drained(): void
  /** Nothing follows. Called once, unless we ended it ourselves. */
  ended(cause: Cause): void
}

export const keepaliveDefaultS = 60
const keepaliveMaxS = 65_535
const pingreq = Buffer.from([0xc0, 0])
const goodbye = Buffer.from([0xe0, 0])

/** The library is loaded by who speaks MQTT: it takes 70 ms and 12 MB. */
const load = createRequire(import.meta.url)

/**
 * One MQTT connection: a socket of ours, the packets on it by the library.
 *
 * It keeps nothing over connections and never reconnects: that is the client's, as with every
 * protocol. Nor does it acknowledge, since it would before the application has acted; or, asked to
 * wait, read nothing meanwhile, not even the answer to a ping. So it is told that what comes needs no
 * acknowledgement, and PUBACK is written here, when it is due. Pings and their time are ours too.
 */
export class MqttConnection {
  /** Ends with the socket. */
  readonly closed: Promise<void>
  readonly keepaliveS: number
  readonly #events: ConnectionEvents
  readonly #parts: SessionParts
  readonly #version: 4 | 5
  readonly #socket: Duplex
  readonly #lengths: PacketLengths
  readonly #client: MqttClient
  #open = false
  /** Nothing is told any more. */
  #over = false
  #granted: IConnackPacket['properties']
  #full = false
  #corked = false
  /** What the library said last; its `close` says nothing. */
  #fault = 'the gateway ended the connection'

  constructor(parts: SessionParts, version: 4 | 5, events: ConnectionEvents) {
    const { options, limits } = parts
    this.#events = events
    this.#parts = parts
    this.#version = version
    this.#lengths = new PacketLengths(limits.handshakeFrameMaxBytes)
    const askedS = options.keepalive?.maxS ?? keepaliveDefaultS
    this.keepaliveS = Math.max(1, Math.min(keepaliveMaxS, Math.floor(askedS)))
    const socket = openSocket(options)
    this.#socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    // Before the library hears of it.
    socket.on('data', (chunk: Uint8Array) => this.#watch(chunk))
    socket.on('drain', () => {
      this.#full = false
      if (!this.#over) events.drained()
    })
    const { MqttClient } = load('mqtt') as typeof import('mqtt')
    const client = new MqttClient(() => socket as never, this.#options())
    this.#client = client
    // Behind the library: the answer to a ping is measured before it is but a sign of life.
    socket.on('data', () => {
      if (!this.#over) events.heard()
    })
    client.on('connect', () => this.#opened())
    client.on('packetreceive', (packet) => this.#take(packet))
    client.on('error', (error) => {
      this.#fault = error.message
      this.#lost({ kind: 'local', text: error.message })
    })
    client.on('close', () => this.#lost({ kind: 'local', text: this.#fault }))
  }

  get usable(): boolean {
    return this.#open && !this.#over && !this.#socket.destroyed && this.#socket.writable
  }

  /** As much waits in the socket as may. */
  get full(): boolean {
    return this.#full
  }

  subscribe(filters: readonly string[]): void {
    this.#client.subscribe([...filters], { qos: 1 })
  }

  /**
   * At QoS 1. @param settled is given the reason code of its PUBACK, 0 for none; not called when the
   * connection ends before.
   */
  publish(
    { topic, properties }: Saying,
    payload: Uint8Array,
    settled: (code: number) => void,
  ): void {
    const given = properties === undefined ? { qos: 1 as const } : { qos: 1 as const, properties }
    this.#client.publish(topic, asBuffer(payload), given, (error) => {
      if (this.#over) return
      if (error === undefined || error === null) return settled(0)
      if ('code' in error && typeof error.code === 'number') return settled(error.code)
      this.#lost({ kind: 'local', text: error.message })
    })
    this.#look()
  }

  /** At QoS 0. */
  publishOnce({ topic, properties }: Saying, payload: Uint8Array): void {
    const given = properties === undefined ? { qos: 0 as const } : { qos: 0 as const, properties }
    this.#client.publish(topic, asBuffer(payload), given)
    this.#look()
  }

  /** The PUBACK of a command. */
  acknowledge(packetId: number): void {
    this.#write(Buffer.from([0x40, 2, packetId >> 8, packetId & 0xff]))
  }

  ping(): void {
    this.#write(pingreq)
  }

  /** What was written arrives. @param politely with a DISCONNECT, which voids what follows on a loss. */
  leave(politely: boolean): void {
    this.#over = true
    if (politely) this.#write(goodbye)
    const socket = this.#socket as Duplex & { setTimeout?(ms: number, run: () => void): void }
    socket.end()
    socket.resume()
    socket.setTimeout?.(this.#parts.limits.goodbyeMs, () => socket.destroy())
  }

  /** The other end is dead: what lies in the buffers must not arrive later (rule 20). */
  reset(): void {
    this.#over = true
    const socket = this.#socket as Duplex & { readonly connecting?: boolean }
    // What Node sets for itself; after our own FIN there is no reset, and under TLS none from up here.
    const plain = socket instanceof Socket && !('encrypted' in socket)
    if (plain && !socket.connecting && !socket.writableEnded)
      Object.assign(socket, { resetAndClosing: true })
    socket.destroy()
  }

  #options(): IClientOptions {
    const { options, limits } = this.#parts
    const { app = 'default', device, secret } = options
    return {
      protocolVersion: this.#version,
      clientId: device,
      username: app === 'default' ? device : `${app}/${device}`,
      password: secret,
      clean: true,
      keepalive: this.keepaliveS,
      // Ours, every one of them.
      timerVariant: { set: () => 0 as never, clear: () => {} },
      reconnectPeriod: 0,
      connectTimeout: 2 ** 31 - 1,
      resubscribe: false,
      queueQoSZero: false,
      writeCache: false,
      log: () => {},
      ...(this.#version === 5 && {
        properties: {
          // One channel is given half of it.
          receiveMaximum: 2 * limits.windowMaxCommands,
          maximumPacketSize: limits.frameMaxBytes,
        },
      }),
    }
  }

  #watch(chunk: Uint8Array): void {
    if (this.#over) return
    if (!this.#lengths.fits(chunk)) this.#lost({ kind: 'local', text: 'a packet that is too long' })
  }

  #opened(): void {
    if (this.#over) return
    this.#open = true
    this.#events.connected(this.#granted)
  }

  #take(packet: Packet) {
    if (this.#over) return
    switch (packet.cmd) {
      case 'connack': {
        const code = (this.#version === 5 ? packet.reasonCode : packet.returnCode) ?? 0x80
        const { properties } = packet
        if (code !== 0)
          return this.#lost(causeOfConnack(this.#version, code, properties?.reasonString))
        this.#granted = properties
        this.#lengths.maxBytes = this.#parts.limits.frameMaxBytes
        return
      }
      case 'suback':
        return this.#events.subscribed(packet.granted.map(Number))
      case 'publish': {
        if (packet.qos !== 1 || packet.messageId === undefined)
          return this.#lost({ kind: 'local', text: 'a command that asks for no acknowledgement' })
        this.#events.command({ ...packet })
        packet.qos = 0
        return
      }
      case 'pingresp':
        return this.#events.ponged()
      case 'disconnect': {
        const { reasonCode = 0, properties } = packet
        const after = Number(properties?.userProperties?.['pike-retry-after'])
        const retryAfterMs = after > 0 ? after * 1000 : 0
        return this.#lost(causeOfDisconnect(reasonCode, properties?.reasonString, retryAfterMs))
      }
    }
  }

  #write(bytes: Buffer): void {
    if (!this.#socket.writable) return
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(uncork, this)
    }
    this.#socket.write(bytes)
    this.#look()
  }

  #look(): void {
    if (this.#socket.writableLength > this.#parts.limits.linkMaxBytes) this.#full = true
  }

  /** The client ends us then, as the cause has it. */
  #lost(cause: Cause): void {
    if (this.#over) return
    this.#over = true
    this.#events.ended(cause)
  }

  /** For `process.nextTick`, without a closure a write. */
  static uncork(connection: MqttConnection): void {
    connection.#corked = false
    connection.#socket.uncork()
  }
}

const { uncork } = MqttConnection
