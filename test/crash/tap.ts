import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Random } from '../support/random.ts'
import type { Ear } from './ear.ts'

export interface TapOptions {
  readonly makeEar: () => Ear
  readonly random: Random
  /** Connections live this long, evenly spread; undefined: until somebody ends them. */
  lifeMs: readonly [min: number, max: number] | undefined
}

/**
 * The bad network between devices and one listener of the gateway, and the ear on it. One address for
 * the devices whatever port the gateway has after a restart; every message is read on its way and
 * written down with the session it belongs to; connections are torn, reset or left half-open at
 * random moments.
 *
 *     device ──▶ tap ──▶ gateway
 *                 └ an ear for both directions
 */
export class Tap {
  readonly #options: TapOptions
  readonly #server: Server
  readonly #wires = new Set<Conduit>()
  #target: { readonly host: string; readonly port: number } | undefined
  #deaf = false
  readonly #halfOpenAtMs = new Map<string, number>()
  /** Streams the decoder gave up on; 0 unless gateway, client and codec disagree. */
  undecodable = 0
  cuts = 0

  constructor(options: TapOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => {
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  /** Where the gateway listens now; undefined while it does not. */
  target(at: { readonly host: string; readonly port: number } | undefined): void {
    this.#target = at
  }

  /** From here on nothing passes, in either direction, and nothing is written down. */
  gag(on: boolean): void {
    this.#deaf = on
    if (!on) for (const wire of this.#wires) wire.cut()
  }

  lifeMs(life: TapOptions['lifeMs']): void {
    this.#options.lifeMs = life
    if (life === undefined) for (const wire of this.#wires) wire.live()
  }

  async close(): Promise<void> {
    for (const wire of this.#wires) wire.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(device: Socket): void {
    const target = this.#target
    if (target === undefined) {
      device.on('error', () => {})
      cut(device)
      return
    }
    const wire = new Conduit(device, connect({ ...target, noDelay: true }), {
      deaf: () => this.#deaf,
      ear: this.#options.makeEar(),
      undecodable: () => {
        this.undecodable++
      },
      gone: () => this.#wires.delete(wire),
    })
    this.#wires.add(wire)
    const { lifeMs, random } = this.#options
    if (lifeMs !== undefined) {
      wire.dieAfter(random.int(lifeMs[0], lifeMs[1]), () => {
        this.cuts++
        return this.#manner(wire.device)
      })
    }
  }

  /** Half-open seldom: a gateway that sees three take-overs a minute holds the channel for one. */
  #manner(device: string): Manner {
    const draw = this.#options.random.next()
    if (draw < 0.45) return 'reset'
    const before = this.#halfOpenAtMs.get(device) ?? 0
    if (draw < 0.55 && Date.now() - before > 45_000) {
      this.#halfOpenAtMs.set(device, Date.now())
      return 'half-open'
    }
    return draw < 0.8 ? 'torn-down' : 'torn-up'
  }
}

/**
 * How a connection dies. Torn down: the gateway's next bytes arrive by half, so what it has just
 * acknowledged was kept and nobody heard of it; torn up: the device's next bytes do.
 */
type Manner = 'reset' | 'torn-up' | 'torn-down' | 'half-open'

interface ConduitOptions {
  readonly deaf: () => boolean
  readonly ear: Ear
  readonly undecodable: () => void
  readonly gone: () => void
}

/** One device's connection through the tap. */
class Conduit {
  readonly #device: Socket
  readonly #gateway: Socket
  readonly #options: ConduitOptions
  #death: NodeJS.Timeout | undefined
  /** The direction whose next bytes are torn. */
  #tearing: 'up' | 'down' | undefined
  #gone = false
  #heardAtMs = Date.now()

  constructor(device: Socket, gateway: Socket, options: ConduitOptions) {
    this.#device = device
    this.#gateway = gateway
    this.#options = options
    this.#carry(device, gateway, true)
    this.#carry(gateway, device, false)
  }

  get device(): string {
    return this.#options.ear.device
  }

  dieAfter(ms: number, how: () => Manner): void {
    this.#death = setTimeout(() => {
      const manner = how()
      switch (manner) {
        case 'reset':
          return this.cut()
        case 'torn-up':
        case 'torn-down':
          this.#tearing = manner === 'torn-up' ? 'up' : 'down'
          // Should nothing be sent, there is nothing to tear.
          this.#death = setTimeout(() => this.cut(), 300)
          return
        case 'half-open':
          cut(this.#device)
          this.#gateway.removeAllListeners('data')
          this.#gateway.resume()
          this.#death = setTimeout(() => this.cut(), 8_000)
      }
    }, ms)
  }

  /** It may stay. */
  live(): void {
    if (this.#tearing === undefined) clearTimeout(this.#death)
  }

  cut(): void {
    if (this.#gone) return
    this.#gone = true
    clearTimeout(this.#death)
    cut(this.#device)
    cut(this.#gateway)
    this.#options.ear.gone(this.#heardAtMs)
    this.#options.gone()
  }

  #carry(from: Socket, to: Socket, up: boolean): void {
    let readable = true
    from.on('data', (chunk: Buffer) => {
      if (this.#options.deaf()) return
      if (up) this.#heardAtMs = Date.now()
      if (readable && !this.#options.ear.hear(chunk, up)) {
        readable = false
        this.#options.undecodable()
      }
      if (this.#tearing === (up ? 'up' : 'down')) {
        this.#tearing = undefined
        to.write(chunk.subarray(0, chunk.length >> 1), () => this.cut())
        return
      }
      if (!to.destroyed) to.write(chunk)
    })
    from.on('end', () => {
      if (!this.#options.deaf() && !to.destroyed) to.end()
    })
    from.on('error', () => this.cut())
    from.on('close', () => {
      // A polite end leaves time for what is on its way in the other direction.
      if (from === this.#gateway) setTimeout(() => this.cut(), 200)
      else if (to.destroyed) this.cut()
      else if (from.errored !== null) this.cut()
    })
  }
}

/** RST. After our own FIN there is none, and Node would keep the handle for ever, past its exit too. */
function cut(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
