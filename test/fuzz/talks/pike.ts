import { FrameDecoder, FrameEncoder } from '../../../adapters/pike/codec.ts'
import { closeCode, type Frame } from '../../../adapters/pike/frames.ts'
import { type DeviceKeys, makeProof } from '../../../src/secrets/secrets.ts'
import { helloFrame } from '../../adapters/pike/client.ts'
import type { Who } from '../grammar.ts'
import type { Talk } from './talk.ts'

const codes = new Set<number>(Object.values(closeCode))
const probe = new FrameEncoder().encode({ type: 'ping' })

export class PikeTalk implements Talk {
  readonly hello: Buffer
  readonly probe = probe
  isIn = false
  answers = 0
  nonsense: string | undefined
  readonly #keys: DeviceKeys
  readonly #write: (proof: Buffer) => void
  /** What it hears is never named by number to whom asks for none; who lies about that hears what it asked for. */
  readonly #decoder: FrameDecoder
  readonly #onFrame = (frame: Frame, raw: Uint8Array): void => this.#take(frame, raw)

  /**
   * @param write takes the proof.
   * @param hello a HELLO of somebody else's making; no names by number are understood then.
   */
  constructor(who: Who, keys: DeviceKeys, write: (proof: Buffer) => void, hello?: Buffer) {
    this.hello =
      hello ??
      new FrameEncoder().encode(helloFrame({ app: who.app, device: who.device, bindingsMax: 0 }))
    this.#keys = keys
    this.#write = write
    const bindingsMax = hello === undefined ? 0 : 65_535
    this.#decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax })
  }

  hear(chunk: Buffer): void {
    const error = this.#decoder.push(chunk, this.#onFrame)
    if (error !== undefined) this.nonsense ??= `${error.text}: ${chunk.toString('hex')}`
  }

  #take(frame: Frame, raw: Uint8Array): void {
    if (frame.type === 'auth') {
      // Of a further channel: an answer now would come in the middle of what is being said.
      if (this.isIn) return
      const proof = makeProof(this.#keys, Buffer.concat([this.hello, raw]))
      this.#write(
        new FrameEncoder().encode({
          type: 'auth',
          channelNumber: frame.channelNumber,
          method: 'proof',
          proof,
        }),
      )
    } else if (frame.type === 'welcome') this.isIn = true
    else if (frame.type === 'pong') this.answers++
    else if (frame.type === 'close' && !codes.has(frame.code)) {
      this.nonsense = `CLOSE ${frame.code} ${frame.text}`
    }
  }
}
