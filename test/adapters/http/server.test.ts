import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:https'
import { connect } from 'node:net'
import { test } from 'node:test'
import { httpBounds } from '../../../adapters/http/bounds.ts'
import { httpAdapter } from '../../../adapters/http/index.ts'
import { createServer, type Lobby } from '../../../adapters/http/server.ts'
import { cert, key } from '../pike/certificate.ts'
import { FakeCore, strongSecret } from '../pike/fake-core.ts'
import { basic, httpRig } from './rig.ts'

test('over TLS it says the same, and nothing older than TLS 1.2 gets in', async (t) => {
  const core = new FakeCore()
  const adapter = httpAdapter({ host: '127.0.0.1', port: 'off', tls: { port: 0, cert, key } })
  const [listener] = await adapter.start(core)
  t.after(() => adapter.stop(0))
  assert.equal(listener!.name, 'https')
  const ask = (more: object) =>
    new Promise<number>((resolve, reject) => {
      request(
        {
          ...{ host: '127.0.0.1', port: listener!.port, path: '/device/v1/acks', method: 'POST' },
          ca: cert,
          headers: { authorization: basic('SZ-0042', strongSecret) },
          agent: false,
          ...more,
        },
        (answer) => resolve(answer.resume().statusCode ?? 0),
      )
        .on('error', reject)
        .end()
    })
  assert.equal(await ask({}), 204)
  await assert.rejects(ask({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' }))
})

test('headers have the same time with TLS as without', () => {
  const core = new FakeCore()
  const nobody = { guard: () => {} }
  const lobby = { core, addresses: nobody, turns: nobody } as unknown as Lobby
  for (const tls of [undefined, { cert, key }]) {
    const { server } = createServer(lobby, tls)
    assert.equal(server.headersTimeout, httpBounds.headersTimeoutMs)
    // How often Node looks: every 30 s unless it is told.
    const { connectionsCheckingInterval } = server as { connectionsCheckingInterval?: number }
    assert.equal(connectionsCheckingInterval, httpBounds.timeoutsCheckMs)
  }
})

test('when the gateway stops, a waiting poll is answered at once and told when to come back', async (t) => {
  const { rig, client } = await httpRig(t)
  let said: Awaited<ReturnType<typeof client.ask>> | undefined
  client.ask('/device/v1/commands?channel=main&wait=30').then(
    (answer) => {
      said = answer
    },
    () => {},
  )
  await rig.until('it waits', () => rig.hub.presence('default', 'locker').state === 'online')
  const stopped = rig.door.stop()
  await rig.until('it is told', () => said !== undefined)
  assert.equal(said!.status, 503)
  assert.equal((said!.json() as { type: string }).type, '/problems/going-away')
  assert.ok(Number(said!.headers['retry-after']) >= 1, 'when to come back')
  await client.cut()
  await stopped
})

test('a port that is taken stops the start, and leaves nothing listening', async () => {
  const first = httpAdapter({ host: '127.0.0.1', port: 0 })
  const [{ port } = { port: 0 }] = await first.start(new FakeCore())
  const second = httpAdapter({ host: '127.0.0.1', port })
  await assert.rejects(second.start(new FakeCore()), /EADDRINUSE/)
  await first.stop(0)
})

test('over the bound of connections of one address: closed before TLS, counted, and let in when there is room', async (t) => {
  const core = new FakeCore({ connectionsPerAddress: 1 })
  const adapter = httpAdapter({ host: '127.0.0.1', port: 0, tls: { port: 0, cert, key } })
  const listeners = await adapter.start(core)
  t.after(() => adapter.stop(0))
  const first = connect(listeners[0]!.port, '127.0.0.1')
  await once(first, 'connect')
  const refused = listeners.map(
    ({ port }) =>
      new Promise<number>((resolve) => {
        let bytes = 0
        const socket = connect(port, '127.0.0.1')
        socket.on('error', () => {})
        socket.on('data', (chunk) => {
          bytes += chunk.length
        })
        socket.on('close', () => resolve(bytes))
      }),
  )
  assert.deepEqual(await Promise.all(refused), [0, 0])
  assert.equal(adapter.figures().connections_refused_total, 2)
  first.destroy()
  const ask = () =>
    new Promise<number>((resolve) => {
      request(
        {
          ...{ host: '127.0.0.1', port: listeners[1]!.port, path: '/device/v1/acks' },
          ...{ method: 'POST', ca: cert, agent: false },
          headers: { authorization: basic('SZ-0042', strongSecret) },
        },
        (answer) => resolve(answer.resume().statusCode ?? 0),
      )
        .on('error', () => resolve(0))
        .end()
    })
  let status = 0
  for (let i = 0; i < 1_000 && status === 0; i++) status = await ask()
  assert.equal(status, 204)
})
