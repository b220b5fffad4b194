import { connect, type Socket } from 'node:net'
import { FrameDecoder, FrameEncoder } from '../../../adapters/pike/codec.ts'
import type { Frame } from '../../../adapters/pike/frames.ts'
import { deriveKeys, makeProof } from '../../../src/secrets/secrets.ts'
import { helloFrame } from '../../adapters/pike/client.ts'
import { secretOf } from '../gateway.ts'
import { type Bystander, eventBody, type Happenings, numberIn, type Place } from './bystander.ts'

export class PikeBystander implements Bystander {
  readonly protocol = 'pike'
  readonly device = 'by-pike'
  readonly #port: number
  readonly #happenings: Happenings
  readonly #encoder = new FrameEncoder()
  readonly #decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
  readonly #onFrame = (frame: Frame, raw: Uint8Array): void => this.#take(frame, raw)
  #socket: Socket | undefined
  #hello: Buffer | undefined
  #welcomed: (() => void) | undefined
  #kept: (() => void) | undefined
  #sequence = 0
  #stopped = false

  constructor({ ports }: Place, happenings: Happenings) {
    this.#port = ports.pike!
    this.#happenings = happenings
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#welcomed = resolve
      const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true })
      this.#socket = socket
      this.#hello = this.#encoder.encode(
        helloFrame({ device: this.device, capabilities: 0, bindingsMax: 0 }),
      )
      socket.write(this.#hello)
      socket.on('data', (chunk) => {
        const error = this.#decoder.push(chunk, this.#onFrame)
        if (error !== undefined) this.#happenings.harmed(`cannot be read: ${error.text}`)
      })
      socket.on('error', (error) => this.#happenings.harmed(error.message))
      socket.on('close', () => {
        reject(new Error('Pike: closed'))
        if (!this.#stopped) this.#happenings.harmed('its connection was closed')
      })
    })
  }

  report(n: number): Promise<void> {
    return new Promise((resolve) => {
      this.#kept = resolve
      this.#send({
        type: 'event',
        channelNumber: 0,
        sequence: ++this.#sequence,
        name: 'alive',
        payload: Buffer.from(eventBody(n)),
        binary: false,
      })
    })
  }

  stop(): void {
    this.#stopped = true
    this.#socket?.destroy()
  }

  #send(frame: Frame): void {
    this.#socket!.write(this.#encoder.encode(frame))
  }

  #take(frame: Frame, raw: Uint8Array): void {
    switch (frame.type) {
      case 'auth':
        void this.#prove(Buffer.from(raw))
        return
      case 'welcome':
        this.#welcomed?.()
        return
      case 'command':
        this.#send({ type: 'ack', channelNumber: 0, upTo: frame.offset })
        this.#happenings.commanded(numberIn(frame.payload))
        return
      case 'ack':
        if (frame.upTo === this.#sequence) this.#kept?.()
        return
      case 'ping':
        this.#send({ type: 'pong', keepaliveS: undefined })
        return
      case 'close':
        this.#happenings.harmed(`CLOSE ${frame.code} ${frame.text}`)
        return
      default:
    }
  }

  async #prove(challenge: Buffer): Promise<void> {
    const keys = await deriveKeys(secretOf(this.device), 'default', this.device, 'hkdf')
    const proof = makeProof(keys, Buffer.concat([this.#hello!, challenge]))
    this.#send({ type: 'auth', channelNumber: 0, method: 'proof', proof })
  }
}
