import { connect, type Socket } from 'node:net'
import { defaultApp } from '../../src/contract/index.ts'
import {
  type BenchDevice,
  type DeviceSettings,
  deviceName,
  deviceSecret,
  eventName,
  eventPayload,
  setNumber,
} from './device.ts'

const readBuffer = Buffer.allocUnsafe(65_536)
const keepaliveS = 1_500
const type = { connack: 2, publish: 3, puback: 4, suback: 9, pingresp: 13 } as const
const pingreq = Buffer.from([0xc0, 0])

export type MqttVersion = 4 | 5

interface Filter {
  readonly topic: string
  readonly qos: 0 | 1
}

/** MQTT 3.1.1 or 5 by hand: packets are made once, and only numbers change in them. */
export class MqttDevice implements BenchDevice {
  readonly index: number
  onCommand: BenchDevice['onCommand']
  onAck: BenchDevice['onAck']
  onLost: BenchDevice['onLost']
  sequence = 0
  acknowledged = 0
  readonly #settings: DeviceSettings
  readonly #version: MqttVersion
  readonly #filter: Filter
  readonly #event: EventPacket
  #socket: Socket | undefined
  #ready: (() => void) | undefined
  #rest: Buffer | undefined
  /** PUBACKs of what one read brought. */
  #acks: number[] = []
  /** Of QoS 0: the last event before the PINGREQ that is not answered. */
  #pinged = 0

  /** @param filter what it subscribes to where it receives. */
  constructor(
    version: MqttVersion,
    settings: DeviceSettings,
    filter: Filter = {
      topic: settings.bare ? `commands/${deviceName(settings.index)}` : 'commands/#',
      qos: 1,
    },
  ) {
    this.index = settings.index
    this.#settings = settings
    this.#version = version
    this.#filter = filter
    this.#event = eventPacket(version, settings.qos)
  }

  connect(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#ready = resolve
      const socket = connect({
        host: '127.0.0.1',
        port,
        noDelay: true,
        onread: {
          buffer: readBuffer,
          callback: (count, buffer) => {
            this.#read((buffer as Buffer).subarray(0, count))
            return true
          },
        },
      })
      this.#socket = socket
      socket.once('connect', () => socket.write(connectPacket(this.#version, this.#settings)))
      const lost = (why: string): void => {
        reject(new Error(`device ${this.index}: ${why}`))
        this.onLost?.(this, why)
      }
      socket.on('error', (error) => lost(error.message))
      socket.on('close', () => lost('closed'))
    })
  }

  close(): void {
    this.onLost = undefined
    this.#socket?.destroy()
  }

  sendEvents(count: number): void {
    const { bytes, idAt, payloadAt } = this.#event
    const size = bytes.length
    const all = Buffer.allocUnsafe(size * count + (idAt < 0 ? pingreq.length : 0))
    for (let i = 0, at = 0; i < count; i++, at += size) {
      bytes.copy(all, at)
      const sequence = ++this.sequence
      if (idAt >= 0) all.writeUInt16BE(idOf(sequence), at + idAt)
      setNumber(all, at + payloadAt, sequence)
    }
    if (idAt < 0) {
      pingreq.copy(all, size * count)
      this.#pinged = this.sequence
    }
    this.#socket!.write(all)
  }

  #read(chunk: Buffer): void {
    let bytes = chunk
    if (this.#rest !== undefined) {
      bytes = Buffer.concat([this.#rest, chunk])
      this.#rest = undefined
    }
    const acknowledged = this.acknowledged
    let at = 0
    while (at + 1 < bytes.length) {
      let length = 0
      let body = at + 1
      for (let shift = 0; body < bytes.length; shift += 7) {
        const byte = bytes[body++]!
        length += (byte & 127) << shift
        if (byte < 128) break
      }
      if (bytes[body - 1]! >= 128 || body + length > bytes.length) break
      this.#take(bytes, bytes[at]!, body, body + length)
      at = body + length
    }
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at))
    if (this.#acks.length > 0) this.#acknowledge()
    if (this.acknowledged > acknowledged) this.onAck?.(this, this.acknowledged)
  }

  #take(bytes: Buffer, first: number, from: number, to: number): void {
    switch (first >> 4) {
      case type.publish: {
        let at = from + 2 + bytes.readUInt16BE(from)
        if ((first & 6) !== 0) {
          this.#acks.push(bytes.readUInt16BE(at))
          at += 2
        }
        if (this.#version === 5) at = afterProperties(bytes, at)
        this.onCommand?.(this, bytes.subarray(at, to))
        return
      }
      case type.puback: {
        // They come in the order of the publishes, [MQTT-4.6.0-2].
        const wanted = idOf(this.acknowledged + 1)
        const id = bytes.readUInt16BE(from)
        const reason = to > from + 2 ? bytes[from + 2]! : 0
        if (id === wanted && reason === 0) this.acknowledged++
        else this.#fail(`PUBACK ${id}, reason ${reason}, where ${wanted} was due`)
        return
      }
      case type.pingresp:
        this.acknowledged = this.#pinged
        return
      case type.connack:
        if (bytes[from + 1] !== 0) this.#fail(`CONNACK ${bytes[from + 1]}`)
        else if (this.#settings.receives)
          this.#socket!.write(subscribePacket(this.#version, this.#filter))
        else this.#ready?.()
        return
      case type.suback:
        if (bytes[to - 1]! > 1) this.#fail(`SUBACK ${bytes[to - 1]}`)
        else this.#ready?.()
        return
      default:
        this.#fail(`packet type ${first >> 4}`)
    }
  }

  #acknowledge(): void {
    const ids = this.#acks
    const all = Buffer.allocUnsafe(ids.length * 4)
    for (let i = 0; i < ids.length; i++) {
      all[i * 4] = type.puback << 4
      all[i * 4 + 1] = 2
      all.writeUInt16BE(ids[i]!, i * 4 + 2)
    }
    this.#acks = []
    this.#socket!.write(all)
  }

  #fail(why: string): void {
    this.#socket!.destroy(new Error(why))
  }
}

/** 1 to 65,535, in turn. */
const idOf = (sequence: number): number => ((sequence - 1) % 65_535) + 1

function afterProperties(bytes: Buffer, from: number): number {
  let length = 0
  let at = from
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!
    length += (byte & 127) << shift
    if (byte < 128) return at + length
  }
}

interface EventPacket {
  readonly bytes: Buffer
  /** Below 0: there is none. */
  readonly idAt: number
  readonly payloadAt: number
}

const packets = new Map<string, EventPacket>()

function eventPacket(version: MqttVersion, qos: 0 | 1): EventPacket {
  const known = packets.get(`${version} ${qos}`)
  if (known !== undefined) return known
  const id = qos === 0 ? [] : [Buffer.alloc(2)]
  const properties = version === 5 ? [Buffer.alloc(1)] : []
  const payload = eventPayload()
  const bytes = packet((type.publish << 4) | (qos << 1), [
    text(`events/${eventName}`),
    ...[...id, ...properties, payload],
  ])
  const payloadAt = bytes.length - payload.length
  const made = { bytes, payloadAt, idAt: qos === 0 ? -1 : payloadAt - properties.length - 2 }
  packets.set(`${version} ${qos}`, made)
  return made
}

function connectPacket(version: MqttVersion, { index, app }: DeviceSettings): Buffer {
  const device = deviceName(index)
  const cleanWithNameAndPassword = 0b1100_0010
  return packet(0x10, [
    text('MQTT'),
    Buffer.from([version, cleanWithNameAndPassword, keepaliveS >> 8, keepaliveS & 255]),
    ...(version === 5 ? [Buffer.alloc(1)] : []),
    text(device),
    text(app === defaultApp ? device : `${app}/${device}`),
    text(deviceSecret(index)),
  ])
}

const subscribePacket = (version: MqttVersion, { topic, qos }: Filter): Buffer =>
  packet(0x82, [
    Buffer.from([0, 1]),
    ...(version === 5 ? [Buffer.alloc(1)] : []),
    text(topic),
    Buffer.from([qos]),
  ])

function packet(first: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const length: number[] = []
  for (let left = body.length; ; left >>= 7) {
    length.push(left < 128 ? left : (left & 127) | 128)
    if (left < 128) break
  }
  return Buffer.concat([Buffer.from([first, ...length]), body])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}
