import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type TurnBounds, Turns } from '../../src/listen/turns.ts'
import { until } from '../support/turns.ts'

const get = (n: number): string => `GET /${n} HTTP/1.1\r\nHost: x\r\n\r\n`
const post = (n: number, body: string): string =>
  `POST /${n} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`

const closing = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once('close', () => resolve()))

interface Stage {
  readonly turns: Turns
  readonly server: Server
  readonly socket: Socket
  /** One more connection. */
  again(): Socket
  /** What was answered, in order. */
  answers(): readonly string[]
}

const roomy = { pipelinedMax: 10_000, pipelinedPerConnectionMax: 10_000 }

async function stage(
  t: TestContext,
  listener: RequestListener,
  bounds: TurnBounds = roomy,
): Promise<Stage> {
  const turns = new Turns(bounds)
  const server = createServer(listener)
  turns.guard(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const again = (): Socket => connect(port, '127.0.0.1').on('error', () => {})
  const socket = again()
  let said = ''
  socket.setEncoding('utf8').on('data', (text) => {
    said += text
  })
  t.after(() => {
    socket.destroy()
    server.close()
    server.closeAllConnections()
  })
  return {
    turns,
    server,
    socket,
    again,
    answers: () => [...said.matchAll(/<(.*?)>/g)].map(([, text]) => text!),
  }
}

test('calls in a pipeline are begun one after the other, and all are answered in their order', async (t) => {
  let underWay = 0
  let most = 0
  const { turns, socket, answers } = await stage(t, ({ url }, response) => {
    most = Math.max(most, ++underWay)
    setImmediate(() => {
      underWay--
      response.end(`<${url}>`)
    })
  })
  const numbers = Array.from({ length: 1_500 }, (_, n) => n)
  socket.write(numbers.map(get).join(''))
  await until(() => answers().length === numbers.length)
  assert.deepEqual(
    answers(),
    numbers.map((n) => `/${n}`),
  )
  assert.equal(most, 1)
  assert.equal(turns.waiting, 0)
  socket.write(get(7))
  await until(() => answers().at(-1) === '/7')
})

test('a turn of the event loop lies between two calls, also where they are answered at once', async (t) => {
  let turn = 0
  let going = true
  const count = (): void => {
    turn++
    if (going) setImmediate(count)
  }
  count()
  t.after(() => {
    going = false
  })
  const begun: number[] = []
  const { socket, answers } = await stage(t, (_request, response) => {
    begun.push(turn)
    response.end('<x>')
  })
  socket.write(get(1).repeat(200))
  await until(() => answers().length === 200)
  // The first is begun while it is read, the second later in that same turn.
  assert.ok(new Set(begun).size >= 199, `begun in ${new Set(begun).size} turns`)
})

test('a peer that goes is seen to go, also while calls wait behind one that lasts', async (t) => {
  const begun: string[] = []
  let streamed: ServerResponse | undefined
  const { turns, socket } = await stage(t, ({ url }, response) => {
    begun.push(url!)
    if (url === '/1') streamed = response
    response.write('x')
  })
  socket.write(get(1) + get(2) + get(3))
  await until(() => turns.waiting === 2)
  socket.end()
  await until(() => streamed!.closed)
  await until(() => turns.waiting === 0)
  assert.deepEqual(begun, ['/1'])
})

test('bodies come whole to the call they belong to, long ones too', async (t) => {
  const { socket, answers } = await stage(t, (request, response) => {
    let bytes = 0
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    request.on('end', () => setImmediate(() => response.end(`<${request.url} ${bytes}>`)))
  })
  const sizes = [10, 300_000, 0, 70_000, 1, 200_000]
  socket.write(sizes.map((size, n) => post(n, 'x'.repeat(size))).join(''))
  await until(() => answers().length === sizes.length)
  assert.deepEqual(
    answers(),
    sizes.map((size, n) => `/${n} ${size}`),
  )
})

test('what waits is not begun where the connection ends first', async (t) => {
  const begun: string[] = []
  let first: ServerResponse | undefined
  const { turns, socket } = await stage(t, ({ url }, response) => {
    begun.push(url!)
    first ??= response
  })
  socket.write(get(1) + get(2) + get(3))
  await until(() => turns.waiting === 2)
  socket.resetAndDestroy()
  first!.write('x'.repeat(100_000))
  await until(() => turns.waiting === 0)
  assert.deepEqual(begun, ['/1'])
})

test('nothing waits for ever behind an answer that never had its turn on the connection', async (t) => {
  const { turns, server, socket } = await stage(t, () => {})
  server.on('checkExpectation', () => {})
  socket.write(`GET /0 HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\n\r\n${get(1)}${get(2)}`)
  await until(() => turns.waiting === 1)
  socket.resetAndDestroy()
  await until(() => turns.waiting === 0)
})

test('nothing is begun behind an answer after which the connection closes', async (t) => {
  const begun: string[] = []
  const { turns, socket, answers } = await stage(t, ({ url }, response) => {
    begun.push(url!)
    response.setHeader('connection', 'close')
    setImmediate(() => response.end('<bye>'))
  })
  const closed = closing(socket)
  socket.write(get(1) + get(2) + get(3))
  await closed
  assert.deepEqual(answers(), ['bye'])
  assert.deepEqual(begun, ['/1'])
  assert.equal(turns.waiting, 0)
})

test('whoever sends more than may wait is cut off, and nothing of it is begun', async (t) => {
  const begun: string[] = []
  const bounds = { ...roomy, pipelinedPerConnectionMax: 10 }
  const listener: RequestListener = ({ url }) => void begun.push(url!)
  const { turns, socket } = await stage(t, listener, bounds)
  const closed = closing(socket)
  socket.write(Array.from({ length: 12 }, (_, n) => get(n)).join(''))
  await closed
  await until(() => turns.waiting === 0)
  assert.deepEqual(begun, ['/0'])
  assert.equal(turns.cutTotal, 1)
})

test('where all together are too many one may still wait on every connection', async (t) => {
  const held: ServerResponse[] = []
  const bounds = { ...roomy, pipelinedMax: 3 }
  const listener: RequestListener = (_request, response) => void held.push(response)
  const { turns, socket, again } = await stage(t, listener, bounds)
  socket.write(get(1).repeat(4))
  await until(() => turns.waiting === 3)
  const other = again()
  other.write(get(1).repeat(2))
  await until(() => turns.waiting === 4)
  const closed = closing(other)
  other.write(get(1))
  await closed
  assert.equal(turns.cutTotal, 1)
  assert.equal(socket.destroyed, false)
})
