import type http from 'node:http'
import type { Duplex } from 'node:stream'

/** Idle connections to receivers, of all webhooks together: at the bound the oldest is closed. */
export class Idle {
  readonly #max: number
  /** The oldest first. */
  readonly #sockets = new Set<Duplex>()
  readonly #watched = new WeakSet<Duplex>()

  constructor(max: number) {
    this.#max = max
  }

  /** What this agent keeps open is counted from now on. */
  watch<A extends http.Agent>(agent: A): A {
    const { keepSocketAlive, reuseSocket } = agent
    agent.keepSocketAlive = (socket) => {
      // False: it is closed instead. Node's types leave this answer out.
      const kept: unknown = keepSocketAlive.call(agent, socket)
      if (kept === true) this.#add(socket)
      return kept as undefined
    }
    agent.reuseSocket = (socket, request) => {
      this.#sockets.delete(socket)
      reuseSocket.call(agent, socket, request)
    }
    return agent
  }

  #add(socket: Duplex): void {
    if (!this.#watched.has(socket)) {
      this.#watched.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    }
    this.#sockets.add(socket)
    if (this.#sockets.size <= this.#max) return
    const [oldest] = this.#sockets
    this.#sockets.delete(oldest!)
    oldest!.destroy()
  }
}
