import type { Duplex } from 'node:stream'
import { FrameDecoder, FrameEncoder } from '../../adapters/pike/codec.ts'
import {
  capability,
  closeCode,
  type Frame,
  type HelloFrame,
  type WelcomeFrame,
} from '../../adapters/pike/frames.ts'
import { type DeviceKeys, makeProof, sameBytes, serverProof } from '../../src/secrets/secrets.ts'
import type { Cause } from '../lifecycle.ts'
import type { DeviceLimits } from '../limits.ts'

export interface ConnectionEvents {
  /** A channel is open. `askedAtMs`: when we asked for it; the server's moment is not before that. */
  welcome(frame: WelcomeFrame, askedAtMs: number): void
  /** Any other frame once the server has proved itself, save CLOSE. */
  frame(frame: Frame): void
  /** Bytes came. */
  heard(): void
  /** There is room again after `full`. */
  drained(): void
  /** Nothing follows. Called once, unless we ended it ourselves. */
  ended(cause: Cause): void
}

/** What a session asks of whatever carries its frames. */
export interface Carrier {
  /** Ends when nothing of it is open any more. */
  readonly closed: Promise<void>
  /** Can it carry anything? */
  readonly usable: boolean
  /** As much waits in the socket as may. */
  readonly full: boolean
  /** The socket holds as much as it likes to; `drained` follows. For what others should not wait for. */
  readonly busy: boolean
  /** Ask for one more channel. Only once the first is open. */
  open(hello: HelloFrame): void
  /** Frames written in one go leave together. */
  write(frame: Frame): void
  /** Say why, then end; what comes meanwhile is dropped. */
  close(code: number, text: string): void
  /** The other end is dead or not to be trusted: what lies in the buffers must not arrive later. */
  reset(): void
  /** The server broke the protocol: say so and end. */
  fail(code: number, text: string): void
}

export interface CarrierOptions {
  /** Asks for the first channel. */
  readonly hello: HelloFrame
  readonly keys: (kdf: DeviceKeys['kdf']) => Promise<DeviceKeys>
  readonly events: ConnectionEvents
  readonly limits: DeviceLimits
  readonly nowMs: () => number
}

/** Others that go by the same connection, by channel numbers of their own. */
export interface Sharers {
  /** The server has proved itself. */
  opened(): void
  /**
   * @param askedAtMs of a WELCOME: when its channel was asked for.
   * @returns true: it is theirs alone.
   */
  take(frame: Frame, askedAtMs: number | undefined): boolean
  heard(): void
  drained(): void
  ended(): void
}

/**
 * One connection: a socket, the frames on it, and the mutual proof at its beginning.
 *
 *     HELLO ─────────▶
 *           ◀───────── AUTH challenge
 *     AUTH proof ────▶                     over HELLO and challenge, as bytes
 *           ◀───────── WELCOME             with the server's proof over the same
 *     HELLO, HELLO… ─▶                     further channels, without proof
 *           ◀───────── WELCOME…
 */
export class Connection implements Carrier {
  readonly closed: Promise<void>
  readonly #socket: Duplex
  readonly #encoder = new FrameEncoder()
  readonly #decoder: FrameDecoder
  readonly #events: ConnectionEvents
  readonly #limits: DeviceLimits
  readonly #nowMs: () => number
  readonly #keys: (kdf: DeviceKeys['kdf']) => Promise<DeviceKeys>
  readonly #hello: Uint8Array
  /** By channel number: when its HELLO, or the proof that completes it, was written. */
  readonly #askedAtMs: number[] = []
  #phase: 'asked' | 'proving' | 'proved' | 'open' | 'ended' = 'asked'
  #expected: Uint8Array | undefined
  #corked = false
  #full = false
  readonly #sharers: Sharers | undefined

  constructor(options: CarrierOptions & { readonly socket: Duplex; readonly sharers?: Sharers }) {
    const { socket, hello, limits } = options
    this.#sharers = options.sharers
    this.#socket = socket
    this.#events = options.events
    this.#limits = limits
    this.#nowMs = options.nowMs
    this.#keys = options.keys
    this.#decoder = new FrameDecoder({
      frameMaxBytes: limits.handshakeFrameMaxBytes,
      bindingsMax: 0,
    })
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('data', (chunk: Uint8Array) => this.#read(chunk))
    socket.on('drain', () => this.#drained())
    socket.on('error', (error) => this.#lost(error.message))
    socket.on('end', () => this.#lost('the server ended the connection'))
    socket.on('close', () => this.#lost('the connection was closed'))
    // Written before the socket is connected: it waits there, and a turn is saved.
    this.#hello = this.#encoder.encode(hello)
    this.#put(this.#hello)
  }

  get usable(): boolean {
    return this.#phase === 'open' && !this.#socket.destroyed && this.#socket.writable
  }

  get full(): boolean {
    return this.#full
  }

  get busy(): boolean {
    return this.#full || this.#socket.writableNeedDrain
  }

  open(hello: HelloFrame): void {
    this.#askedAtMs[hello.channelNumber] = this.#nowMs()
    this.write(hello)
  }

  write(frame: Frame): void {
    if (this.#phase !== 'ended') this.#put(this.#encoder.encode(frame))
  }

  close(code: number, text: string): void {
    if (this.#phase === 'ended') return
    this.write({ type: 'close', channelNumber: undefined, code, retryAfterS: 0, text })
    this.#leave()
  }

  reset(): void {
    if (this.#phase === 'ended') return
    this.#end()
    const socket = this.#socket as Duplex & { connecting?: boolean; resetAndDestroy?(): void }
    const plain = socket.resetAndDestroy !== undefined && !('encrypted' in socket)
    // After our own FIN there is no reset, and Node would keep the handle for ever.
    const open = socket.connecting === false && !socket.writableEnded
    if (plain && open) socket.resetAndDestroy?.()
    else socket.destroy()
  }

  #put(bytes: Uint8Array): void {
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(uncork, this)
    }
    this.#socket.write(bytes)
    if (this.#socket.writableLength > this.#limits.linkMaxBytes) this.#full = true
  }

  /** For `process.nextTick`, without a closure a write. */
  static uncork(connection: Connection): void {
    connection.#corked = false
    connection.#socket.uncork()
  }

  #drained(): void {
    this.#full = false
    if (this.#phase !== 'open') return
    this.#events.drained()
    this.#sharers?.drained()
  }

  #read(chunk: Uint8Array): void {
    if (this.#phase === 'ended') return
    this.#events.heard()
    this.#sharers?.heard()
    const error = this.#decoder.push(chunk, this.#onFrame)
    if (error !== undefined && (this.#phase as string) !== 'ended')
      this.fail(closeCode[error.reason], error.text)
  }

  readonly #onFrame = (frame: Frame, raw: Uint8Array) => {
    if (this.#phase === 'ended') return
    if (this.#isTheirs(frame)) return
    if (frame.type === 'close') {
      const { channelNumber, code } = frame
      const moved = code === closeCode.independent || code === closeCode.shared
      // The others stay as they are. By any other code the whole connection ends.
      if (this.#phase === 'open' && channelNumber !== undefined && moved) {
        delete this.#askedAtMs[channelNumber]
        return this.#events.frame(frame)
      }
      return this.#closedBy(frame)
    }
    if (frame.type === 'unknown') {
      if (frame.critical) this.fail(closeCode.unsupported, `frame type ${frame.number}`)
      return
    }
    if (this.#phase === 'open') {
      if (frame.type !== 'welcome') return this.#events.frame(frame)
      const askedAtMs = this.#askedAtMs[frame.channelNumber]
      if (askedAtMs === undefined)
        return this.fail(closeCode['protocol-error'], 'an unasked WELCOME')
      delete this.#askedAtMs[frame.channelNumber]
      return this.#events.welcome(frame, askedAtMs)
    }
    if (this.#phase === 'asked' && frame.type === 'auth' && frame.method === 'challenge') {
      this.#phase = 'proving'
      void this.#prove(frame.kdf, Buffer.concat([this.#hello, raw]))
      return
    }
    if (this.#phase === 'proved' && frame.type === 'welcome') return this.#welcomed(frame)
    this.fail(closeCode['protocol-error'], `${frame.type} during the handshake`)
  }

  #isTheirs(frame: Frame): boolean {
    if (this.#sharers === undefined || this.#phase !== 'open') return false
    const number = frame.type === 'welcome' ? frame.channelNumber : undefined
    const askedAtMs = number === undefined ? undefined : this.#askedAtMs[number]
    const taken = this.#sharers.take(frame, askedAtMs)
    if (taken && number !== undefined) delete this.#askedAtMs[number]
    return taken
  }

  async #prove(kdf: DeviceKeys['kdf'], transcript: Uint8Array): Promise<void> {
    try {
      const keys = await this.#keys(kdf)
      if (this.#phase !== 'proving') return
      this.#phase = 'proved'
      this.#expected = serverProof(keys.serverKey, transcript)
      this.#askedAtMs[0] = this.#nowMs()
      const proof = makeProof(keys, transcript)
      this.write({ type: 'auth', channelNumber: 0, method: 'proof', proof })
    } catch (error) {
      this.fail(closeCode['protocol-error'], error instanceof Error ? error.message : String(error))
    }
  }

  /** Whoever cannot prove that it knows our keys must not open our doors. */
  #welcomed(frame: WelcomeFrame) {
    if (this.#expected === undefined || !sameBytes(frame.proof, this.#expected))
      return this.fail(closeCode['protocol-error'], 'the server could not prove itself')
    if (frame.channelNumber !== 0)
      return this.fail(closeCode['protocol-error'], 'an unasked WELCOME')
    this.#phase = 'open'
    this.#decoder.frameMaxBytes = this.#limits.frameMaxBytes
    if ((frame.capabilities & capability.bindings) !== 0) {
      this.#decoder.bindingsMax = this.#limits.bindingsMax
      this.#encoder.bindingsMax = Math.min(frame.bindingsMax, this.#limits.bindingsMax)
    }
    const askedAtMs = this.#askedAtMs[0]!
    delete this.#askedAtMs[0]
    this.#events.welcome(frame, askedAtMs)
    if ((this.#phase as string) === 'open') this.#sharers?.opened()
  }

  #closedBy(frame: Frame & { readonly type: 'close' }): void {
    this.#leave()
    const { code, retryAfterS, text } = frame
    this.#events.ended({ kind: 'closed', code, retryAfterMs: retryAfterS * 1000, text })
  }

  fail(code: number, text: string): void {
    if (this.#phase === 'ended') return
    this.close(code, text)
    this.#events.ended({ kind: 'local', text })
  }

  #lost(text: string): void {
    if (this.#phase === 'ended') return
    this.#end()
    this.#socket.destroy()
    this.#events.ended({ kind: 'local', text })
  }

  /** Politely: what was written arrives, what still comes is dropped, and it has an end. */
  #leave(): void {
    this.#end()
    const socket = this.#socket as Duplex & { setTimeout?(ms: number, run: () => void): void }
    socket.end()
    socket.resume()
    socket.setTimeout?.(this.#limits.goodbyeMs, () => socket.destroy())
  }

  #end(): void {
    this.#phase = 'ended'
    this.#decoder.stop()
    this.#sharers?.ended()
  }
}

const uncork = Connection.uncork
