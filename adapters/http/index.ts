import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Adapter, Core, Listener } from '../../src/contract/index.ts'
import { Addresses } from '../../src/listen/addresses.ts'
import { Capacity } from '../../src/listen/capacity.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import { secureOptions, tlsHandshakeTimeoutMs } from '../../src/listen/tls.ts'
import { Turns } from '../../src/listen/turns.ts'
import { Doorman } from './auth.ts'
import { httpBounds } from './bounds.ts'
import { badField } from './problems.ts'
import { Reception } from './receive.ts'
import { addRoutes } from './routes.ts'
import { createServer } from './server.ts'
import { Visitors } from './visitors.ts'

export interface HttpOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number | 'off'
  /** PEM texts. Without it there is no HTTPS listener. */
  readonly tls?: {
    readonly port: number | 'off'
    readonly cert: string | Buffer
    readonly key: string | Buffer
  }
  /** Our own mistakes. */
  readonly log?: (error: Error) => void
  /** Shared with others; left out: `connectionsMax` for this one alone. */
  readonly capacity?: Capacity
}

/** After a goodbye: a thousand a second come back elsewhere, not all at once. */
const spreadMinMs = 1_000

/** HTTP for devices. Its calls are in `docs/http.md`. */
export const httpAdapter = (options: HttpOptions): Adapter => new HttpAdapter(options)

interface House {
  readonly core: Core
  readonly doorman: Doorman
  readonly visitors: Visitors
  readonly addresses: Addresses
  readonly turns: Turns
  readonly reception: Reception
  readonly pauses: Sweep<() => void>
  readonly servers: FastifyInstance[]
}

class HttpAdapter implements Adapter {
  readonly name = 'http'
  readonly #options: HttpOptions
  #house: House | undefined
  #closing = false
  #requestsTotal = 0
  /** Requests for devices that whoever asked may not speak for. */
  #ungrantedTotal = 0

  constructor(options: HttpOptions) {
    this.#options = options
  }

  async start(core: Core): Promise<readonly Listener[]> {
    const { host, port, tls, capacity } = this.#options
    const { connectionsMax, connectionsPerAddress, refusalDelayMs } = core.limits
    const doorman = new Doorman(core)
    const visitors = new Visitors(core, doorman)
    const pauses = new Sweep<() => void>(core.clock, refusalDelayMs, 'http-refusals', (tell) =>
      tell(),
    )
    const reception = new Reception(core, visitors)
    const addresses = new Addresses(connectionsPerAddress, capacity ?? new Capacity(connectionsMax))
    const turns = new Turns(httpBounds)
    const house: House = {
      ...{ core, doorman, visitors, addresses, turns },
      ...{ reception, pauses, servers: [] },
    }
    this.#house = house
    this.#closing = false
    const listeners: Listener[] = []
    try {
      if (port !== 'off') listeners.push(await this.#listen(house, 'http', host, port))
      if (tls !== undefined && tls.port !== 'off') {
        const secured = { ...secureOptions(tls), handshakeTimeout: tlsHandshakeTimeoutMs }
        listeners.push(await this.#listen(house, 'https', host, tls.port, secured))
      }
    } catch (error) {
      await this.stop(0)
      throw error
    }
    return listeners
  }

  sendAway(max: number, spreadMs: number): number {
    let told = 0
    for (const link of this.#house?.visitors.links() ?? []) {
      if (told >= max) break
      link.finish('going-away', Math.round(Math.random() * spreadMs))
      told++
    }
    return told
  }

  async stop(graceMs: number): Promise<void> {
    const house = this.#house
    if (house === undefined) return
    this.#house = undefined
    this.#closing = true
    const { core, visitors, reception, pauses, servers } = house
    const links = [...visitors.links()]
    const spreadMs = Math.max(spreadMinMs, links.length)
    for (const link of links) {
      link.finish('going-away', Math.round(Math.random() * spreadMs))
    }
    const cut = (): void => {
      for (const { server } of servers) server.closeAllConnections()
    }
    const grace =
      graceMs > 0 ? core.clock.at(core.clock.nowMs() + graceMs, 'http-stop', cut) : undefined
    const closed = servers.map((server) => server.close())
    if (graceMs <= 0) cut()
    await Promise.all(closed)
    grace?.cancel()
    reception.stop()
    visitors.stop()
    pauses.stop()
  }

  figures(): Readonly<Record<string, number>> {
    const house = this.#house
    if (house === undefined) return {}
    const { doorman, visitors, reception, addresses, turns } = house
    let links = 0
    for (const _ of visitors.links()) links++
    return {
      connections: addresses.connections,
      devices_known: visitors.size,
      channels: links,
      polls_waiting: reception.polls,
      streams: reception.streams,
      secrets_remembered: doorman.remembered,
      polls_total: reception.pollsTotal,
      requests_total: this.#requestsTotal,
      ungranted_total: this.#ungrantedTotal,
      connections_refused_total: addresses.refusedTotal,
      requests_in_pipeline: turns.waiting,
      pipelines_cut_total: turns.cutTotal,
    }
  }

  async #listen(
    house: House,
    name: string,
    host: string,
    port: number,
    tls?: Parameters<typeof createServer>[1],
  ): Promise<Listener> {
    const { core, doorman, visitors, addresses, turns, reception, pauses } = house
    const app = createServer(
      {
        core,
        doorman,
        visitors,
        addresses,
        turns,
        pause: () => new Promise((resolve) => pauses.add(resolve)),
        isClosing: () => this.#closing,
        ungranted: () => {
          this.#ungrantedTotal++
          return badField('path', 'device', 'is none that this device may speak for')
        },
        failed: (error) => this.#options.log?.(error),
      },
      tls,
    )
    app.server.on('request', () => this.#requestsTotal++)
    addRoutes(app, reception, core.limits)
    house.servers.push(app)
    await app.listen({ host, port, backlog: core.limits.listenBacklog })
    const address = app.server.address() as AddressInfo
    return { name, host: address.address, port: address.port }
  }
}
