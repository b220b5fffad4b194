import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { httpSession, memoryStorage, PikeClient, type Sent } from '../../devices/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turn } from '../support/turns.ts'

const channel = (name: string, epoch: string) => ({
  channel: name,
  ...{ epoch, after: '0', resumed: 'fresh' },
})

interface Said {
  readonly status: number
  readonly body?: string
}
const problem = (status: number, name: string): Said => ({
  status,
  body: JSON.stringify({ type: `/problems/${name}`, title: name }),
})

/** A gateway, or what stands before it, that answers reports with these in turn, then keeps them. */
async function answering(...answers: Said[]) {
  const stamps: string[] = []
  const server = createServer((request, response) => {
    request.resume()
    if (request.method === 'GET') {
      const time = new Date().toISOString()
      const channels = [channel('main', '7'), channel('urgent', '7.urgent')]
      const start = { time, keepaliveS: 240, commentS: 15, receiver: 'r', channels }
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(`event: start\ndata: ${JSON.stringify(start)}\n\n`)
      return
    }
    if (request.url?.includes('/events/') !== true) return void response.writeHead(204).end()
    stamps.push(String(request.headers['pike-stamp']).split('.')[1]!)
    const { status, body } = answers.shift() ?? { status: 204 }
    response.writeHead(status).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    stamps,
    port: (server.address() as AddressInfo).port,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}

for (const [what, said, kind] of [
  ['a 404 of a proxy', { status: 404, body: '<html>nothing here' }, 'kept'],
  ['a 409 of a proxy', { status: 409, body: '' }, 'kept'],
  ['a 400 of a proxy', { status: 400, body: '<html>' }, 'kept'],
  ['a call that is not there', problem(404, 'not-found'), 'kept'],
  ['a channel that is not there', problem(404, 'unknown-channel'), 'unknown-channel'],
  ['a stamp of long ago', problem(409, 'stale-stamp'), 'stale-stamp'],
  ['what does not fit', problem(400, 'invalid-request'), 'refused'],
  ['too large a body', problem(413, 'too-large'), 'too-large'],
] as const)
  test(`an event answered with ${what} is not taken for kept before it is`, async (t) => {
    const gateway = await answering(said)
    t.after(gateway.stop)
    const clock = new ManualClock()
    const client = new PikeClient({
      ...{ host: '127.0.0.1', port: gateway.port, device: 'locker', clock, random: () => 0 },
      ...{ secret: 'a-secret-of-more-than-128-bits', storage: memoryStorage() },
      session: httpSession,
    })
    t.after(() => client.stop())
    const running = once(client, 'running')
    client.start()
    await running
    let sent: Sent | undefined
    void client.send('door-opened', { door: 7 }).then((one) => {
      sent = one
    })
    for (let turns = 0; sent === undefined && turns < 20_000; turns++) {
      await turn()
      if (client.state.kind === 'waiting') clock.advance(1_000)
    }
    assert.equal(sent?.kind === 'failed' ? sent.reason : sent?.kind, kind)
    assert.deepEqual(gateway.stamps, kind === 'kept' ? ['1', '1'] : ['1'], 'by its stamp')
  })
