import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { fair } from '../../cli/weather/conditions.ts'
import { relayDatagrams } from '../../cli/weather/datagram-relay.ts'
import { relayStreams } from '../../cli/weather/stream-relay.ts'
import { turn, until } from '../support/turns.ts'

const host = '127.0.0.1'

/** Sends back what comes, and its end. */
async function echo() {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    port,
    sockets,
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

test('a stream arrives whole and in order through torn pieces and losses, and so does its end', async () => {
  const gateway = await echo()
  const conditions = { ...fair, torn: 0.5, jitterMs: 5 }
  const relay = await relayStreams({
    host,
    port: 0,
    to: { host, port: gateway.port },
    conditions,
    seed: 1,
  })
  const bytes = Buffer.from(Array.from({ length: 600_000 }, (_, i) => i % 251))
  const device = connect({ host, port: relay.port })
  device.end(bytes)
  const back: Buffer[] = []
  for await (const chunk of device) back.push(chunk as Buffer)
  assert.ok(Buffer.concat(back).equals(bytes), 'it came back changed')
  assert.equal(relay.figures.resets, 0)
  await relay.stop()
  await gateway.stop()
})

test('a link that is reset is reset at both ends', async () => {
  const gateway = await echo()
  const conditions = { ...fair, reset: 1 }
  const relay = await relayStreams({
    host,
    port: 0,
    to: { host, port: gateway.port },
    conditions,
    seed: 1,
  })
  const device = connect({ host, port: relay.port })
  const failed = once(device, 'error')
  device.write('hello')
  assert.equal((await failed)[0].code, 'ECONNRESET')
  assert.equal(relay.figures.resets, 1)
  await relay.stop()
  await gateway.stop()
})

test('a link that fell silent is let go of when both ends have gone, and not before', async () => {
  const ended: (() => void)[] = []
  const gateway = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    ended.push(() => socket.end())
    socket.resume()
  })
  gateway.listen(0, host)
  await once(gateway, 'listening')
  const { port } = gateway.address() as { port: number }
  const conditions = { ...fair, flapMs: 0.001 }
  // By this seed the link dies in silence, and not by a reset.
  const relay = await relayStreams({ host, port: 0, to: { host, port }, conditions, seed: 1 })
  const device = connect({ host, port: relay.port, allowHalfOpen: true })
  device.on('error', () => {})
  const closed = new Promise<void>((resolve) => device.once('close', () => resolve()))
  device.write('hello')
  await until(() => relay.figures.silenced + relay.figures.resets === 1)
  assert.equal(relay.figures.silenced, 1)
  device.end()
  await until(() => ended.length === 1)
  assert.equal(device.destroyed, false)
  ended[0]!()
  await closed
  await relay.stop()
  gateway.close()
})

test('a device that goes away politely is seen to; a gateway that is not there resets it', async () => {
  const gateway = await echo()
  const relay = await relayStreams({
    host,
    port: 0,
    to: { host, port: gateway.port },
    conditions: fair,
    seed: 1,
  })
  const device = connect({ host, port: relay.port })
  device.write('hello')
  await once(device, 'data')
  // The gateway ends without a word later on, and this end is reset.
  device.on('error', () => {})
  const end = once([...gateway.sockets][0]!, 'end')
  device.end()
  await end
  await gateway.stop()
  const late = connect({ host, port: relay.port })
  await assert.rejects(once(late, 'close'), { code: 'ECONNRESET' })
  await relay.stop()
})

test('datagrams are answered through changing addresses', async () => {
  const addresses = new Set<number>()
  const gateway = createSocket('udp4')
  gateway.on('message', (bytes, { port, address }) => {
    addresses.add(port)
    gateway.send(bytes, port, address)
  })
  gateway.bind(0, host)
  await once(gateway, 'listening')
  const conditions = { ...fair, rebindMs: 1 }
  const relay = await relayDatagrams({
    host,
    port: 0,
    to: { host, port: gateway.address().port },
    conditions,
    seed: 1,
  })
  const device = createSocket('udp4')
  let answers = 0
  device.on('message', () => answers++)
  // An answer to an address that is no more never comes: so it asks until enough have come.
  while (answers < 5 || relay.figures.rebinds < 5) {
    device.send('hello', relay.port, host)
    await turn()
  }
  assert.ok(addresses.size > 1, 'one address only')
  device.close()
  await relay.stop()
  gateway.close()
})
