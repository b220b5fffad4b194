import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { pikeAdapter } from '../../adapters/pike/index.ts'
import { PikeClient } from '../../devices/index.ts'
import type { Clock } from '../../src/contract/index.ts'
import { makeCredential } from '../../src/secrets/secrets.ts'
import { turns } from '../support/turns.ts'
import { World } from '../support/world.ts'

const second = 1_000
const secret = 'a-secret-of-27-characters-x'

/** A connection through a NAT: after so long without a byte it leads nowhere, and nobody is told. */
class Natted extends Duplex {
  readonly #inner: Socket
  readonly #clock: Clock
  readonly #forgetMs: number
  #activeAtMs: number
  isForgotten = false

  constructor(port: number, clock: Clock, forgetMs: number) {
    super()
    this.#clock = clock
    this.#forgetMs = forgetMs
    this.#activeAtMs = clock.nowMs()
    this.#inner = connect({ host: '127.0.0.1', port, noDelay: true })
    this.#inner.on('connect', () => this.emit('connect'))
    this.#inner.on('data', (chunk) => this.#passes() && this.push(chunk))
    this.#inner.on('end', () => this.#passes() && this.push(null))
    this.#inner.on('error', (error) => this.#passes() && this.destroy(error))
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#passes()) this.#inner.write(chunk)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#passes()) this.#inner.destroy()
    done(error)
  }

  tearDown(): void {
    this.destroy()
    this.#inner.destroy()
  }

  #passes(): boolean {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#activeAtMs > this.#forgetMs) this.isForgotten = true
    if (!this.isForgotten) this.#activeAtMs = nowMs
    return !this.isForgotten
  }
}

/** A locker behind a NAT that remembers for so long, on a gateway, in virtual time. */
async function behindNat(t: TestContext, forgetMs: number, attributes = {}) {
  const world = await World.open()
  const credential = await makeCredential(secret, 'default', 'locker')
  await world.register('locker', 'default', {}, { credentials: [credential], attributes })
  const adapter = pikeAdapter({ host: '127.0.0.1', port: 0 })
  const [listener] = await adapter.start(world.hub)
  const connections: Natted[] = []
  const keepalivesS: number[] = []
  const client = new PikeClient({
    host: '127.0.0.1',
    port: listener!.port,
    device: 'locker',
    secret,
    clock: world.clock,
    connect: () => {
      const made = new Natted(listener!.port, world.clock, forgetMs)
      connections.push(made)
      return made
    },
  })
  client.on('running', ({ keepaliveMs }) => keepalivesS.push(keepaliveMs / second))
  t.after(async () => {
    const stopped = client.stop()
    for (const one of connections) one.tearDown()
    await stopped
    await adapter.stop(0)
    await world.hub.stop()
  })
  client.start()
  const settle = async (): Promise<void> => {
    await turns(8)
  }
  while (client.state.kind !== 'running') await settle()
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 2 * second) {
      world.clock.advance(2 * second)
      await settle()
    }
  }
  return { world, client, keepalivesS, pass, connections }
}

test('a locker behind a NAT that forgets after 200 s is found its heartbeat at the price of one connection', async (t) => {
  const { world, client, keepalivesS, pass, connections } = await behindNat(t, 200 * second)
  assert.deepEqual(keepalivesS, [60])
  await pass(1_200 * second)
  assert.deepEqual(
    keepalivesS,
    [60, 181],
    'one connection was lost, and the next begins where it holds',
  )
  await pass(3_600 * second)
  assert.equal(connections.length, 2, 'none is lost after')
  assert.equal(world.hub.figures().heartbeat_failures_total, 1)
  const got: string[] = []
  client.on('receive', ({ name }, respond) => {
    got.push(name)
    respond({ status: 'done' })
  })
  await world.command({ name: 'door', delivery: 'now', ttlMs: 10 * second })
  await pass(2 * second)
  assert.deepEqual(got, ['door'], 'it can be reached at any moment')
})

test('a locker that loses its power again and again keeps the heartbeat it was found', async (t) => {
  const { client, keepalivesS, pass, connections } = await behindNat(t, 3_600 * second)
  await pass(1_300 * second)
  for (let i = 0; i < 4; i++) {
    await pass(100 * second)
    connections.at(-1)!.isForgotten = true // the gateway hears nothing of it
    client.restart()
    await pass(10 * second)
  }
  assert.deepEqual(keepalivesS, [60, 300, 300, 300, 300])
})
