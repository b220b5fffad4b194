import { type Packet, parser } from 'mqtt-packet'
import { type Ear, idAmong, Notes, type Paper, readJson } from './ear.ts'

/** Reads MQTT, any version, both ways: CONNECT, PUBLISH, PUBACK. */
export class MqttEar implements Ear {
  readonly #notes: Notes
  readonly #up = parser()
  #down = parser()
  /** Commands out, by packet id. */
  readonly #out = new Map<number, string>()
  #connection = 0
  #readable = true
  /** MQTT-3.1.2-24. */
  #deadAfterMs: number | undefined
  device = ''

  constructor(paper: Paper) {
    this.#notes = new Notes(paper, 'mqtt')
    this.#connection = paper.nextSession()
    this.#up.on('packet', (packet) => this.#fromDevice(packet))
    this.#up.on('error', () => this.#lost())
    this.#listenDown()
  }

  hear(chunk: Buffer, up: boolean): boolean {
    if (this.#readable) (up ? this.#up : this.#down).parse(chunk)
    return this.#readable
  }

  gone(heardAtMs?: number): void {
    this.#notes.gone({
      ...(heardAtMs !== undefined && { heardAtMs }),
      ...(this.#deadAfterMs !== undefined && { deadAfterMs: this.#deadAfterMs }),
    })
  }

  #listenDown(): void {
    this.#down.on('packet', (packet) => this.#fromGateway(packet))
    this.#down.on('error', () => this.#lost())
  }

  #lost(): void {
    this.#readable = false
  }

  #fromDevice(packet: Packet): void {
    switch (packet.cmd) {
      case 'connect':
        this.device = packet.username ?? ''
        this.#keepAlive(packet.keepalive ?? 0)
        // Nothing has come down yet: what comes is of the version asked for.
        this.#down = parser({ protocolVersion: packet.protocolVersion ?? 4 })
        this.#listenDown()
        return
      case 'puback': {
        const id = this.#out.get(packet.messageId ?? 0)
        this.#out.delete(packet.messageId ?? 0)
        if (id === undefined) return
        // MQTT 5: so it refuses.
        if ((packet.reasonCode ?? 0) < 0x80) this.#notes.taken(id)
        else this.#notes.reply(id, 'rejected')
        return
      }
      case 'publish':
        this.#published(packet)
    }
  }

  #published({ topic, payload, properties, messageId }: Packet & { cmd: 'publish' }): void {
    const words = topic.split('/')
    const found = words.includes('replies') ? idAmong(words) : undefined
    const said = properties?.userProperties
    if (found !== undefined) {
      const status = said?.['pike-status'] ?? found.rest[0] ?? 'done'
      this.#notes.reply(found.id, String(status))
      return
    }
    if (said?.['pike-stamp'] !== undefined) return
    const channel = words[0] === 'channels' ? (words[1] ?? '') : 'main'
    // Each publish is an arrival of its own.
    const arrival = `${this.#connection} ${messageId}`
    this.#notes.event(this.device, channel, readJson(payload as Buffer), arrival)
  }

  #keepAlive(seconds: number): void {
    this.#deadAfterMs = seconds === 0 ? undefined : seconds * 1_500
  }

  #fromGateway(packet: Packet): void {
    if (packet.cmd === 'connack' && packet.properties?.serverKeepAlive !== undefined)
      this.#keepAlive(packet.properties.serverKeepAlive)
    if (packet.cmd !== 'publish') return
    const found = idAmong(packet.topic.split('/'))
    if (found === undefined) return
    if (packet.messageId !== undefined) this.#out.set(packet.messageId, found.id)
    // 3.1.1 has it in the detailed topics, right behind the id.
    const inTopic = found.rest.find((word) => /^\d+\.\d+$/.test(word))
    const said = packet.properties?.userProperties?.['pike-position'] ?? inTopic
    const [epoch, offset] = String(said ?? '').split('.')
    this.#notes.command(
      found.id,
      packet.dup,
      readJson(packet.payload as Buffer),
      said === undefined ? undefined : { epoch: Number(epoch), offset: Number(offset) },
    )
  }
}
