import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'

type Sent = { [name: string]: unknown; readonly cmd: Packet['cmd'] }

/** A client made of bytes: it does nothing by itself, so it can do anything. */
export class RawClient {
  readonly #socket: Socket
  readonly #packets: Packet[] = []
  readonly #reader = parser({ protocolVersion: 5 })
  #heard: (() => void) | undefined
  closed = false
  reset = false

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true })
    this.#reader.on('packet', (packet) => this.#packets.push(packet))
    this.#reader.on('error', (error) => assert.fail(`the server wrote nonsense: ${error}`))
    this.#socket.on('data', (chunk) => {
      this.#reader.parse(chunk)
      this.#heard?.()
    })
    this.#socket.on('error', () => {
      this.reset = true
    })
    this.#socket.on('close', () => {
      this.closed = true
      this.#heard?.()
    })
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  send(packet: Sent): void {
    this.write(generate(packet as unknown as Packet, { protocolVersion: 5 }))
  }

  /** CONNECT, and what comes of it. */
  async connect(change: Partial<IConnectPacket> = {}): Promise<Packet & { reasonCode?: number }> {
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: 'raw',
      clean: true,
      keepalive: 60,
      ...change,
    })
    return this.next()
  }

  /** The next packet that comes. */
  async next(): Promise<Packet & { reasonCode?: number }> {
    await this.#until(() => this.#packets.length > 0 || this.closed, 'a packet')
    const packet = this.#packets.shift()
    assert.ok(packet, 'it was closed instead')
    return packet as Packet & { reasonCode?: number }
  }

  /** All that has come and was not asked for. */
  get waiting(): readonly Packet[] {
    return this.#packets
  }

  async ended(): Promise<void> {
    await this.#until(() => this.closed, 'its end')
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  pause(): void {
    this.#socket.pause()
  }

  async #until(isTrue: () => boolean, what: string): Promise<void> {
    const tooLate = setTimeout(() => this.#socket.destroy(new Error(`no ${what}`)), 10_000)
    while (!isTrue()) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve
      })
    }
    clearTimeout(tooLate)
  }
}
