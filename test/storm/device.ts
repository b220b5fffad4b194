import { randomBytes, randomInt } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { FrameDecoder, FrameEncoder } from '../../adapters/pike/codec.ts'
import { closeCode, type Frame, nonceBytes } from '../../adapters/pike/frames.ts'
import { type Cause, type Effect, type Input, Lifecycle } from '../../devices/lifecycle.ts'
import { reconnectPolicy } from '../../devices/reconnect.ts'
import { defaultApp } from '../../src/contract/index.ts'
import { type DeviceKeys, deriveKeys, makeProof } from '../../src/secrets/secrets.ts'
import { deviceName, deviceSecret } from '../bench/device.ts'

/** Everything read by any device lies here for the length of one call. */
const readBuffer = Buffer.allocUnsafe(65_536)
const startTimeoutMs = 10_000

export interface StormHost {
  readonly port: number
  /** It is in. */
  running(device: StormDevice): void
  /** It lost its connection, or was sent away. */
  away(device: StormDevice): void
  received(device: StormDevice, n: number): void
  readonly random: () => number
}

/**
 * A locker that costs little: Pike's frames and the real life cycle of a client, with its position
 * kept over connections, and nothing else.
 */
export class StormDevice {
  readonly index: number
  readonly address: string
  readonly #host: StormHost
  readonly #lifecycle: Lifecycle
  readonly #uplinkEpoch = randomInt(1, 2 ** 31)
  #keys: DeviceKeys | undefined
  #position: { epoch: number; offset: number } | undefined
  #said = 0
  #socket: Socket | undefined
  #connection = 0
  #encoder = new FrameEncoder()
  #decoder: FrameDecoder | undefined
  #hello: Buffer | undefined
  #timer: NodeJS.Timeout | undefined
  running = false

  constructor(index: number, address: string, host: StormHost) {
    this.index = index
    this.address = address
    this.#host = host
    this.#lifecycle = new Lifecycle({ startTimeoutMs, random: host.random })
  }

  input(input: Input): void {
    this.#carryOut(this.#lifecycle.input(input, performance.now()))
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#connection = 0
    this.#socket?.destroy()
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'connect') this.#connect(effect.connection)
      else if (effect.kind === 'disconnect') this.#disconnect()
      else this.#turned(effect.state.kind === 'running')
    }
    clearTimeout(this.#timer)
    const { dueMs } = this.#lifecycle
    if (dueMs === Number.POSITIVE_INFINITY) return
    const waitMs = Math.max(0, Math.ceil(dueMs - performance.now()))
    this.#timer = setTimeout(() => this.input({ kind: 'tick' }), waitMs)
  }

  #turned(running: boolean): void {
    if (running === this.running) return
    this.running = running
    if (running) this.#host.running(this)
    else this.#host.away(this)
  }

  #disconnect(): void {
    this.#connection = 0
    this.#socket?.destroy()
    this.#socket = undefined
  }

  #lost(connection: number, cause: Cause): void {
    if (connection === this.#connection) this.input({ kind: 'lost', connection, cause })
  }

  #connect(connection: number): void {
    this.#connection = connection
    this.#encoder = new FrameEncoder()
    this.#decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 0 })
    const lost = (text: string): void => this.#lost(connection, { kind: 'local', text })
    const socket = connect({
      ...{ host: this.address, localAddress: this.address, port: this.#host.port, noDelay: true },
      onread: {
        buffer: readBuffer,
        callback: (count, buffer) => {
          if (connection === this.#connection) this.#read(connection, buffer as Buffer, count)
          return true
        },
      },
    })
    this.#socket = socket
    socket.once('connect', () => {
      if (connection === this.#connection) this.#sayHello()
    })
    socket.on('error', (error) => lost(error.message))
    socket.on('close', () => lost('closed'))
  }

  #sayHello(): void {
    this.#hello = this.#encoder.encode({
      ...{ type: 'hello', version: 1, capabilities: 0, channelNumber: 0, app: defaultApp },
      ...{ device: deviceName(this.index), channel: 'main', nonce: randomBytes(nonceBytes) },
      ...{ resume: this.#position, uplinkEpoch: this.#uplinkEpoch },
      ...{ keepaliveMinS: 1_500, keepaliveMaxS: 0 }, // it never beats
      ...{ frameMaxBytes: 65_536, windowMax: 16, bindingsMax: 0, extensions: [] },
    })
    this.#socket!.write(this.#hello)
  }

  #read(connection: number, buffer: Buffer, count: number): void {
    const error = this.#decoder!.push(buffer.subarray(0, count), (frame, raw) =>
      this.#take(connection, frame, raw),
    )
    if (error !== undefined) this.#lost(connection, { kind: 'local', text: error.text })
    const offset = this.#position?.offset ?? 0
    if (connection !== this.#connection || offset <= this.#said) return
    this.#said = offset
    this.#socket!.write(this.#encoder.encode({ type: 'ack', channelNumber: 0, upTo: offset }))
  }

  #take(connection: number, frame: Frame, raw: Uint8Array): void {
    if (connection !== this.#connection) return
    switch (frame.type) {
      case 'auth':
        void this.#prove(connection, Buffer.from(raw))
        return
      case 'welcome':
        this.#position = { epoch: frame.epoch, offset: frame.offset }
        this.#said = frame.offset
        this.input({ kind: 'ready', connection, policy: reconnectPolicy })
        return
      case 'epoch':
        this.#position = { epoch: frame.epoch, offset: this.#position?.offset ?? 0 }
        return
      case 'command':
        this.#position = { epoch: this.#position!.epoch, offset: frame.offset }
        this.#host.received(this, Number(Buffer.from(frame.payload).toString()))
        return
      case 'ping':
        this.#socket!.write(this.#encoder.encode({ type: 'pong', keepaliveS: undefined }))
        return
      case 'goaway':
        // What was taken is acknowledged before we go.
        this.#acknowledgeNow()
        this.#lost(connection, { kind: 'going-away', spreadMs: frame.spreadMs })
        return
      case 'close': {
        const { code, text } = frame
        if (code === closeCode.normal) return
        const retryAfterMs = frame.retryAfterS * 1000
        this.#lost(connection, { kind: 'closed', code, retryAfterMs, text })
      }
    }
  }

  #acknowledgeNow(): void {
    const offset = this.#position?.offset ?? 0
    if (offset <= this.#said) return
    this.#said = offset
    this.#socket?.write(this.#encoder.encode({ type: 'ack', channelNumber: 0, upTo: offset }))
  }

  async #prove(connection: number, challenge: Buffer): Promise<void> {
    const { index } = this
    this.#keys ??= await deriveKeys(deviceSecret(index), defaultApp, deviceName(index), 'hkdf')
    if (connection !== this.#connection) return
    const proof = makeProof(this.#keys, Buffer.concat([this.#hello!, challenge]))
    this.#socket!.write(
      this.#encoder.encode({ type: 'auth', channelNumber: 0, method: 'proof', proof }),
    )
  }
}
