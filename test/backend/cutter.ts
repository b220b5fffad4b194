import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * Stands between a client and a gateway and breaks connections: a request has got through, and its
 * answer, or what is left of it, is lost.
 */
export interface Cutter {
  /** Of the proxy. */
  readonly url: string
  /** How many connections were cut so far. */
  readonly cuts: number
  /** Cut the next connections, one for each number: once so many bytes of answer have passed. */
  cutAfter(...bytes: readonly number[]): void
  stop(): Promise<void>
}

export async function startCutter(target: string): Promise<Cutter> {
  const { hostname, port } = new URL(target)
  const plan: number[] = []
  const sockets = new Set<Socket>()
  let cuts = 0
  const server = createServer({ pauseOnConnect: false }, (client) => {
    const gateway = connect(Number(port), hostname)
    for (const socket of [client, gateway]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        gateway.destroy()
      })
    }
    let left: number | undefined
    client.pipe(gateway)
    gateway.on('data', (chunk: Buffer) => {
      // With the first byte of an answer: a connection on which nothing was asked is no use to cut.
      left ??= plan.shift() ?? Number.POSITIVE_INFINITY
      if (chunk.length < left) {
        left -= chunk.length
        if (!client.write(chunk)) {
          gateway.pause()
          client.once('drain', () => gateway.resume())
        }
        return
      }
      cuts++
      gateway.removeAllListeners('data')
      gateway.resume()
      if (left > 0) client.write(chunk.subarray(0, left))
      client.destroySoon()
      left = Number.POSITIVE_INFINITY
    })
    gateway.on('end', () => client.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get cuts() {
      return cuts
    },
    cutAfter(...bytes) {
      plan.push(...bytes)
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
