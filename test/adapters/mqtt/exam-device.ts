import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt'
import type { Adapter, Listener } from '../../../src/contract/index.ts'
import type {
  Door,
  ExamCommand,
  ExamDevice,
  ExamReply,
  Identity,
  Said,
} from '../../support/adapter-subject.ts'
import type { GatewayDoor } from '../../support/gateway-subject.ts'
import { Wire } from '../../support/wire.ts'

export class MqttDoor implements GatewayDoor {
  readonly port: number
  readonly listeners: readonly Listener[]
  readonly adapter: Adapter
  readonly #make: (door: MqttDoor, identity: Identity) => MqttDevice
  readonly #devices: MqttDevice[] = []

  constructor(
    listeners: readonly Listener[],
    adapter: Adapter,
    make: (door: MqttDoor, identity: Identity) => MqttDevice,
  ) {
    this.listeners = listeners
    this.port = listeners[0]!.port
    this.adapter = adapter
    this.#make = make
  }

  device(identity: Identity): ExamDevice {
    const device = this.#make(this, identity)
    this.#devices.push(device)
    return device
  }

  figures(): Readonly<Record<string, number>> {
    return this.adapter.figures()
  }

  async kill(): Promise<void> {
    for (const device of this.#devices) await device.drop()
    await this.adapter.stop(0)
  }

  stop(): Promise<void> {
    return this.adapter.stop(1_000)
  }
}

/** What a device over MQTT does alike in every version; how a command is read and said is the version's. */
export abstract class MqttDevice implements ExamDevice {
  readonly received: ExamCommand[] = []
  act: (command: ExamCommand) => Promise<ExamReply | undefined> = async () => undefined
  protected readonly client: MqttClient
  protected abstract readonly filter: string
  /** What was not acknowledged, kept like its flash would. */
  readonly #stores = {
    incomingStore: new mqtt.Store({ clean: false }),
    outgoingStore: new mqtt.Store({ clean: false }),
  }
  #door: MqttDoor
  #wire: Wire | undefined
  #isMuted = false
  #isHeld = false
  #isSubscribed = false
  /** Packet ids held back, by command. */
  readonly #owed = new Map<string, number>()

  constructor(door: MqttDoor, identity: Identity, version: 3 | 4 | 5) {
    this.#door = door
    const { app = 'default', device, secret } = identity
    this.client = new mqtt.MqttClient(() => this.#connectWire() as never, {
      ...this.#stores,
      protocolVersion: version,
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
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
    this.client.on('error', () => {})
    this.client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'publish') return
      const { messageId } = packet
      // Taken like QoS 0, so that the library does not acknowledge before the application has acted.
      if (packet.qos === 1) packet.qos = 0
      void this.#receive(packet, messageId)
    })
    this.client.on('close', () => {
      this.#isSubscribed = false
    })
  }

  get attached(): boolean {
    return this.client.connected && this.#isSubscribed
  }

  move(door: Door): void {
    this.#door = door as MqttDoor
  }

  async connect(how = { acknowledges: true }): Promise<'attached' | 'refused'> {
    if (!(await this.online())) return 'refused'
    const qos = how.acknowledges ? 1 : 0
    return new Promise((resolve) => {
      const closed = (): void => resolve('refused')
      this.client.once('close', closed)
      this.client.subscribe(this.filter, { qos }, (error, granted) => {
        this.client.off('close', closed)
        this.#isSubscribed = !error && granted?.every((one) => one.qos < 0x80) === true
        resolve(this.#isSubscribed ? 'attached' : 'refused')
      })
    })
  }

  async event(name: string, payload: unknown): Promise<boolean> {
    return (await this.publish(`events/${name}`, payload)) === 'kept'
  }

  async post(name: string, payload: unknown): Promise<Said> {
    if (!(await this.online())) return 'refused'
    return this.publish(`events/${name}`, payload)
  }

  async drop(): Promise<void> {
    this.#isMuted = false
    if (this.#wire === undefined || this.#wire.destroyed) return
    const closed = new Promise<void>((resolve) => this.client.once('close', () => resolve()))
    this.#wire.destroy()
    await closed
  }

  leave(): Promise<void> {
    return new Promise((resolve) => this.client.end(false, () => resolve()))
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

  /** Connected, if need be; false: refused. */
  protected online(): Promise<boolean> {
    if (this.client.connected) return Promise.resolve(true)
    const connected = new Promise<boolean>((resolve) => {
      const done = (outcome: boolean) => () => {
        this.client.off('connect', well)
        this.client.off('close', badly)
        resolve(outcome)
      }
      const well = done(true)
      const badly = done(false)
      this.client.on('connect', well)
      this.client.on('close', badly)
    })
    this.client.reconnect(this.#stores)
    return connected
  }

  #connectWire(): Wire {
    this.#wire = new Wire(this.#door.port)
    if (this.#isMuted) this.#wire.mute()
    return this.#wire
  }

  async #receive(packet: IPublishPacket, messageId: number | undefined): Promise<void> {
    const command = this.read(packet)
    const { id } = command
    this.received.push(command)
    const reply = await this.act(command)
    if (reply !== undefined) {
      const { status, reason, payload } = reply
      const more = reason === undefined ? '' : `/${reason}`
      void this.publish(`replies/${id}/${status}${more}`, payload ?? '')
    }
    if (messageId === undefined) return
    if (this.#isHeld) this.#owed.set(id, messageId)
    else this.#puback(messageId)
  }

  #puback(messageId: number): void {
    this.#wire?.write(Buffer.from([0x40, 2, messageId >> 8, messageId & 0xff]))
  }

  protected abstract read(packet: IPublishPacket): ExamCommand

  protected abstract publish(topic: string, payload: unknown): Promise<Said>
}

let made = 0
