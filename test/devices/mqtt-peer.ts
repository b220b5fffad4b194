import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet'

export type Version = 4 | 5

/** Whatever the parser made of a packet: tests look into it. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export type Heard = Packet & Record<string, any>

const patienceMs = 20_000

/** The gateway's end of one connection, in a test's hands: it says what it is told to, and nothing else. */
export class PeerLink {
  readonly version: Version
  readonly #socket: Socket
  readonly #packets: Heard[] = []
  #look: (() => void) | undefined
  closed = false
  wasReset = false

  constructor(socket: Socket, version: Version) {
    this.version = version
    this.#socket = socket
    const reader = parser({ protocolVersion: version })
    reader.on('packet', (packet) => {
      this.#packets.push(packet as Heard)
      this.#look?.()
    })
    socket.on('data', (chunk) => reader.parse(chunk))
    socket.on('error', () => {
      this.wasReset = true
    })
    socket.on('close', () => {
      this.closed = true
      this.#look?.()
    })
  }

  /** What came and was not asked for yet. */
  get waiting(): string[] {
    return this.#packets.map(({ cmd }) => cmd)
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  send(packet: { readonly cmd: Packet['cmd']; readonly [name: string]: unknown }): void {
    this.write(generate(packet as unknown as Packet, { protocolVersion: this.version }))
  }

  /** The next packet, which must be one of these. */
  async next(cmd: Packet['cmd']): Promise<Heard> {
    await this.until(() => this.#packets.length > 0 || this.closed, cmd)
    const packet = this.#packets.shift()
    assert.equal(packet?.cmd ?? 'the end of the connection', cmd)
    return packet!
  }

  async ended(): Promise<void> {
    await this.until(() => this.closed, 'the end')
  }

  async until(isTrue: () => boolean, what: string): Promise<void> {
    const timer = setTimeout(() => this.#look?.(), patienceMs)
    const endMs = performance.now() + patienceMs
    while (!isTrue()) {
      assert.ok(performance.now() < endMs, `never came: ${what}; there is ${this.waiting}`)
      await new Promise<void>((resolve) => {
        this.#look = resolve
      })
    }
    clearTimeout(timer)
  }

  /** CONNECT and SUBSCRIBE, both granted. @returns both. */
  async welcome(properties: object = {}): Promise<readonly [connect: Heard, subscribe: Heard]> {
    const connect = await this.next('connect')
    this.admit(properties)
    const subscribe = await this.next('subscribe')
    const granted = subscribe.subscriptions.map(() => 1)
    this.send({ cmd: 'suback', messageId: subscribe.messageId, granted })
    return [connect, subscribe]
  }

  admit(properties: object = {}): void {
    this.send({
      cmd: 'connack',
      sessionPresent: false,
      ...(this.version === 5 ? { reasonCode: 0, properties } : { returnCode: 0 }),
    })
  }

  puback(messageId: number | undefined, reasonCode = 0): void {
    this.send({ cmd: 'puback', messageId, ...(this.version === 5 && { reasonCode }) })
  }

  command(command: PeerCommand): void {
    this.send({ ...commandPacket(this.version, command) })
  }

  /** What was said still arrives. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

export interface PeerCommand {
  readonly offset: number
  readonly epoch?: number
  /** Its packet id; else the offset. */
  readonly id?: number
  readonly channel?: string
  readonly name?: string
  readonly payload?: string
  readonly now?: true
  readonly reply?: true
  readonly dup?: true
  readonly expiresAtMs?: number
  readonly leftMs?: number
}

const hourMs = 3_600_000

/** A command as a gateway writes it by default. */
export function commandPacket(version: Version, command: PeerCommand): IPublishPacket {
  const { offset, epoch = 711, channel = 'main', name = 'open', payload = '{"door":7}' } = command
  const { leftMs = hourMs, expiresAtMs = Date.now() + leftMs } = command
  const id = `SZ-0042:${channel}:${epoch.toString(36)}:${offset}`
  const delivery = command.now ? 'now' : 'queue'
  const expect = command.reply ? 'reply' : 'ack'
  const packet = {
    ...({ cmd: 'publish', qos: 1, retain: false, payload } as const),
    dup: command.dup === true,
    messageId: command.id ?? offset,
  }
  if (version === 4) {
    const said = [id, `${epoch}.${offset}`, delivery, expect, expiresAtMs, leftMs, name]
    return { ...packet, topic: `detailed/channels/${channel}/commands/${said.join('/')}` }
  }
  const userProperties: Record<string, string> = {
    'pike-command': id,
    'pike-name': name,
    'pike-position': `${epoch}.${offset}`,
    'pike-expires-at': new Date(expiresAtMs).toISOString(),
  }
  if (command.now) userProperties['pike-delivery'] = delivery
  if (command.reply) userProperties['pike-expect'] = expect
  return {
    ...packet,
    topic: `channels/${channel}/commands/${id}/-`,
    properties: {
      messageExpiryInterval: Math.max(1, Math.ceil(leftMs / 1000)),
      contentType: 'application/json',
      userProperties,
    },
  }
}

/** Listens as a gateway would. */
export class MqttPeer {
  readonly port: number
  readonly version: Version
  readonly #server: Server
  readonly #links: PeerLink[] = []
  #came: (() => void) | undefined

  private constructor(server: Server, version: Version) {
    this.#server = server
    this.version = version
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (socket) => {
      this.#links.push(new PeerLink(socket, version))
      this.#came?.()
    })
  }

  static async listen(t: TestContext, version: Version): Promise<MqttPeer> {
    const server = createServer({ noDelay: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const peer = new MqttPeer(server, version)
    const all: PeerLink[] = []
    const take = peer.link.bind(peer)
    peer.link = async () => {
      const link = await take()
      all.push(link)
      return link
    }
    t.after(() => {
      for (const link of [...all, ...peer.#links]) link.destroy()
      peer.#server.close()
    })
    return peer
  }

  /** The next connection. */
  async link(): Promise<PeerLink> {
    while (this.#links.length === 0)
      await new Promise<void>((resolve) => {
        this.#came = resolve
      })
    return this.#links.shift()!
  }
}
