import { closeCode, type Frame, type HelloFrame } from '../../adapters/pike/frames.ts'
import type { Cause } from '../lifecycle.ts'
import type { Carrier, CarrierOptions, ConnectionEvents } from './connection.ts'

/** The connection that branches share. */
export interface BranchHost {
  readonly usable: boolean
  readonly full: boolean
  readonly busy: boolean
  /** Another number on it, for that branch. undefined: all are taken. */
  number(branch: Branch): number | undefined
  open(hello: HelloFrame): void
  write(frame: Frame): void
  /** It has no channels there any more. */
  left(branch: Branch): void
}

const noNonce = new Uint8Array(0)

/**
 * The channels of one device that another speaks for, on that one's connection. To the session of
 * the device it looks like a connection of its own: only numbers differ, and nobody proves anything.
 *
 *     session of box-1   0, 1         session of box-2   0, 1
 *            branch      │  │                branch      │  │
 *     connection         63 62                           61 60       0, 1: its own channels
 */
export class Branch implements Carrier {
  readonly closed: Promise<void>
  readonly #host: BranchHost
  readonly #hello: HelloFrame
  readonly #events: ConnectionEvents
  /** By number in its session: the one on the connection, and whether it was welcomed. */
  readonly #channels: { readonly number: number; open: boolean }[] = []
  #phase: 'waiting' | 'asked' | 'open' | 'ended' = 'waiting'
  #settle: () => void = () => {}

  constructor(host: BranchHost, { hello, events }: CarrierOptions) {
    this.#host = host
    this.#hello = hello
    this.#events = events
    this.closed = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  get usable(): boolean {
    return this.#phase === 'open' && this.#host.usable
  }

  get full(): boolean {
    return this.#host.full
  }

  get busy(): boolean {
    return this.#host.busy
  }

  open(hello: HelloFrame): void {
    if (this.#phase === 'ended') return
    const number = this.#host.number(this)
    if (number === undefined) {
      const text = 'this connection has no room for another channel'
      this.#over({ kind: 'closed', code: closeCode.overloaded, retryAfterMs: 0, text })
      return
    }
    this.#channels[hello.channelNumber] = { number, open: false }
    this.#host.open({ ...hello, channelNumber: number, nonce: noNonce })
  }

  write(frame: Frame): void {
    if (this.#phase === 'ended') return
    if (!('channelNumber' in frame) || frame.channelNumber === undefined) {
      this.#host.write(frame)
      return
    }
    const channel = this.#channels[frame.channelNumber]
    if (channel !== undefined) this.#host.write({ ...frame, channelNumber: channel.number })
  }

  close(code: number, text: string): void {
    if (this.#phase === 'ended') return
    for (const channel of this.#channels)
      if (channel !== undefined)
        this.#host.write({
          ...{ type: 'close', code, retryAfterS: 0, text },
          channelNumber: channel.number,
        } as const)
    this.#end()
  }

  /** What others have on the connection goes on. */
  reset(): void {
    this.close(closeCode.normal, '')
  }

  fail(code: number, text: string): void {
    if (this.#phase === 'ended') return
    this.close(code, text)
    this.#events.ended({ kind: 'local', text })
  }

  // What the connection brings.

  /** It is open. */
  begin(): void {
    if (this.#phase !== 'waiting') return
    this.#phase = 'asked'
    this.open(this.#hello)
  }

  /** A frame of one of its channels. */
  take(frame: Frame & { readonly channelNumber: number }, askedAtMs: number | undefined): void {
    const channelNumber = this.#channels.findIndex((one) => one?.number === frame.channelNumber)
    const channel = this.#channels[channelNumber]
    if (channel === undefined) return
    if (frame.type === 'close') {
      const { code, retryAfterS, text } = frame
      delete this.#channels[channelNumber]
      this.close(closeCode.normal, '')
      this.#events.ended({ kind: 'closed', code, retryAfterMs: retryAfterS * 1000, text })
    } else if (frame.type === 'welcome') {
      if (askedAtMs === undefined) {
        this.fail(closeCode['protocol-error'], 'an unasked WELCOME')
        return
      }
      channel.open = true
      this.#phase = 'open'
      this.#events.welcome({ ...frame, channelNumber }, askedAtMs)
    } else if (channel.open) this.#events.frame({ ...frame, channelNumber } as Frame)
  }

  /** A frame of the whole connection. */
  hear(frame: Frame): void {
    if (this.#phase === 'open') this.#events.frame(frame)
  }

  heard(): void {
    if (this.#phase === 'open') this.#events.heard()
  }

  drained(): void {
    if (this.#phase === 'open') this.#events.drained()
  }

  /** The connection is gone. */
  cut(): void {
    this.#over({ kind: 'local', text: 'the connection it goes by is gone' })
  }

  #over(cause: Cause): void {
    if (this.#phase === 'ended') return
    this.#end()
    this.#events.ended(cause)
  }

  #end(): void {
    this.#phase = 'ended'
    this.#channels.length = 0
    this.#host.left(this)
    this.#settle()
  }
}
