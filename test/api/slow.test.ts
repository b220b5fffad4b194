import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { apiBounds } from '../../src/api/bounds.ts'
import { limits } from '../../src/contract/index.ts'
import { turns, until } from '../support/turns.ts'
import { LineClient } from './line-client.ts'
import { RawClient } from './raw-client.ts'
import { World } from './world.ts'

async function listening(...options: Parameters<typeof World.open>): Promise<World> {
  const world = await World.open(...options)
  await world.device()
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  return world
}

const path = '/v1/devices/SZ-0042/commands'
const head = (key = 'key-all') =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n`
const underWay = async (world: World, count: number) => {
  await until(() => world.app.figures().bodies_under_way === count)
}

test('headers that do not come, or come byte by byte, are 408, and the connection ends', async () => {
  const times = { headersTimeoutMs: 60, timeoutsCheckMs: 20 }
  const world = await listening({}, { times })
  for (const bytes of ['', 'G', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX: ']) {
    const client = new RawClient(world.app)
    client.write(bytes)
    const crumbs = setInterval(() => bytes.length > 1 && client.write('a'), 5)
    await client.untilClosed()
    clearInterval(crumbs)
    assert.ok(
      client.statuses.every((status) => status === 408),
      client.text,
    )
    assert.ok(client.statuses.length <= 1)
  }
  await world.close()
})

test('a body that comes too slowly is 408 in time, whatever trickles in', async () => {
  const world = await listening()
  for (const framing of ['Content-Length: 1000\r\n\r\n', 'Transfer-Encoding: chunked\r\n\r\n']) {
    const client = new RawClient(world.app)
    client.write(`${head()}${framing}`)
    await underWay(world, 1)
    const steps = apiBounds.requestTimeoutMs / apiBounds.timeoutsCheckMs
    for (let step = 0; step < steps; step++) {
      assert.equal(client.closed, false)
      client.write(framing.startsWith('C') ? '{' : '1\r\n{\r\n')
      await turns(20)
      world.clock.advance(apiBounds.timeoutsCheckMs)
    }
    await client.untilClosed()
    assert.deepEqual(client.statuses, [408])
    assert.match(client.text, /\/problems\/request-timeout/)
  }
  assert.equal(world.gateway.submitted.length, 0)
  assert.deepEqual(world.logged, [])
  await world.close()
})

test('the body of a refused call is not waited for, and nothing is said twice', async () => {
  const world = await listening()
  for (const refused of [head('wrong'), head('key-events'), head().replace(path, '/nowhere')]) {
    const client = new RawClient(world.app)
    client.write(`${refused}Content-Length: 1000\r\n\r\n{`)
    await client.until(() => client.statuses.length === 1)
    world.clock.advance(apiBounds.requestTimeoutMs + apiBounds.timeoutsCheckMs)
    await client.untilClosed()
    assert.equal(client.statuses.length, 1)
    assert.ok([401, 403, 404].includes(client.statuses[0]!))
  }
  await world.close()
})

test('a slow body behind a held call is waited for from its turn on, and ends nothing before that', async () => {
  const world = await listening()
  const client = new RawClient(world.app)
  const held = head().replace('Content-Type', 'Prefer: wait=60\r\nContent-Type')
  client.write(`${held}Content-Length: 12\r\n\r\n{"name":"a"}`)
  await until(() => world.gateway.waiting !== 0)
  client.write(`${head()}Content-Length: 12\r\n\r\n{`)
  await until(() => world.app.figures().calls_in_pipeline !== 0)
  const slowMs = apiBounds.requestTimeoutMs + apiBounds.timeoutsCheckMs
  world.clock.advance(slowMs)
  await turns(20)
  assert.deepEqual(client.statuses, [])
  world.clock.advance(60_000 - slowMs)
  await client.until(() => client.statuses.length === 1)
  await underWay(world, 1)
  world.clock.advance(slowMs)
  await client.untilClosed()
  assert.deepEqual(client.statuses, [202, 408])
  assert.equal(world.gateway.submitted.length, 1)
  await world.close()
})

test('bodies under way have a bound: 429 for the app that fills it, nothing for the others', async () => {
  const world = await listening()
  await world.call('PUT', '/v1/devices/SZ-0042', { key: 'key-other', body: {} })
  const most = apiBounds.bodiesMaxBytes / 2 / limits.bodyMaxBytes
  const slow: RawClient[] = []
  const body = `Content-Length: ${limits.bodyMaxBytes}\r\n\r\n{`
  for (let n = 0; n < most; n++) {
    const client = new RawClient(world.app)
    client.write(head() + body)
    slow.push(client)
  }
  await underWay(world, most)
  await turns(20)
  const refused = new RawClient(world.app)
  refused.write(head() + body)
  await refused.until(() => refused.statuses.length === 1)
  assert.equal(refused.statuses[0], 429)
  assert.match(refused.text, /retry-after: 5/)
  assert.match(refused.text, /\/problems\/too-many-bodies/)
  refused.destroy()
  const other = new RawClient(world.app)
  other.write(`${head('key-other')}Content-Length: 12\r\n\r\n{"name":"a"}`)
  await other.until(() => other.statuses.length === 1)
  assert.equal(other.statuses[0], 202)
  other.destroy()
  for (const client of slow) client.destroy()
  while (world.app.figures().bodies_under_way! > 0) {
    await turns(20)
    world.clock.advance(apiBounds.timeoutsCheckMs)
  }
  const after = new RawClient(world.app)
  after.write(`${head()}Content-Length: 12\r\n\r\n{"name":"a"}`)
  await after.until(() => after.statuses.length === 1)
  assert.equal(after.statuses[0], 202)
  after.destroy()
  await world.close()
})

test('a bulk registration may last, and ends when nothing comes any more', async () => {
  const world = await listening()
  const client = new RawClient(world.app)
  const call = head().replace(path, '/v1/devices').replace('json', 'x-ndjson')
  client.write(`${call}Transfer-Encoding: chunked\r\n\r\n`)
  await underWay(world, 1)
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += apiBounds.timeoutsCheckMs) {
      await turns(2)
      world.clock.advance(apiBounds.timeoutsCheckMs)
    }
  }
  for (let n = 0; n < 3; n++) {
    await pass(apiBounds.lineIdleTimeoutMs / 2)
    client.write('1\r\n\n\r\n')
    await turns(20)
  }
  assert.equal(client.closed, false)
  await pass(apiBounds.lineIdleTimeoutMs + apiBounds.timeoutsCheckMs)
  await client.untilClosed()
  await world.close()
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** Buffers are given back some turns after they were collected. */
async function memory(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    collect()
    await turns(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** What abuse may leave behind, in this process, which is both ends. */
const leftMaxBytes = 8 * 1_048_576

for (const [megabytes, what, line] of [
  [64, 'one line that never ends', 'x'.repeat(65_536)],
  [16, 'nothing but line ends', '\n'.repeat(65_536)],
  [2, 'lines of nonsense', '{"a":[\n'.repeat(9_000)],
] as const) {
  test(`${megabytes} MB of ${what} leave the memory as it was`, async () => {
    const world = await listening()
    const before = await memory()
    const client = new LineClient(world)
    await client.until(() => client.response !== undefined)
    // The answers are read and thrown away, as they come.
    client.response!.removeAllListeners('data')
    client.response!.resume()
    for (let sent = 0; sent < megabytes * 1_048_576; sent += line.length) {
      if (!client.write(line)) await client.drained()
    }
    const during = (await memory()) - before
    assert.ok(during < leftMaxBytes * 2, `${during} bytes while it comes`)
    client.destroy()
    await until(() => world.app.lineCalls() <= 0)
    await turns(100)
    const left = (await memory()) - before
    assert.ok(left < leftMaxBytes, `${left} bytes left`)
    await world.close()
  })
}

test('a thousand strangers with garbage leave the memory as it was', async () => {
  const world = await listening()
  const before = await memory()
  for (let round = 0; round < 10; round++) {
    const clients = Array.from({ length: 100 }, (_, n) => {
      const client = new RawClient(world.app)
      client.write(
        n % 2 === 0
          ? `${head()}Content-Length: 100000\r\n\r\n${'['.repeat(50_000)}`
          : `GET /${n} HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(10_000)}`,
      )
      return client
    })
    await turns(20)
    for (const client of clients) client.destroy()
    for (const client of clients) await client.untilClosed()
    world.clock.advance(apiBounds.timeoutsCheckMs)
  }
  while (world.app.figures().bodies_under_way! > 0) {
    await turns(20)
    world.clock.advance(apiBounds.timeoutsCheckMs)
  }
  world.connections.length = 0
  await turns(100)
  const left = (await memory()) - before
  assert.ok(left < leftMaxBytes, `${left} bytes left`)
  assert.equal((await world.send({ name: 'open' })).status, 202)
  await world.close()
})
