import assert from 'node:assert/strict'
import { type DecodeError, FrameDecoder, FrameEncoder } from '../../../adapters/pike/codec.ts'
import type { AuthFrame, Frame, HelloFrame, WelcomeFrame } from '../../../adapters/pike/frames.ts'
import { deriveKeys, makeProof, serverProof } from '../../../src/secrets/secrets.ts'
import { strongSecret } from './fake-core.ts'

export const nonce = Buffer.from('000102030405060708090a0b', 'hex')

export const helloFrame = (change: Partial<HelloFrame> = {}): HelloFrame => ({
  type: 'hello',
  version: 1,
  capabilities: 3,
  channelNumber: 0,
  app: '',
  device: 'SZ-0042',
  channel: 'main',
  nonce,
  resume: undefined,
  uplinkEpoch: 9,
  keepaliveMinS: 0,
  keepaliveMaxS: 0,
  frameMaxBytes: 65_536,
  windowMax: 16,
  bindingsMax: 32,
  extensions: [],
  ...change,
})

/** The plainest client: says what it is told, keeps what it hears. Bytes come and go by the caller. */
export class WireClient {
  readonly encoder = new FrameEncoder()
  readonly decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax: 32 })
  readonly heard: Frame[] = []
  readonly #write: (bytes: Buffer) => void
  bytesOut = 0
  bytesIn = 0
  error: DecodeError | undefined
  #raw: Buffer | undefined
  #waiting: (() => void)[] = []
  /** Set when nothing more will come. */
  isOver = false

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write
  }

  send(...frames: Frame[]): void {
    this.sendBytes(Buffer.concat(frames.map((frame) => this.encoder.encode(frame))))
  }

  sendBytes(bytes: Buffer): void {
    this.bytesOut += bytes.length
    this.#write(bytes)
  }

  receive(chunk: Uint8Array): void {
    this.bytesIn += chunk.length
    this.error ??= this.decoder.push(chunk, (frame, raw) => {
      if (frame.type === 'auth') this.#raw = Buffer.from(raw)
      if (frame.type === 'welcome' && frame.channelNumber === 0) {
        this.encoder.bindingsMax = frame.bindingsMax
      }
      this.heard.push(frame)
    })
    this.#wake()
  }

  over(): void {
    this.isOver = true
    this.#wake()
  }

  /** The next frame of a type, waited for. */
  async next<T extends Frame['type']>(type: T): Promise<Extract<Frame, { type: T }>> {
    for (;;) {
      const found = this.heard.findIndex((frame) => frame.type === type)
      if (found !== -1) {
        return this.heard.splice(found, 1)[0] as Extract<Frame, { type: T }>
      }
      assert.equal(this.error, undefined, 'the server sent what cannot be read')
      assert.equal(
        this.isOver,
        false,
        `over before ${type} came; heard ${JSON.stringify(this.heard)}`,
      )
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  async ended(): Promise<void> {
    while (!this.isOver) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** HELLO to WELCOME, proving itself and checking the server. */
  async open(
    change: Partial<HelloFrame> = {},
    { secret = strongSecret, proof }: { secret?: string; proof?: Buffer } = {},
  ): Promise<WelcomeFrame> {
    const hello = helloFrame(change)
    this.decoder.bindingsMax = hello.bindingsMax
    const helloBytes = this.encoder.encode(hello)
    this.sendBytes(helloBytes)
    if (hello.nonce.length > 0) {
      const challenge = (await this.next('auth')) as Extract<AuthFrame, { method: 'challenge' }>
      const transcript = Buffer.concat([helloBytes, this.#raw!])
      const app = hello.app === '' ? 'default' : hello.app
      const keys = await deriveKeys(secret, app, hello.device, challenge.kdf)
      const { channelNumber } = hello
      this.send({
        type: 'auth',
        channelNumber,
        method: 'proof',
        proof: proof ?? makeProof(keys, transcript),
      })
      const welcome = await this.next('welcome')
      assert.deepEqual(Buffer.from(welcome.proof), serverProof(keys.serverKey, transcript))
      return welcome
    }
    return this.next('welcome')
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
