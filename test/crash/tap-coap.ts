import { createSocket, type Socket } from 'node:dgram'
import type { Random } from '../support/random.ts'
import type { Paper } from './ear.ts'
import { CoapEar, SeenMessages } from './ear-coap.ts'

export interface CoapTapOptions {
  readonly paper: Paper
  readonly random: Random
  /** A device keeps its address so long; undefined: as long as it likes, and nothing is lost. */
  lifeMs: readonly [min: number, max: number] | undefined
}

/** What may become of a datagram. */
const lost = 0.04
const twice = 0.02
const late = 0.03
const lateMs = [20, 400] as const
const idleMs = 60_000

interface Leg {
  socket: Socket
  /** Grows with each address it gets. */
  address: number
  readonly port: number
  readonly ear: CoapEar
  usedAtMs: number
  moving: NodeJS.Timeout | undefined
}

/**
 * The bad network of CoAP: datagrams are lost, doubled, late; and behind it, as behind a NAT that
 * forgets, a device has another address every few seconds.
 *
 *     device ──▶ one port ──▶ a socket of its own ──▶ gateway
 */
export class CoapTap {
  readonly #options: CoapTapOptions
  readonly #socket = createSocket('udp4')
  readonly #legs = new Map<number, Leg>()
  readonly #seen = new SeenMessages()
  readonly #timers = new Set<NodeJS.Timeout>()
  #target: { readonly host: string; readonly port: number } | undefined
  /** Counts lives of the gateway: what it knew of messages ended with each. */
  #era = 0
  #deaf = false
  #addresses = 0
  #closed = false
  undecodable = 0
  cuts = 0

  constructor(options: CoapTapOptions) {
    this.#options = options
    this.#socket.on('message', (bytes, { port }) => this.#fromDevice(bytes, port))
    this.#socket.on('error', () => {})
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#socket.bind(0, '127.0.0.1', () => resolve(this.#socket.address().port))
    })
  }

  target(at: { readonly host: string; readonly port: number } | undefined): void {
    this.#target = at
    if (at !== undefined) this.#era++
  }

  gag(on: boolean): void {
    this.#deaf = on
  }

  lifeMs(life: CoapTapOptions['lifeMs']): void {
    this.#options.lifeMs = life
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    for (const leg of this.#legs.values()) this.#end(leg)
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()))
  }

  #fromDevice(bytes: Buffer, port: number): void {
    if (this.#deaf || this.#closed) return
    const leg = this.#legs.get(port) ?? this.#open(port)
    leg.usedAtMs = Date.now()
    this.#carry(() => {
      const target = this.#target
      if (target === undefined) return
      if (!leg.ear.up(bytes, `${this.#era} ${leg.address}`)) this.undecodable++
      leg.socket.send(bytes, target.port, target.host, () => {})
    })
  }

  #open(port: number): Leg {
    this.#forgetIdle()
    const address = ++this.#addresses
    const ear = new CoapEar(this.#options.paper, this.#seen)
    const leg: Leg = {
      port,
      ear,
      address,
      usedAtMs: Date.now(),
      moving: undefined,
      socket: this.#socketOf(port),
    }
    this.#legs.set(port, leg)
    this.#moveLater(leg)
    return leg
  }

  #socketOf(port: number): Socket {
    const socket = createSocket('udp4')
    socket.on('error', () => {})
    socket.on('message', (bytes) => {
      const leg = this.#legs.get(port)
      // To an address that is no longer its own nothing comes.
      if (this.#deaf || this.#closed || leg?.socket !== socket) return
      this.#carry(() => {
        if (!leg.ear.down(bytes, `${this.#era} ${leg.address}`)) this.undecodable++
        this.#socket.send(bytes, port, '127.0.0.1', () => {})
      })
    })
    return socket
  }

  #carry(send: () => void): void {
    const { random, lifeMs } = this.#options
    if (lifeMs === undefined) {
      send()
      return
    }
    if (random.chance(lost)) return
    if (random.chance(late)) this.#later(random.int(lateMs[0], lateMs[1]), send)
    else send()
    if (random.chance(twice)) this.#later(random.int(1, lateMs[1]), send)
  }

  #later(ms: number, send: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      if (!this.#closed && !this.#deaf) send()
    }, ms)
    this.#timers.add(timer)
  }

  #moveLater(leg: Leg): void {
    const { lifeMs, random } = this.#options
    if (lifeMs === undefined) return
    leg.moving = setTimeout(
      () => {
        // Longer than the connections of the others live: a device that moves tells it by its next message only.
        if (this.#options.lifeMs !== undefined) {
          this.cuts++
          leg.socket.close()
          leg.socket = this.#socketOf(leg.port)
          leg.address = ++this.#addresses
        }
        this.#moveLater(leg)
      },
      random.int(lifeMs[0] * 3, lifeMs[1] * 3),
    )
  }

  #end(leg: Leg): void {
    clearTimeout(leg.moving)
    leg.socket.close()
    leg.ear.gone()
    this.#legs.delete(leg.port)
  }

  #forgetIdle(): void {
    const beforeMs = Date.now() - idleMs
    for (const leg of this.#legs.values()) if (leg.usedAtMs < beforeMs) this.#end(leg)
  }
}
