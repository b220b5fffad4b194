import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import { Addresses } from '../../src/webhooks/addresses.ts'
import { Sender } from '../../src/webhooks/sender.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turns } from '../support/turns.ts'

test('idle connections of all webhooks together are bounded, the oldest go', async (t) => {
  const clock = new ManualClock()
  const addresses = new Addresses(['loopback'], () => clock.nowMs())
  const sender = new Sender(addresses, clock, 15_000, '0.0.0', 3)
  const webhooks = [sender.connections(4), sender.connections(4)]
  const open = new Map<string, Set<Socket>>()
  const made = new Map<string, number>()
  const urls = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const server = createServer((_request, response) => response.writeHead(204).end())
      const sockets = new Set<Socket>()
      server.on('connection', (socket) => {
        sockets.add(socket)
        made.set(url, (made.get(url) ?? 0) + 1)
        socket.on('close', () => sockets.delete(socket))
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
      open.set(url, sockets)
      t.after(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
      return url
    }),
  )
  const send = async (index: number): Promise<void> => {
    const connections = webhooks[index % 2]!
    const attempt = await sender.post(connections, urls[index]!, {}, Buffer.from('{}'))
    assert.equal(attempt.taken, true, attempt.text)
    await turns(8)
  }
  const connected = (): string[] => urls.filter((url) => open.get(url)!.size > 0)
  for (let index = 0; index < urls.length; index++) await send(index)
  while (connected().length > 3) await turns(8)
  assert.deepEqual(connected(), urls.slice(-3))
  // One that is used again is not the oldest any more.
  await send(5)
  await send(0)
  while (connected().length > 3) await turns(8)
  assert.deepEqual(connected().sort(), [urls[0], urls[5], urls[7]].sort())
  assert.equal(made.get(urls[5]!), 1)
  for (const connections of webhooks) connections.close()
})
