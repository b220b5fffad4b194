import { randomBytes, randomInt } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { FrameDecoder, FrameEncoder } from '../../adapters/pike/codec.ts'
import { capability, type Frame, nonceBytes } from '../../adapters/pike/frames.ts'
import { deriveKeys, makeProof } from '../../src/secrets/secrets.ts'
import {
  type BenchDevice,
  type DeviceSettings,
  deviceName,
  deviceSecret,
  eventName,
  eventPayload,
  setNumber,
} from './device.ts'

/** Everything read by any device lies here for the length of one call, so that reading costs nothing. */
const readBuffer = Buffer.allocUnsafe(65_536)

const bindingsMax = 64
const payload = eventPayload()

/** The encoder copies it, so that one buffer is enough. */
function numbered(sequence: number): Buffer {
  setNumber(payload, 0, sequence)
  return payload
}

/** Over Pike; it acknowledges commands once a read. */
export class PikeDevice implements BenchDevice {
  readonly index: number
  readonly app: string
  onCommand: BenchDevice['onCommand']
  onAck: BenchDevice['onAck']
  onLost: BenchDevice['onLost']
  sequence = 0
  acknowledged = 0
  readonly #encoder = new FrameEncoder()
  readonly #decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
  readonly #onFrame = (frame: Frame, raw: Uint8Array): void => this.#take(frame, raw)
  #socket: Socket | undefined
  #hello: Buffer | undefined
  #welcomed: (() => void) | undefined
  #offset = 0
  #offsetAcknowledged = 0

  constructor({ index, app }: DeviceSettings) {
    this.index = index
    this.app = app
  }

  /** Resolves with WELCOME. */
  connect(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#welcomed = resolve
      const socket = connect({
        host: '127.0.0.1',
        port,
        noDelay: true,
        onread: {
          buffer: readBuffer,
          callback: (count, buffer) => {
            this.#read(buffer as Buffer, count)
            return true
          },
        },
      })
      this.#socket = socket
      socket.once('connect', () => this.#sendHello())
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
    const socket = this.#socket!
    socket.cork()
    for (let i = 0; i < count; i++) {
      const sequence = ++this.sequence
      socket.write(
        this.#encoder.encode({
          type: 'event',
          channelNumber: 0,
          sequence,
          name: eventName,
          payload: numbered(sequence),
          binary: false,
        }),
      )
    }
    socket.uncork()
  }

  #sendHello(): void {
    this.#hello = this.#encoder.encode({
      type: 'hello',
      version: 1,
      capabilities: capability.batch | capability.bindings,
      channelNumber: 0,
      app: this.app,
      device: deviceName(this.index),
      channel: 'main',
      nonce: randomBytes(nonceBytes),
      resume: undefined,
      uplinkEpoch: randomInt(1, 2 ** 31),
      keepaliveMinS: 1_500, // it never beats
      keepaliveMaxS: 0,
      frameMaxBytes: 65_536,
      windowMax: 16,
      bindingsMax,
      extensions: [],
    })
    this.#socket!.write(this.#hello)
  }

  #read(buffer: Buffer, count: number): void {
    const error = this.#decoder.push(buffer.subarray(0, count), this.#onFrame)
    if (error !== undefined) {
      this.#socket!.destroy(new Error(error.text))
      return
    }
    if (this.#offset > this.#offsetAcknowledged) {
      this.#offsetAcknowledged = this.#offset
      this.#socket!.write(
        this.#encoder.encode({ type: 'ack', channelNumber: 0, upTo: this.#offset }),
      )
    }
  }

  #take(frame: Frame, raw: Uint8Array): void {
    switch (frame.type) {
      case 'command':
        this.#offset = frame.offset
        this.onCommand?.(this, frame.payload)
        return
      case 'ack':
        this.acknowledged = frame.upTo
        this.onAck?.(this, frame.upTo)
        return
      case 'ping':
        this.#socket!.write(this.#encoder.encode({ type: 'pong', keepaliveS: undefined }))
        return
      case 'auth':
        void this.#prove(frame.method === 'challenge' ? frame.kdf : 'hkdf', Buffer.from(raw))
        return
      case 'welcome': {
        const bound = (frame.capabilities & capability.bindings) !== 0
        this.#encoder.bindingsMax = bound ? frame.bindingsMax : 0
        this.#decoder.bindingsMax = bound ? bindingsMax : 0
        this.#offset = frame.offset
        this.#offsetAcknowledged = frame.offset
        this.#hello = undefined
        this.#welcomed?.()
        this.#welcomed = undefined
        return
      }
      case 'close':
        this.#socket!.destroy(new Error(`CLOSE ${frame.code} ${frame.text}`))
        return
      default:
    }
  }

  async #prove(kdf: 'hkdf' | 'scrypt', challenge: Buffer): Promise<void> {
    const secret = deviceSecret(this.index)
    const keys = await deriveKeys(secret, this.app, deviceName(this.index), kdf)
    const proof = makeProof(keys, Buffer.concat([this.#hello!, challenge]))
    this.#socket!.write(
      this.#encoder.encode({ type: 'auth', channelNumber: 0, method: 'proof', proof }),
    )
  }
}
