import { capability } from '../../adapters/pike/frames.ts'
import { PikeClient } from '../client.ts'
import type { PikeClientOptions } from '../options.ts'
import type { CarrierOptions } from './connection.ts'
import { Session } from './session.ts'
import { Trunk } from './trunk.ts'

/** Of a device that another speaks for: it has no secret there, and no connection. */
export type BehindOptions = Omit<
  PikeClientOptions,
  'host' | 'port' | 'tls' | 'app' | 'secret' | 'connect' | 'session' | 'keepalive'
>

/**
 * A controller and the devices behind it, over one Pike connection: it proves itself, and speaks for
 * those whose records name it among their `gateways`.
 *
 *     const cabinet = new PikeGateway({ host, port, device: 'CAB-1', secret })
 *     const box = cabinet.client({ device: 'box-1', storage })
 *     box.on('receive', …)
 *     cabinet.start()
 *     box.start()
 *
 * Each client is a {@link PikeClient} like any other, with its own storage, order and window. What
 * ends one leaves the others; when the connection is lost, all come back with the next.
 */
export class PikeGateway {
  /** The controller itself, with commands and events of its own. */
  readonly self: PikeClient
  readonly #options: PikeClientOptions
  readonly #trunk: Trunk
  readonly #clients = new Set<PikeClient>()
  /** They wait for the connection, and for nothing else. */
  readonly #waiting = new Set<PikeClient>()

  /** @param options of the controller; without `session`: it speaks Pike. */
  constructor(options: Omit<PikeClientOptions, 'session'>) {
    this.#options = options
    this.#trunk = new Trunk(options.channels?.length ?? 2, () => this.#opened())
    this.self = new PikeClient({
      ...options,
      session: (parts, events) =>
        new Session(parts, events, (how) => this.#trunk.connect(staying(how), options)),
    })
  }

  /** Connect, and stay connected until `stop`. */
  start(): void {
    this.self.start()
  }

  /** Say goodbye for all. */
  async stop(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.stop()))
    await this.self.stop()
  }

  /** A device behind it; to be started like any other client. */
  client(options: BehindOptions): PikeClient {
    const { host, port, app, keepalive, clock, random } = this.#options
    const trunk = this.#trunk
    const client: PikeClient = new PikeClient({
      ...{ host, port, secret: '' },
      ...(app !== undefined && { app }),
      ...(keepalive !== undefined && { keepalive }),
      ...(clock !== undefined && { clock }),
      ...(random !== undefined && { random }),
      ...options,
      session: (parts, events) => {
        this.#waiting.add(client)
        const lost: typeof events.lost = (cause) => {
          // It was told to: what becomes of the connection is nothing to it.
          if (cause.kind === 'closed') this.#waiting.delete(client)
          events.lost(cause)
        }
        return new Session(parts, { ...events, lost }, (how) => trunk.branch(how))
      },
    })
    this.#clients.add(client)
    return client
  }

  /** Who waits for it only need not wait for its turn. */
  #opened(): void {
    for (const client of this.#waiting) if (client.state.kind === 'waiting') client.restart()
  }
}

/** No channel moves to another connection: whoever shares this one has no other. */
const staying = (how: CarrierOptions): CarrierOptions => ({
  ...how,
  hello: { ...how.hello, capabilities: how.hello.capabilities & ~capability.independent },
})
