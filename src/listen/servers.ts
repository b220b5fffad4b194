import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import type { Listener } from '../contract/index.ts'

/** The listening sockets of one adapter. */
export class Servers {
  readonly #host: string
  #all: Server[] = []

  constructor(host: string) {
    this.#host = host
  }

  /**
   * @param port 0: any free one. Rejects when it cannot be bound.
   * @param backlog for so many that are not accepted yet; the kernel's `net.core.somaxconn` bounds it.
   */
  async listen(name: string, port: number, server: Server, backlog: number): Promise<Listener> {
    this.#all.push(server)
    server.listen({ port, host: this.#host, backlog })
    try {
      await once(server, 'listening')
    } catch (error) {
      this.#all.pop()
      throw error
    }
    // E.g. out of descriptors while accepting: others are served on.
    server.on('error', () => {})
    const address = server.address() as AddressInfo
    return { name, host: address.address, port: address.port }
  }

  /** Nobody new comes in. Resolves when the last connection is gone. */
  async close(): Promise<void> {
    const closed = this.#all.map((server) => {
      const closing = once(server, 'close')
      server.close()
      return closing
    })
    this.#all = []
    await Promise.all(closed)
  }
}
