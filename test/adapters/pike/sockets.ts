import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { type PikeOptions, pikeAdapter } from '../../../adapters/pike/index.ts'
import type { Adapter } from '../../../src/contract/index.ts'
import { cert, key } from './certificate.ts'
import { WireClient } from './client.ts'
import type { FakeCore } from './fake-core.ts'

export interface Listening {
  readonly adapter: Adapter
  readonly port: number
  readonly tlsPort: number
}

/** A listening adapter, TCP and TLS, stopped when the test is over. */
export async function listen(
  t: TestContext,
  core: FakeCore,
  change: Partial<PikeOptions> = {},
): Promise<Listening> {
  const adapter = pikeAdapter({
    host: '127.0.0.1',
    port: 0,
    tls: { port: 0, cert, key },
    ...change,
  })
  const listeners = await adapter.start(core)
  t.after(async () => {
    const stopped = adapter.stop(0)
    core.clock.advance(1)
    await stopped
  })
  const port = (name: string): number => listeners.find((one) => one.name === name)?.port ?? 0
  return { adapter, port: port('pike'), tlsPort: port('pike-tls') }
}

export interface Dialed<S extends Socket> {
  readonly client: WireClient
  readonly socket: S
  /** How it ended: the error's code, or 'closed'. */
  readonly gone: Promise<string>
}

/** A client on a socket of its own. */
export const dial = (t: TestContext, port: number): Dialed<Socket> =>
  wire(t, connect({ port, host: '127.0.0.1' }))

export const dialTls = (t: TestContext, port: number, options: object = {}): Dialed<TLSSocket> =>
  wire(t, connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: cert, ...options }))

function wire<S extends Socket>(t: TestContext, socket: S): Dialed<S> {
  const client = new WireClient((bytes) => socket.write(bytes))
  let why = 'closed'
  socket.on('data', (chunk) => client.receive(chunk))
  socket.on('error', (error: NodeJS.ErrnoException) => {
    why = error.code ?? error.message
  })
  const gone = new Promise<string>((resolve) => {
    socket.on('close', () => {
      client.over()
      resolve(why)
    })
  })
  t.after(() => socket.destroy())
  return { client, socket, gone }
}
