import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { pikeAdapter } from '../../../adapters/pike/index.ts'
import type { Adapter } from '../../../src/contract/index.ts'
import { WireClient } from './client.ts'
import type { FakeCore } from './fake-core.ts'

/** A listening adapter, stopped when the test is over. */
export async function listen(
  t: TestContext,
  core: FakeCore,
): Promise<{ adapter: Adapter; port: number }> {
  const adapter = pikeAdapter({ host: '127.0.0.1', port: 0 })
  const [listener] = await adapter.start(core)
  t.after(async () => {
    const stopped = adapter.stop(0)
    core.clock.advance(1)
    await stopped
  })
  return { adapter, port: listener!.port }
}

/** A client on a socket of its own. */
export function dial(t: TestContext, port: number): { client: WireClient; socket: Socket } {
  const socket = connect({ port, host: '127.0.0.1' })
  const client = new WireClient((bytes) => socket.write(bytes))
  socket.on('data', (chunk) => client.receive(chunk))
  socket.on('error', () => {})
  socket.on('close', () => client.over())
  t.after(() => socket.destroy())
  return { client, socket }
}
