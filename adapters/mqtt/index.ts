import { createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import type { Adapter, Core, Listener } from '../../src/contract/index.ts'
import { Addresses } from '../../src/listen/addresses.ts'
import { Capacity } from '../../src/listen/capacity.ts'
import { Servers } from '../../src/listen/servers.ts'
import { hangUp } from '../../src/listen/sockets.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import { secureOptions, tlsHandshakeTimeoutMs } from '../../src/listen/tls.ts'
import { Broker } from './aedes/broker.ts'
import { Connection, type Listening } from './connection.ts'
import { House } from './house.ts'
import { defaultTopics, Topics, type TopicTemplates } from './topics.ts'
import { dialect5 } from './v5/dialect.ts'
import { Sessions } from './v5/sessions.ts'
import { webSocketDoor } from './websocket.ts'

export { defaultTopics, type TopicTemplates, topicsProblem } from './topics.ts'

export interface MqttOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number | 'off'
  /** Plain; TLS in front of it is for a proxy. */
  readonly webSocketPort?: number | 'off'
  /** PEM texts. Without it there is no TLS listener. */
  readonly tls?: {
    readonly port: number | 'off'
    readonly cert: string | Buffer
    readonly key: string | Buffer
  }
  readonly topics?: TopicTemplates
  /** Shared with others; left out: `connectionsMax` for this one alone. */
  readonly capacity?: Capacity
}

/** `close` follows, and says all there is to say. */
const ignored = (): void => {}

/** After our goodbye, for theirs. */
const lingerMs = 5_000
/** Over at least this are those sent away told to come back. */
const spreadMinMs = 1_000

/** MQTT over TCP, TLS and WebSocket. For firmware: `docs/mqtt.md`. */
export const mqttAdapter = (options: MqttOptions): Adapter => new MqttAdapter(options)

interface Started extends Listening {
  readonly addresses: Addresses
  readonly broker: Broker
  readonly sessions: Sessions
}

class MqttAdapter implements Adapter {
  readonly name = 'mqtt'
  readonly #options: MqttOptions
  #started: Started | undefined
  readonly #servers: Servers
  /** Of the WebSocket listener, before they have become one. */
  #waiting: ReadonlySet<Socket> | undefined

  constructor(options: MqttOptions) {
    this.#options = options
    this.#servers = new Servers(options.host)
  }

  async start(core: Core): Promise<readonly Listener[]> {
    const { port, webSocketPort = 'off', tls, topics = defaultTopics } = this.#options
    const { clock, limits } = core
    const capacity = this.#options.capacity ?? new Capacity(limits.connectionsMax)
    const broker = await Broker.start(limits.onceMaxPending)
    const house = new House(core, new Topics(topics))
    const sessions = new Sessions(house)
    const reset = (connection: Connection): void => connection.reset()
    const overdue = (connection: Connection): void => connection.overdue()
    this.#started = {
      addresses: new Addresses(limits.connectionsPerAddress, capacity),
      broker,
      house,
      sessions,
      connections: new Set(),
      dialectOf: (connection, level) =>
        level === 5 ? dialect5(connection, sessions) : broker.dialect(connection, level, sessions),
      greeting: new Sweep(clock, tlsHandshakeTimeoutMs, 'mqtt-tls-handshakes', reset, 'fair'),
      connecting: new Sweep(clock, limits.mqttConnectTimeoutMs, 'mqtt-connects', overdue, 'fair'),
      lingering: new Sweep(clock, lingerMs, 'mqtt-lingering', reset),
    }
    const listeners: Listener[] = []
    const { listenBacklog: backlog } = limits
    try {
      if (port !== 'off') {
        const accept = (socket: Socket): void => this.#accept(socket)
        listeners.push(
          await this.#servers.listen(
            'mqtt',
            port,
            createServer({ noDelay: true }, accept),
            backlog,
          ),
        )
      }
      if (tls !== undefined && tls.port !== 'off') {
        const context = createSecureContext(secureOptions(tls))
        const accept = (socket: Socket): void => this.#accept(socket, context)
        const server = createServer({ noDelay: true }, accept)
        listeners.push(await this.#servers.listen('mqtts', tls.port, server, backlog))
      }
      if (webSocketPort !== 'off') {
        const server = this.#webSocketServer(limits.mqttPacketMaxBytes)
        listeners.push(await this.#servers.listen('mqtt-ws', webSocketPort, server, backlog))
      }
    } catch (error) {
      await this.stop(0)
      throw error
    }
    return listeners
  }

  sendAway(max: number, spreadMs: number): number {
    let told = 0
    for (const connection of this.#started?.connections ?? []) {
      if (told >= max) break
      if (connection.sendAway(Math.round(Math.random() * spreadMs))) told++
    }
    return told
  }

  async stop(graceMs: number): Promise<void> {
    const started = this.#started
    if (started === undefined) return
    this.#started = undefined
    const { house, connections, broker, sessions } = started
    const closed = this.#servers.close()
    // A thousand a second come back elsewhere, not all at once.
    const spreadMs = Math.max(spreadMinMs, connections.size)
    for (const connection of [...connections]) {
      connection.goAway(Math.round(Math.random() * spreadMs))
    }
    for (const socket of this.#waiting ?? []) socket.destroy()
    const { clock } = house.core
    const grace = clock.at(clock.nowMs() + graceMs, 'mqtt-stop', () => {
      for (const connection of [...connections]) connection.reset()
    })
    // A server closes when its last connection has.
    await closed
    grace.cancel()
    sessions.stop()
    house.stop()
    for (const sweep of [started.greeting, started.connecting, started.lingering]) sweep.stop()
    await broker.stop()
  }

  figures(): Readonly<Record<string, number>> {
    const started = this.#started
    if (started === undefined) return {}
    const { counts, clients } = started.house
    return {
      connections: started.connections.size,
      clients: clients.size,
      sessions_waiting: started.sessions.count,
      connections_total: counts.connectionsTotal,
      connections_refused_total: counts.connectionsRefusedTotal,
      logins_total: counts.loginsTotal,
      logins_failed_total: counts.loginsFailedTotal,
      takeovers_total: counts.takeoversTotal,
      foreign_topics_total: counts.foreignTotal,
      packets_in_total: counts.packetsInTotal,
      bytes_in_total: counts.bytesInTotal,
      bytes_out_total: counts.bytesOutTotal,
      malformed_total: counts.malformedTotal,
      resets_total: counts.resetsTotal,
    }
  }

  #accept(socket: Socket, context?: SecureContext): void {
    const started = this.#started
    if (started === undefined || !this.#admits(started, socket)) {
      socket.on('error', ignored)
      hangUp(socket)
      return
    }
    if (context === undefined) {
      new Connection(started, socket, socket, false)
      return
    }
    socket.on('error', ignored)
    const secured = new TLSSocket(socket, { isServer: true, secureContext: context })
    new Connection(started, secured, socket, true)
  }

  #webSocketServer(frameMaxBytes: number): Server {
    const door = webSocketDoor(
      frameMaxBytes,
      (socket) => this.#started !== undefined && this.#admits(this.#started, socket),
      (stream, socket) => {
        if (this.#started === undefined) socket.destroy()
        else new Connection(this.#started, stream, socket, false)
      },
    )
    this.#waiting = door.waiting
    return door.server
  }

  #admits({ addresses, house }: Started, socket: Socket): boolean {
    const admitted = addresses.admits(socket)
    if (!admitted) house.counts.connectionsRefusedTotal++
    return admitted
  }
}
