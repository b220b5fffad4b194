import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { httpSession, memoryStorage, PikeClient } from '../../devices/index.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { until } from '../support/turns.ts'

const channel = (name: string, epoch: string) => ({
  channel: name,
  ...{ epoch, after: '0', resumed: 'fresh' },
})
const channels = [channel('main', '7'), channel('urgent', '7.urgent')]

/** A gateway whose streams fall silent while its requests are answered. */
async function halfDead(commentS: number, gone: () => boolean) {
  const asked: string[] = []
  const streams: ServerResponse[] = []
  const server = createServer((request, response) => {
    if (request.method !== 'GET') {
      asked.push(request.url ?? '')
      if (gone() && request.url?.includes('receiver=')) {
        response.writeHead(409, { 'content-type': 'application/problem+json' })
        response.end(JSON.stringify({ type: '/problems/not-attached' }))
      } else response.writeHead(204).end()
      return
    }
    streams.push(response)
    const time = new Date().toISOString()
    const start = { time, keepaliveS: 240, commentS, receiver: `r-${streams.length}`, channels }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: start\ndata: ${JSON.stringify(start)}\n\n`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    asked,
    streams,
    port: (server.address() as AddressInfo).port,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function clientOf(port: number, clock: ManualClock) {
  return new PikeClient({
    host: '127.0.0.1',
    port,
    device: 'locker',
    secret: 'a-secret-of-more-than-128-bits',
    storage: memoryStorage(),
    session: httpSession,
    clock,
    random: () => 0,
  })
}

test('a stream that died unseen is let go of, though other requests of its device are answered', async (t) => {
  const gateway = await halfDead(15, () => false)
  t.after(gateway.stop)
  const clock = new ManualClock()
  const client = clientOf(gateway.port, clock)
  const running = once(client, 'running')
  client.start()
  await running
  clock.advance(39_000)
  assert.equal(client.state.kind, 'running')
  const waiting = once(client, 'waiting')
  clock.advance(2_000)
  await waiting
  const again = once(client, 'running')
  clock.advance(1_000)
  await again
  assert.equal(gateway.streams.length, 2)
  await client.stop()
})

test('a probe is answered by its name; a beat names its receiver, and one that is gone is left at once', async (t) => {
  let isGone = false
  const gateway = await halfDead(1_000, () => isGone)
  t.after(gateway.stop)
  const clock = new ManualClock()
  const client = clientOf(gateway.port, clock)
  const running = once(client, 'running')
  client.start()
  await running
  const [stream] = gateway.streams
  stream!.write('event: probe\ndata: {"probe":"3"}\n\n')
  await until(() => gateway.asked.includes('/device/v1/acks?probe=3'))
  isGone = true
  const waiting = once(client, 'waiting')
  clock.advance(121_000)
  await waiting
  assert.ok(gateway.asked.includes('/device/v1/acks?receiver=r-1'), gateway.asked.join())
  await client.stop()
})
