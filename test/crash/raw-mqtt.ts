import { connect, type Socket } from 'node:net'
import { generate, type Packet, parser } from 'mqtt-packet'
import { smallChannel } from './asking.ts'
import { idAmong, placeIn, readJson } from './ear.ts'
import type { Report } from './journal.ts'
import { RawDevice, type RawOptions, type Said, type Uplink } from './raw-device.ts'

const keepaliveS = 10
const pingEveryMs = 3_000
/** Nothing heard for so long: the connection is dead. */
const silentMs = 8_000
const backMs = [200, 1_000] as const

/**
 * Firmware with MQTT 3.1.1 and no library: QoS 1 both ways, no stamps. PUBACKs leave when the work
 * is done, in whatever order that is.
 */
export class RawMqtt extends RawDevice {
  readonly family = 'mqtt'
  readonly #clean: boolean
  /** Topics that say what is expected and until when; else it acts and answers whatever comes. */
  readonly #detailed: boolean
  #socket: Socket | undefined
  #port = 0
  #welcome = false
  #heardAtMs = 0
  #packetId = 0
  #ping: NodeJS.Timeout | undefined
  #waiting: { readonly packetId: number; readonly settle: (said: Said) => void } | undefined

  constructor(options: RawOptions) {
    super(options, false)
    this.#clean = this.random.chance(0.5)
    this.#detailed = this.random.chance(0.5)
  }

  get state(): string {
    return this.#welcome ? 'connected' : 'not connected'
  }

  protected override get canSpeak(): boolean {
    return this.#welcome
  }

  protected connect(port: (listener: string) => number): void {
    this.#port = port('mqtt')
    this.#open()
  }

  protected async disconnect(): Promise<void> {
    // Power off says no goodbye.
    this.#drop(false)
  }

  protected say(uplink: Uplink): Promise<Said> {
    if (!this.#welcome) return Promise.resolve('again')
    return new Promise((settle) => {
      const packetId = this.#nextId()
      const dup = uplink.attempts++ > 0
      this.#waiting = { packetId, settle }
      const payload = JSON.stringify(uplink.payload)
      this.#write({
        cmd: 'publish',
        topic: topicOf(uplink),
        payload,
        qos: 1,
        messageId: packetId,
        dup,
        retain: false,
      })
    })
  }

  #open(): void {
    if (!this.isOn) return
    this.session++
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true })
    this.#socket = socket
    this.#heardAtMs = Date.now()
    const reader = parser({ protocolVersion: 4 })
    reader.on('packet', (packet) => {
      if (socket === this.#socket) this.#heard(packet)
    })
    reader.on('error', () => this.odd('harness', 'the gateway wrote what is no MQTT'))
    socket.on('data', (chunk) => {
      this.#heardAtMs = Date.now()
      reader.parse(chunk)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (socket === this.#socket) this.#drop(true)
    })
    const { name } = this
    this.#write({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: name,
      clean: this.#clean,
      keepalive: keepaliveS,
      username: name,
      password: Buffer.from(this.secret),
    })
    clearInterval(this.#ping)
    this.#ping = setInterval(() => {
      if (Date.now() - this.#heardAtMs > silentMs) this.#drop(true)
      else if (this.#welcome) this.#write({ cmd: 'pingreq' })
    }, pingEveryMs)
  }

  #drop(comesBack: boolean): void {
    const socket = this.#socket
    this.#socket = undefined
    this.#welcome = false
    clearInterval(this.#ping)
    socket?.destroy()
    this.#waiting?.settle('again')
    this.#waiting = undefined
    if (comesBack) this.later(backMs, () => this.#socket ?? this.#open())
  }

  #heard(packet: Packet): void {
    switch (packet.cmd) {
      case 'connack':
        this.#connected(packet.returnCode ?? 0, packet.sessionPresent)
        return
      case 'suback':
        if (packet.granted.some((granted) => granted !== 1)) {
          this.odd('device-refused', `SUBACK ${packet.granted.join(' ')}`)
        }
        return
      case 'puback':
        if (packet.messageId !== this.#waiting?.packetId) return
        this.#waiting?.settle('kept')
        this.#waiting = undefined
        return
      case 'publish':
        this.#commanded(packet)
    }
  }

  #connected(code: number, hasSession: boolean): void {
    // 3: not now.
    if (code === 4 || code === 5) this.odd('device-refused', `CONNACK ${code}`)
    if (code !== 0) {
      this.#drop(true)
      return
    }
    this.#welcome = true
    // Who is told that its session is there need not subscribe again.
    if (!hasSession || this.random.chance(0.5)) {
      const first = this.#detailed ? 'detailed/commands/#' : 'commands/#'
      const topics = [first, `channels/${smallChannel.name}/commands/#`]
      const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }))
      this.#write({ cmd: 'subscribe', messageId: this.#nextId(), subscriptions } as never)
    }
    this.ready()
  }

  #commanded({ topic, payload, dup, messageId }: Packet & { cmd: 'publish' }): void {
    const found = idAmong(topic.split('/'))
    if (found === undefined) {
      this.odd('harness', `a command without an id: ${topic}`)
      return
    }
    const { id, rest } = found
    // detailed/commands/{id}/{delivery}/{expect}/{expires}/{name}
    const isDetailed = topic.startsWith('detailed/')
    const raw = this.act({
      id,
      offset: placeIn(id).offset,
      payload: readJson(payload as Buffer),
      repeated: dup,
      replyExpected: !isDetailed || rest[1] === 'reply',
      expiresAtMs: isDetailed ? Number(rest[2]) : Number.NaN,
    })
    const session = this.session
    const acknowledge = (): void => {
      if (this.session !== session || !this.#welcome) return
      if (raw !== undefined) raw.acknowledgedAtMs = Date.now()
      this.#write({ cmd: 'puback', messageId })
    }
    if (this.random.chance(0.6)) acknowledge()
    else this.later([1, 250], acknowledge)
  }

  #nextId(): number {
    this.#packetId = (this.#packetId % 65_535) + 1
    return this.#packetId
  }

  #write(packet: Packet): void {
    this.#socket?.write(generate(packet, { protocolVersion: 4 }))
  }
}

function topicOf({ kind, made, type }: Uplink): string {
  if (kind === 'reply') {
    const { id, status } = made as { readonly id: string; readonly status: string }
    return status === 'done' ? `replies/${id}` : `replies/${id}/${status}`
  }
  const { channel } = made as Report
  return channel === 'main' ? `events/${type}` : `channels/${channel}/events/${type}`
}
