import mqtt, { type IPublishPacket, type MqttClient, type Packet } from 'mqtt'
import type { ExamReply, Identity } from '../../support/adapter-subject.ts'
import type { EngineSubject } from '../../support/engine-subject.ts'
import type {
  ExamGateway,
  GatewayCommand,
  GatewayDoor,
  GatewaySubject,
} from '../../support/gateway-subject.ts'
import type { MqttDoor } from './exam-device.ts'
import { mqttSubject } from './subject.ts'
import { mqtt5Subject } from './v5/subject.ts'

/** Controllers over MQTT, with the `mqtt` package at their end. */
export const mqttGatewaySubject = (engine: EngineSubject, version: 4 | 5): GatewaySubject => {
  const subject = version === 5 ? mqtt5Subject(engine) : mqttSubject(engine, 4)
  return {
    ...subject,
    start: async (core, clock) => (await subject.start(core, clock)) as MqttDoor,
    gateway: (door, identity) => new MqttGateway(door, identity, version),
    refusedTotal: 'foreign_topics_total',
    words:
      version === 5
        ? {
            ungranted: /^0x87 /,
            reportUngranted: /^0x87 no topic of this device$/,
            unknownChannel: /^0x8f channel: /,
            reportUnknownChannel: /^0x90 channel: /,
          }
        : {
            ungranted: /^0x80$/,
            reportUngranted: /^closed$/,
            unknownChannel: /^0x80$/,
            reportUnknownChannel: /^closed$/,
          },
  }
}

class MqttGateway implements ExamGateway {
  readonly received: GatewayCommand[] = []
  act: (command: GatewayCommand) => ExamReply | undefined = () => undefined
  readonly #door: GatewayDoor
  readonly #identity: Identity
  readonly #version: 4 | 5
  #client!: MqttClient

  constructor(door: GatewayDoor, identity: Identity, version: 4 | 5) {
    this.#door = door
    this.#identity = identity
    this.#version = version
  }

  async connect(): Promise<void> {
    const { device, secret } = this.#identity
    this.#client = await mqtt.connectAsync({
      ...{ host: '127.0.0.1', port: this.#door.port, protocolVersion: this.#version },
      ...{ username: device, password: secret, clientId: 'cabinet', reconnectPeriod: 0 },
      ...{ connectTimeout: 600_000, timerVariant: 'native' as const, keepalive: 60 },
    })
    this.#client.on('error', () => {})
    this.#client.on('message', (topic, _payload, packet) => this.#got(topic, packet))
  }

  async receive(device: string, channel = 'main'): Promise<string> {
    const answer = this.#answer('suback')
    this.#client.subscribe(filterOf(device, channel), { qos: 1 }, () => {})
    const packet = await answer
    if (packet?.cmd !== 'suback') return 'closed'
    const [granted] = packet.granted as number[]
    return granted! < 0x80 ? 'attached' : this.#said(granted!, packet.properties?.reasonString)
  }

  async report(device: string, name: string, channel = 'main'): Promise<string> {
    const answer = this.#answer('puback')
    const topic = `devices/${device}/channels/${channel}/events/${name}`
    this.#client.publish(topic, '{}', { qos: 1 }, () => {})
    const packet = await answer
    if (packet?.cmd !== 'puback') return 'closed'
    const { reasonCode = 0, properties } = packet
    return reasonCode < 0x80 ? 'kept' : this.#said(reasonCode, properties?.reasonString)
  }

  async stop(device: string): Promise<void> {
    await this.#client.unsubscribeAsync(filterOf(device, 'main'))
  }

  async drop(): Promise<void> {
    if (!this.#client.connected) return
    const closed = new Promise<void>((resolve) => this.#client.once('close', () => resolve()))
    this.#client.stream.destroy()
    await closed
  }

  /** undefined: the connection ended instead. */
  #answer(cmd: Packet['cmd']): Promise<Packet | undefined> {
    return new Promise((resolve) => {
      const heard = (packet: Packet): void => {
        if (packet.cmd === cmd) done(packet)
      }
      const closed = (): void => done(undefined)
      const done = (packet: Packet | undefined): void => {
        this.#client.off('packetreceive', heard).off('close', closed)
        resolve(packet)
      }
      this.#client.on('packetreceive', heard).on('close', closed)
    })
  }

  #said(code: number, text = ''): string {
    return `0x${code.toString(16)} ${text}`.trim()
  }

  #got(topic: string, _packet: IPublishPacket): void {
    const [, device = '', , , , id = '', name = ''] = topic.split('/')
    const command = { device, id, name }
    this.received.push(command)
    const reply = this.act(command)
    if (reply === undefined) return
    const { status, reason } = reply
    const words = reason === undefined ? status : `${status}/${reason}`
    this.#client.publish(`devices/${device}/replies/${id}/${words}`, '', { qos: 1 }, () => {})
  }
}

const filterOf = (device: string, channel: string): string =>
  `devices/${device}/channels/${channel}/commands/#`
