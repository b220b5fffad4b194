import assert from 'node:assert/strict'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { apiBounds } from '../../src/api/bounds.ts'
import { limits } from '../../src/contract/index.ts'
import { turn } from '../support/turns.ts'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open()
  await world.device()
  await world.app.listen({ port: 0, host: '127.0.0.1' })
})
after(() => world.close())

/** Send bytes as they are and collect what comes until the server closes. */
const exchange = (bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect((world.app.server.address() as AddressInfo).port, '127.0.0.1')
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (part) => {
      text += part
    })
    socket.on('close', () => resolve(text))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' ? resolve(text) : reject(error),
    )
    socket.write(bytes)
  })

const head = 'Host: x\r\nAuthorization: Bearer key-all\r\nContent-Type: application/json\r\n'
const path = '/v1/devices/SZ-0042/commands'

for (const [what, bytes, status] of [
  ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n', 400],
  [
    'a length and chunks',
    `POST ${path} HTTP/1.1\r\n${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'two lengths',
    `POST ${path} HTTP/1.1\r\n${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
    400,
  ],
  ['a length that is none', `POST ${path} HTTP/1.1\r\n${head}Content-Length: +5\r\n\r\nhello`, 400],
  [
    'chunks by another name',
    `POST ${path} HTTP/1.1\r\n${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    'a chunk size that is none',
    `POST ${path} HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`,
    400,
  ],
  ['a space before the colon', `GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n`, 400],
  ['a line end alone', 'GET /healthz HTTP/1.1\nHost: x\n\n', 400],
  ['no host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
  [
    'headers without end',
    `GET /healthz HTTP/1.1\r\nHost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
    431,
  ],
] as const) {
  test(`${status} and closed: ${what}`, async () => {
    const before = world.gateway.submitted.length
    const answer = await exchange(bytes)
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
    assert.equal(answer.split('HTTP/1.1').length, 2, 'one answer')
    assert.equal(world.gateway.submitted.length, before)
  })
}

test('what comes too slowly is 408 as a problem', async () => {
  const answered = exchange('POST')
  const socket = await new Promise<Socket>((resolve) =>
    world.app.server.once('connection', resolve),
  )
  const error = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
  world.app.server.emit('clientError', error, socket)
  const answer = await answered
  assert.match(answer, /^HTTP\/1.1 408 /)
  assert.match(answer, /application\/problem\+json/)
  assert.match(answer, /\/problems\/request-timeout/)
})

test('every time and size is bounded, and a held call fits between them', () => {
  const { server } = world.app
  assert.equal(server.headersTimeout, 10_000)
  // Node's own would cut off calls that may last; bodies are timed one by one.
  assert.equal(server.requestTimeout, 0)
  assert.ok(apiBounds.requestTimeoutMs + apiBounds.timeoutsCheckMs <= 30_000)
  assert.equal(server.keepAliveTimeout, apiBounds.keepAliveTimeoutMs)
  assert.ok(server.timeout > limits.waitMaxMs)
  assert.ok(apiBounds.connectionsMax > limits.waitersMax + limits.streamsMax)
  assert.equal(world.app.initialConfig.bodyLimit, limits.bodyMaxBytes)
})

test('a body that is too large is refused by its length alone, and the connection closed', async () => {
  const answer = await exchange(
    `POST ${path} HTTP/1.1\r\n${head}Content-Length: 1000000000\r\n\r\n`,
  )
  assert.match(answer, /^HTTP\/1.1 413 /)
  assert.match(answer, /\/problems\/body-too-large/)
})

test('calls one behind another on a connection are answered in order', async () => {
  const body = '{"name":"a"}'
  const post = `POST ${path} HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`
  const answer = await exchange(
    `${post}GET /healthz HTTP/1.1\r\n${head}\r\nGET /readyz HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
  )
  const statuses = [...answer.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status)
  assert.deepEqual(statuses, ['202', '200', '200'])
})

test('alive, ready, measured: without a key', async () => {
  const open = (path: string) => world.call('GET', path, { key: '' })
  assert.deepEqual((await open('/healthz')).body, { status: 'ok', version: '0.0.0' })
  assert.deepEqual((await open('/readyz')).body, { status: 'ready' })
  world.gateway.isReady = { ok: false, why: 'the store is full' }
  const not = await open('/readyz')
  assert.deepEqual([not.status, not.body.detail], [503, 'the store is full'])
  world.gateway.isReady = { ok: true }
  assert.equal((await open('/metrics')).text, 'pike_up 1\n')
})

test('a problem type leads to a page that says what to do', async () => {
  const problem = await world.call('GET', '/v1/nothing')
  const page = await world.call('GET', problem.body.type, { key: '' })
  assert.deepEqual(
    [page.status, page.body.status, page.body.type],
    [200, 404, '/problems/not-found'],
  )
  assert.ok(page.body.advice.length > 0)
})

test('one address has so many connections and no more, the rest are left for others; it is counted', async (t) => {
  const one = await World.open({ apiConnectionsPerAddress: 2 })
  t.after(() => one.close())
  await one.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = one.app.server.address() as AddressInfo
  const sockets = [0, 1, 2, 3].map(() => connect(port, '127.0.0.1'))
  const closed = sockets.map((socket) => {
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    return new Promise<Socket>((resolve) => socket.on('close', () => resolve(socket)))
  })
  const first = await Promise.race(closed)
  await Promise.race(closed.filter((_, at) => sockets[at] !== first))
  assert.equal(sockets.filter(({ destroyed }) => destroyed).length, 2)
  assert.equal(one.app.figures().connections_refused_total, 2)
  // Else its close waits for them.
  for (const socket of sockets) socket.destroy()
})

test('a server that stops refuses new calls, and is not ready', async () => {
  const stopping = await World.open()
  await stopping.device()
  // A slow call keeps the server open while it closes.
  let release: (() => void) | undefined
  stopping.gateway.submit = () =>
    new Promise((resolve) => {
      release = () => resolve({ kind: 'unavailable', full: false })
    })
  await stopping.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = stopping.app.server.address() as AddressInfo
  const slow = fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    body: '{"name":"a"}',
    headers: { authorization: 'Bearer key-all', 'content-type': 'application/json' },
  })
  while (release === undefined) await turn()
  const closing = stopping.app.close()
  release()
  assert.equal((await slow).status, 503)
  await closing
})
