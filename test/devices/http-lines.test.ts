import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { httpSession, memoryStorage, PikeClient, type Sent } from '../../devices/index.ts'

interface Line {
  readonly type: string
  readonly stamp: string
  readonly payload?: unknown
  readonly payloadBase64?: string
}

/** One request with events: the numbers of their stamps, or of its header. */
interface Report {
  readonly lines: readonly Line[] | undefined
  readonly numbers: readonly number[]
}

const numberOf = (stamp: string): number => Number(stamp.split('.')[1])

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of request.setEncoding('utf8')) text += part
  return text
}

/** A gateway that keeps all events but one, and keeps nothing of what that one came with. */
async function gatewayThatRefuses(t: TestContext, refused?: number) {
  const reports: Report[] = []
  const server = createServer(async (request, response) => {
    if (request.method === 'GET') {
      const channels = ['main', 'urgent'].map((channel) => ({
        ...{ channel, epoch: channel === 'main' ? '7' : '7.urgent', after: '0', resumed: 'fresh' },
      }))
      const time = new Date().toISOString()
      const start = { time, keepaliveS: 240, commentS: 15, receiver: 'r', channels }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(`event: start\ndata: ${JSON.stringify(start)}\n\n`)
      return
    }
    const path = request.url?.split('?')[0] ?? ''
    const text = await textOf(request)
    if (!path.includes('/events')) return void response.writeHead(204).end()
    const lines = path.endsWith('/events')
      ? text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Line]))
      : undefined
    const stamps = lines?.map(({ stamp }) => stamp) ?? [String(request.headers['pike-stamp'])]
    const numbers = stamps.map(numberOf)
    reports.push({ lines, numbers })
    if (refused === undefined || !numbers.includes(refused)) response.writeHead(204).end()
    else
      response
        .writeHead(409)
        .end(JSON.stringify({ type: '/problems/stale-stamp', title: 'stale-stamp' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = new PikeClient({
    ...{ host: '127.0.0.1', port: (server.address() as AddressInfo).port, device: 'locker' },
    ...{ secret: 'a-secret-of-more-than-128-bits', storage: memoryStorage() },
    session: httpSession,
  })
  t.after(async () => {
    await client.stop()
    server.closeAllConnections()
    server.close()
  })
  return { reports, client }
}

const kindOf = (sent: Sent): string => (sent.kind === 'failed' ? sent.reason : sent.kind)
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1)

test('what gathered while the gateway was away goes as lines of few requests, in order, each once', async (t) => {
  const { reports, client } = await gatewayThatRefuses(t)
  const running = once(client, 'running')
  client.start()
  await running
  const sent = upTo(150).map((n) =>
    n % 3 === 0 ? client.send('bytes', Buffer.from([n])) : client.send('door-opened', { n }),
  )
  assert.deepEqual(new Set((await Promise.all(sent)).map(kindOf)), new Set(['kept']))
  assert.deepEqual(
    reports.flatMap(({ numbers }) => numbers),
    upTo(150),
  )
  assert.ok(reports.length <= 10, `${reports.length} requests for 150 events`)
  const lines = reports.flatMap((report) => report.lines ?? [])
  for (const { type, stamp, payload, payloadBase64 } of lines) {
    const n = numberOf(stamp)
    if (type === 'bytes') assert.equal(payloadBase64, Buffer.from([n]).toString('base64'))
    else assert.deepEqual(payload, { n })
  }
})

test('one that is not taken is told so alone; those it went with are kept', async (t) => {
  const { reports, client } = await gatewayThatRefuses(t, 5)
  const running = once(client, 'running')
  client.start()
  await running
  const sent = await Promise.all(upTo(12).map((n) => client.send('door-opened', { n })))
  assert.deepEqual(
    sent.map(kindOf),
    upTo(12).map((n) => (n === 5 ? 'stale-stamp' : 'kept')),
  )
  const alone = reports.filter(({ lines }) => lines === undefined)
  assert.ok(
    alone.some(({ numbers }) => numbers[0] === 5),
    'by itself',
  )
})
