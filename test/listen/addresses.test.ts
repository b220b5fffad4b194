import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Server, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { Addresses, addressKey } from '../../src/listen/addresses.ts'
import { Capacity } from '../../src/listen/capacity.ts'
import { turn } from '../support/turns.ts'

test('addresses of one machine are one: IPv4 however it is written, IPv6 by its first 64 bits', () => {
  for (const [address, key] of [
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:db8:7:1:aaaa::9', '2001:db8:7:1'],
    ['2001:db8:7:1::', '2001:db8:7:1'],
    ['2001:db8::7:1', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4'],
  ] as const) {
    assert.equal(addressKey(address), key)
  }
})

/** A socket that says where it comes from, and nothing else. */
const from = (remoteAddress: string | undefined): Socket =>
  Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress })

test('whatever comes and goes, nobody has more than may be, all of them neither, and what is gone is forgotten', () => {
  const max = 3
  const allMax = 5
  const where = fc.constantFrom('10.0.0.1', '::ffff:10.0.0.1', '10.0.0.2', 'fe80::1', undefined)
  fc.assert(
    fc.property(fc.array(fc.tuple(where, fc.nat(9))), (arrivals) => {
      const capacity = new Capacity(allMax)
      const addresses = new Addresses(max, capacity)
      const there: Socket[] = []
      let refused = 0
      for (const [address, leaving] of arrivals) {
        const socket = from(address)
        const before = there.filter(
          (one) => address !== undefined && keyOf(one) === addressKey(address),
        ).length
        const all = there.filter((one) => keyOf(one) !== undefined).length
        const admitted = addresses.admits(socket)
        assert.equal(admitted, address === undefined || (before < max && all < allMax))
        if (admitted) there.push(socket)
        else refused++
        const [leaver] = leaving < 3 ? there.splice(leaving, 1) : []
        leaver?.emit('close')
      }
      assert.equal(addresses.refusedTotal, refused)
      for (const one of there) one.emit('close')
      assert.equal(addresses.connections, 0)
      for (let n = 0; n < allMax; n++) assert.ok(capacity.enter(), 'all places are free again')
      assert.ok(!capacity.enter())
    }),
  )
})

const keyOf = ({ remoteAddress }: Socket): string | undefined =>
  remoteAddress === undefined ? undefined : addressKey(remoteAddress)

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('a server that is guarded does nothing with a connection too many, and takes one when another is gone', async (t) => {
  const server = createServer((_request, response) => response.end('here'))
  let seen = 0
  server.on('connection', () => seen++)
  const addresses = new Addresses(1, new Capacity(9))
  addresses.guard(server)
  const port = await listening(t, server)
  const first = connect(port, '127.0.0.1')
  t.after(() => first.destroy())
  await once(first, 'connect')
  const second = connect(port, '127.0.0.1')
  second.on('error', () => {})
  await new Promise((resolve) => second.on('close', resolve))
  assert.deepEqual([addresses.refusedTotal, seen], [1, 1])
  const [peer] = await Promise.all([
    once(server, 'request'),
    first.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'),
  ])
  assert.ok(peer, 'the first is served')
  first.destroy()
  for (let i = 0; i < 1_000 && addresses.connections > 0; i++) await turn()
  assert.equal(addresses.connections, 0)
})
