import { createServer, type Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import type { Adapter, Core, Listener } from '../../src/contract/index.ts'
import { Addresses } from '../../src/listen/addresses.ts'
import { Capacity } from '../../src/listen/capacity.ts'
import { Servers } from '../../src/listen/servers.ts'
import { hangUp } from '../../src/listen/sockets.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import { secureOptions, tlsHandshakeTimeoutMs } from '../../src/listen/tls.ts'
import { FrameEncoder } from './codec.ts'
import { Connection, Flusher, type House } from './connection.ts'
import { Gate } from './gate.ts'
import { codeOf } from './reasons.ts'

export interface PikeOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number | 'off'
  /** PEM texts. Without it there is no TLS listener. */
  readonly tls?: {
    readonly port: number | 'off'
    readonly cert: string | Buffer
    readonly key: string | Buffer
  }
  /** Shared with others; left out: `connectionsMax` for this one alone. */
  readonly capacity?: Capacity
}

/** What is written leaves at once: it was gathered before. */
const calm = { noDelay: true }

/** After our goodbye, for theirs. */
const lingerMs = 5_000
const overloadedRetryMs = 5_000
const spreadMinMs = 1_000

/** Pike over TCP and TLS. The protocol is in `docs/pike-protocol.md`. */
export const pikeAdapter = (options: PikeOptions): Adapter => new PikeAdapter(options)

interface Kept {
  readonly addresses: Addresses
  readonly sweeps: readonly Sweep<Connection>[]
}

class PikeAdapter implements Adapter {
  readonly name = 'pike'
  readonly #options: PikeOptions
  #house: (House & Kept) | undefined
  readonly #servers: Servers
  #refusedTotal = 0

  constructor(options: PikeOptions) {
    this.#options = options
    this.#servers = new Servers(options.host)
  }

  async start(core: Core): Promise<readonly Listener[]> {
    const { clock, limits } = core
    const { port, tls, capacity = new Capacity(limits.connectionsMax) } = this.#options
    const reset = (connection: Connection): void => connection.reset()
    const greeting = new Sweep(clock, tlsHandshakeTimeoutMs, 'pike-tls-handshakes', reset, 'fair')
    const lingering = new Sweep(clock, lingerMs, 'pike-lingering', reset)
    this.#house = {
      gate: new Gate(core),
      addresses: new Addresses(limits.connectionsPerAddress, capacity),
      flusher: new Flusher(),
      connections: new Set(),
      greeting,
      lingering,
      sweeps: [greeting, lingering],
    }
    const listeners: Listener[] = []
    const { listenBacklog: backlog } = limits
    try {
      if (port !== 'off') {
        const accept = (socket: Socket): void => this.#accept(socket)
        const server = createServer(calm, accept)
        listeners.push(await this.#servers.listen('pike', port, server, backlog))
      }
      if (tls !== undefined && tls.port !== 'off') {
        const context = createSecureContext(secureOptions(tls))
        const accept = (socket: Socket): void => this.#accept(socket, context)
        const server = createServer(calm, accept)
        listeners.push(await this.#servers.listen('pike-tls', tls.port, server, backlog))
      }
    } catch (error) {
      await this.stop(0)
      throw error
    }
    return listeners
  }

  sendAway(max: number, spreadMs: number): number {
    let told = 0
    for (const connection of this.#house?.connections ?? []) {
      if (told >= max) break
      if (connection.sendAway(spreadMs)) told++
    }
    return told
  }

  async stop(graceMs: number): Promise<void> {
    const house = this.#house
    if (house === undefined) return
    this.#house = undefined
    const closed = this.#servers.close()
    // A thousand a second come back elsewhere, not all at once.
    const spreadMs = Math.max(spreadMinMs, house.connections.size)
    for (const connection of [...house.connections]) connection.goAway(spreadMs)
    const { clock } = house.gate.core
    const grace = clock.at(clock.nowMs() + graceMs, 'pike-stop', () => {
      for (const connection of [...house.connections]) connection.reset()
    })
    // A server closes when its last connection has.
    await closed
    grace.cancel()
    house.gate.stop()
    for (const sweep of house.sweeps) sweep.stop()
  }

  figures(): Readonly<Record<string, number>> {
    const house = this.#house
    if (house === undefined) return {}
    const { counts, handshakes } = house.gate
    return {
      connections: house.connections.size,
      channels: counts.channels,
      handshakes_under_way: handshakes.size,
      connections_total: counts.connectionsTotal,
      connections_refused_total: this.#refusedTotal,
      handshakes_total: counts.handshakesTotal,
      handshakes_failed_total: counts.handshakesFailedTotal,
      frames_in_total: counts.framesInTotal,
      frames_out_total: counts.framesOutTotal,
      bytes_in_total: counts.bytesInTotal,
      bytes_out_total: counts.bytesOutTotal,
      malformed_total: counts.malformedTotal,
      resets_total: counts.resetsTotal,
    }
  }

  #accept(socket: Socket, context?: SecureContext): void {
    const house = this.#house
    if (house === undefined || !house.addresses.admits(socket)) {
      this.#turnAway(socket, context === undefined, overloadedRetryMs, 'too many connections')
      return
    }
    const { door, handshakes } = house.gate
    if (!door.admits(handshakes.size)) {
      this.#turnAway(socket, context === undefined, door.comeBackMs(), 'too many at once')
      return
    }
    if (context === undefined) {
      new Connection(house, socket)
      return
    }
    socket.on('error', () => {})
    const secured = new TLSSocket(socket, { isServer: true, secureContext: context })
    new Connection(house, secured, socket)
  }

  /** Says why where that costs nothing, and waits for nobody. */
  #turnAway(socket: Socket, plain: boolean, retryAfterMs: number, text: string): void {
    this.#refusedTotal++
    socket.on('error', () => {})
    if (!plain) {
      hangUp(socket)
      return
    }
    const bytes = new FrameEncoder().encode({
      type: 'close',
      channelNumber: undefined,
      code: codeOf('overloaded'),
      retryAfterS: Math.ceil(retryAfterMs / 1000),
      text,
    })
    socket.end(bytes, () => socket.destroy())
  }
}
