import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'
import { generate, type Packet, parser } from 'mqtt-packet'
import { AdapterRig, secretOf } from '../../support/adapter-subject.ts'
import { memorySubject } from '../../support/engine-memory.ts'
import { type MqttDoor, mqttSubject } from './subject.ts'

type Sent = { readonly cmd: string; readonly [name: string]: unknown }
/** Any packet of a server, without asking which. */
export type Heard = Packet & {
  readonly messageId: number
  readonly [name: string]: unknown
}
type Options = Parameters<typeof mqttSubject>[2]

/** A client of MQTT 3 made of bytes: it does nothing by itself, so it can do anything. */
export class RawClient {
  readonly socket: Duplex
  readonly packets: Packet[] = []
  readonly #reader = parser({ protocolVersion: 4 })
  closed = false
  error: string | undefined

  constructor(socket: Duplex) {
    this.socket = socket
    this.#reader.on('packet', (packet) => this.packets.push(packet))
    this.#reader.on('error', (error) => assert.fail(`the server wrote nonsense: ${error}`))
    socket.on('data', (chunk) => this.#reader.parse(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message
    })
    socket.on('close', () => {
      this.closed = true
    })
  }

  write(bytes: Uint8Array | readonly number[]): void {
    this.socket.write(Buffer.from(bytes))
  }

  send(packet: Sent): void {
    this.write(generate(packet as never, { protocolVersion: 4 }))
  }

  connect(change: Record<string, unknown> = {}): void {
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'raw',
      clean: true,
      keepalive: 60,
      username: 'locker',
      password: Buffer.from(secretOf('locker')),
      ...change,
    })
  }

  publish(topic: string, payload = '1', change: Record<string, unknown> = {}): void {
    this.send({
      cmd: 'publish',
      topic,
      payload,
      qos: 1,
      messageId: 1,
      dup: false,
      retain: false,
      ...change,
    })
  }

  subscribe(topic: string, qos = 1, messageId = 2): void {
    this.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos }] })
  }
}

/** A server with a device, and ways to talk to it in bytes. */
export class RawRig {
  readonly rig: AdapterRig
  readonly #t: TestContext

  constructor(t: TestContext, rig: AdapterRig) {
    this.#t = t
    this.rig = rig
  }

  static async make(t: TestContext, options: Options = {}): Promise<RawRig> {
    const rig = await AdapterRig.make(t, mqttSubject(memorySubject, 4, options))
    await rig.register()
    return new RawRig(t, rig)
  }

  get door(): MqttDoor {
    return this.rig.door as MqttDoor
  }

  get figures(): Readonly<Record<string, number>> {
    return this.door.adapter.figures()
  }

  client(socket: Duplex = connect({ host: '127.0.0.1', port: this.door.port, noDelay: true })) {
    const client = new RawClient(socket)
    this.#t.after(() => client.socket.destroy())
    return client
  }

  /** The next packet; time creeps on meanwhile. */
  async next(client: RawClient): Promise<Heard> {
    await this.rig.until('a packet', () => client.packets.length > 0 || client.closed)
    const packet = client.packets.shift()
    assert.ok(packet !== undefined, 'it was closed instead')
    return packet as Heard
  }

  /** Let in. */
  async connected(change: Record<string, unknown> = {}): Promise<RawClient> {
    const client = this.client()
    client.connect(change)
    const connack = await this.next(client)
    assert.deepEqual([connack.cmd, connack.returnCode], ['connack', 0])
    return client
  }

  /** Let in, and receiving. */
  async subscribed(filter = 'commands/#', qos = 1): Promise<RawClient> {
    const client = await this.connected()
    client.subscribe(filter, qos)
    const suback = await this.next(client)
    assert.deepEqual(suback.granted, [qos])
    return client
  }

  async ended(client: RawClient): Promise<void> {
    await this.rig.until('its end', () => client.closed)
  }
}
