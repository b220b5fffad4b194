import mqtt, { type IClientPublishOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { mqttAdapter, type TopicTemplates } from '../../../../adapters/mqtt/index.ts'
import type { Stamp } from '../../../../src/contract/index.ts'
import type {
  AdapterSubject,
  Door,
  ExamCommand,
  ExamDevice,
  ExamReply,
  Identity,
  Said,
} from '../../../support/adapter-subject.ts'
import type { EngineSubject } from '../../../support/engine-subject.ts'
import { Wire } from '../../../support/wire.ts'

/** MQTT 5 through real sockets, with the `mqtt` package at the device's end. */
export const mqtt5Subject = (engine: EngineSubject, topics?: TopicTemplates): AdapterSubject => ({
  name: 'mqtt5',
  engine,
  can: {
    posts: true,
    stamps: true,
    repliesById: true,
    receivesUnacknowledged: true,
    acknowledgesOne: true,
  },
  async start(core) {
    const adapter = mqttAdapter({
      host: '127.0.0.1',
      port: 0,
      ...(topics !== undefined && { topics }),
    })
    const [listener] = await adapter.start(core)
    return new Mqtt5Door(listener!.port, (graceMs) => adapter.stop(graceMs))
  },
})

class Mqtt5Door implements Door {
  readonly port: number
  readonly #stop: (graceMs: number) => Promise<void>
  readonly #devices: Mqtt5Device[] = []

  constructor(port: number, stop: (graceMs: number) => Promise<void>) {
    this.port = port
    this.#stop = stop
  }

  device(identity: Identity): ExamDevice {
    const device = new Mqtt5Device(this, identity)
    this.#devices.push(device)
    return device
  }

  async kill(): Promise<void> {
    for (const device of this.#devices) await device.drop()
    await this.#stop(0)
  }

  stop(): Promise<void> {
    return this.#stop(1_000)
  }
}

type Outcome = 'connected' | 'refused'

class Mqtt5Device implements ExamDevice {
  readonly received: ExamCommand[] = []
  act: (command: ExamCommand) => Promise<ExamReply | undefined> = async () => undefined
  readonly #client: MqttClient
  /** What it has not been acknowledged, kept like its flash would. */
  readonly #stores = {
    incomingStore: new mqtt.Store({ clean: false }),
    outgoingStore: new mqtt.Store({ clean: false }),
  }
  #door: Mqtt5Door
  #wire: Wire | undefined
  #isMuted = false
  #isHeld = false
  #isSubscribed = false
  /** Packet ids held back, by command. */
  readonly #owed = new Map<string, number>()

  constructor(door: Mqtt5Door, identity: Identity) {
    this.#door = door
    const { app = 'default', device, secret } = identity
    this.#client = new mqtt.MqttClient(() => this.#connectWire() as never, {
      ...this.#stores,
      protocolVersion: 5,
      protocolId: 'MQTT',
      clientId: `exam-${(made++).toString(36)}`,
      clean: true,
      keepalive: 60,
      reconnectPeriod: 0,
      connectTimeout: 600_000,
      resubscribe: false,
      manualConnect: true,
      username: app === 'default' ? device : `${app}/${device}`,
      password: secret,
    })
    this.#client.on('error', () => {})
    this.#client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'publish') return
      const { messageId } = packet
      // Taken like QoS 0, so that the library does not acknowledge before the application has acted.
      if (packet.qos === 1) packet.qos = 0
      void this.#receive(packet, messageId)
    })
    this.#client.on('close', () => {
      this.#isSubscribed = false
    })
  }

  get attached(): boolean {
    return this.#client.connected && this.#isSubscribed
  }

  move(door: Door): void {
    this.#door = door as Mqtt5Door
  }

  async connect(how = { acknowledges: true }): Promise<'attached' | 'refused'> {
    if ((await this.#connect()) === 'refused') return 'refused'
    const qos = how.acknowledges ? 1 : 0
    return new Promise((resolve) => {
      const closed = (): void => resolve('refused')
      this.#client.once('close', closed)
      this.#client.subscribe('commands/#', { qos }, (error, granted) => {
        this.#client.off('close', closed)
        this.#isSubscribed = !error && granted?.every((one) => one.qos < 0x80) === true
        resolve(this.#isSubscribed ? 'attached' : 'refused')
      })
    })
  }

  async event(name: string, payload: unknown): Promise<boolean> {
    return (await this.#publish(`events/${name}`, payload, {})) === 'kept'
  }

  async post(name: string, payload: unknown, stamp?: Stamp): Promise<Said> {
    if ((await this.#connect()) === 'refused') return 'refused'
    return this.#publish(`events/${name}`, payload, stamped(stamp))
  }

  async reply(id: string, { status, reason, payload }: ExamReply, stamp?: Stamp): Promise<Said> {
    if ((await this.#connect()) === 'refused') return 'refused'
    const user = { ...stamped(stamp), 'pike-status': status }
    if (reason !== undefined) Object.assign(user, { 'pike-reason': reason })
    return this.#publish(`replies/${id}`, payload ?? '', user)
  }

  async drop(): Promise<void> {
    this.#isMuted = false
    if (this.#wire === undefined || this.#wire.destroyed) return
    const closed = new Promise<void>((resolve) => this.#client.once('close', () => resolve()))
    this.#wire.destroy()
    await closed
  }

  leave(): Promise<void> {
    return new Promise((resolve) => this.#client.end(false, () => resolve()))
  }

  mute(): void {
    this.#isMuted = true
    this.#wire?.mute()
  }

  stall(): void {
    this.#wire?.stall()
  }

  unstall(): void {
    this.#wire?.unstall()
  }

  hold(): void {
    this.#isHeld = true
  }

  acknowledge(id: string): void {
    const messageId = this.#owed.get(id)
    if (messageId !== undefined) this.#puback(messageId)
  }

  #connect(): Promise<Outcome> {
    if (this.#client.connected) return Promise.resolve('connected')
    const connected = new Promise<Outcome>((resolve) => {
      const done = (outcome: Outcome) => () => {
        this.#client.off('connect', well)
        this.#client.off('close', badly)
        resolve(outcome)
      }
      const well = done('connected')
      const badly = done('refused')
      this.#client.on('connect', well)
      this.#client.on('close', badly)
    })
    this.#client.reconnect(this.#stores)
    return connected
  }

  #connectWire(): Wire {
    this.#wire = new Wire(this.#door.port)
    if (this.#isMuted) this.#wire.mute()
    return this.#wire
  }

  async #receive(packet: IPublishPacket, messageId: number | undefined): Promise<void> {
    const user = packet.properties?.userProperties ?? {}
    const id = user['pike-command'] as string
    const command: ExamCommand = {
      id,
      channel: id.split(':')[1]!,
      name: user['pike-name'] as string,
      payload: packet.payload as Buffer,
      now: user['pike-delivery'] === 'now',
      replyExpected: user['pike-expect'] === 'reply',
    }
    this.received.push(command)
    const reply = await this.act(command)
    if (reply !== undefined) {
      const { status, reason, payload } = reply
      const more = reason === undefined ? '' : `/${reason}`
      void this.#publish(`replies/${id}/${status}${more}`, payload ?? '', {})
    }
    if (messageId === undefined) return
    if (this.#isHeld) this.#owed.set(id, messageId)
    else this.#puback(messageId)
  }

  #puback(messageId: number): void {
    this.#wire?.write(Buffer.from([0x40, 2, messageId >> 8, messageId & 0xff]))
  }

  #publish(topic: string, payload: unknown, user: Record<string, string>): Promise<Said> {
    const bytes = Buffer.isBuffer(payload) ? payload : JSON.stringify(payload)
    const options: IClientPublishOptions = { qos: 1 }
    if (Object.keys(user).length > 0) options.properties = { userProperties: user }
    return new Promise((resolve) => {
      this.#client.publish(topic, bytes, options, (error, packet) => {
        const code = (error as { code?: number } | undefined)?.code ?? 0
        if (code === 0x83) resolve('stale')
        else if (code === 0x90) resolve('unknown')
        else resolve(error || packet === undefined ? 'refused' : 'kept')
      })
    })
  }
}

let made = 0

const stamped = (stamp: Stamp | undefined): Record<string, string> =>
  stamp === undefined ? {} : { 'pike-stamp': `${stamp.epoch}.${stamp.sequence}` }
