import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { httpSession, memoryStorage, PikeClient } from '../../devices/index.ts'

for (const [told, said] of [
  [{ receiver: 'a-1.a-2&x' }, '/device/v1/commands?receiver=a-1.a-2%26x'],
  [{}, '/device/v1/commands'],
] as const) {
  test(`a client over HTTP says goodbye by the name it was given: ${said}`, async (t) => {
    const channel = (name: string, epoch: string) => ({
      channel: name,
      ...{ epoch, after: '0', resumed: 'fresh' },
    })
    const channels = [channel('main', '7'), channel('urgent', '7.urgent')]
    const start = { time: new Date().toISOString(), keepaliveS: 240, ...told, channels }
    const goodbyes: (string | undefined)[] = []
    const server = createServer((request, response) => {
      if (request.method === 'GET') {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(`event: start\ndata: ${JSON.stringify(start)}\n\n`)
        return
      }
      if (request.method === 'DELETE') goodbyes.push(request.url)
      response.writeHead(204).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => {
      server.closeAllConnections()
      server.close()
    })
    const client = new PikeClient({
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      device: 'locker',
      secret: 'a-secret-of-more-than-128-bits',
      storage: memoryStorage(),
      session: httpSession,
    })
    const running = once(client, 'running')
    client.start()
    await running
    await client.stop()
    assert.deepEqual(goodbyes, [said])
  })
}
