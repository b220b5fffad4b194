import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { apiBounds } from '../../src/api/bounds.ts'
import type { Names } from '../../src/contract/index.ts'
import { LineCutter, tooLong } from '../../src/listen/lines.ts'
import { turn, turns, until } from '../support/turns.ts'
import { LineClient } from './line-client.ts'
import { World } from './world.ts'

const open = { to: { device: 'SZ-1' }, name: 'open' }

async function listening(...options: Parameters<typeof World.open>): Promise<World> {
  const world = await World.open(...options)
  await world.device('SZ-1')
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  return world
}

test('a server that stops answers what it read and says from where on it read nothing', async () => {
  const world = await listening()
  const client = new LineClient(world)
  client.write(open, open)
  await client.until(() => client.answers.length === 2)
  const real = world.gateway.submit.bind(world.gateway)
  let go: (() => void) | undefined
  world.gateway.submit = (request) =>
    new Promise((resolve) => {
      go = () => resolve(real(request))
    })
  client.write(open)
  while (go === undefined) await turn()
  const closing = world.close()
  client.write(open)
  go()
  const answers = await client.all()
  assert.equal(client.broken, false)
  assert.deepEqual(
    answers.map(({ line, status }) => [line, status]),
    [
      [1, 202],
      [2, 202],
      [3, 202],
      [4, 503],
    ],
  )
  assert.deepEqual(
    [answers[3]!.problem.type, answers[3]!.problem.retryAfter],
    ['/problems/stopping', apiBounds.retryAfterSeconds],
  )
  client.end()
  await closing
})

test('a server that stops keeps nothing of what waits for the quota, and says so', async () => {
  const world = await listening()
  world.gateway.says = { kind: 'limited', retryAfterMs: 60_000 }
  const client = new LineClient(world)
  client.write(open, open, open)
  client.end()
  await until(() => world.gateway.submitted.length !== 0)
  await turns(20)
  const closing = world.close()
  const answers = await client.all()
  assert.ok(answers.length > 0)
  for (const { status, problem } of answers)
    assert.deepEqual([status, problem.type], [503, '/problems/stopping'])
  await closing
})

test('a call in which nothing moves ends where it stands; one that waits for us does not', async () => {
  const world = await listening()
  const client = new LineClient(world)
  client.write(open)
  await client.until(() => client.answers.length === 1)
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += apiBounds.timeoutsCheckMs) {
      world.clock.advance(apiBounds.timeoutsCheckMs)
      await turn()
    }
  }
  await pass(apiBounds.lineIdleTimeoutMs / 2)
  client.write('\n')
  await pass(apiBounds.lineIdleTimeoutMs - apiBounds.timeoutsCheckMs)
  assert.equal(client.ended, false)
  const real = world.gateway.submit.bind(world.gateway)
  let go: (() => void) | undefined
  world.gateway.submit = (request) =>
    new Promise((resolve) => {
      go = () => resolve(real(request))
    })
  client.write(open)
  while (go === undefined) await turn()
  await pass(apiBounds.lineIdleTimeoutMs * 3)
  assert.equal(client.ended, false)
  go()
  await client.until(() => client.answers.length === 2)
  await pass(apiBounds.lineIdleTimeoutMs + apiBounds.timeoutsCheckMs)
  const answers = await client.all()
  assert.deepEqual(
    answers.map(({ line, status, problem }) => [line, status, problem?.type]),
    [
      [1, 202, undefined],
      [3, 202, undefined],
      [4, 408, '/problems/request-timeout'],
    ],
  )
  client.end()
  await world.close()
})

test('who does not read answers is not read either, and goes on when they do', async () => {
  const world = await listening()
  const client = new LineClient(world)
  await client.until(() => client.response !== undefined)
  client.response!.pause()
  const total = 150_000
  const block = Array.from({ length: 500 }, () => '{"to":{"device":"x"}}\n').join('')
  for (let written = 0; written < total; written += 500) client.write(block)
  client.end()
  // Until the server has read nothing in many turns.
  const connection = world.connections.at(-1)!
  for (let still = 0, before = -1; still < 200; before = connection.bytesRead) {
    await turn()
    still = connection.bytesRead === before ? still + 1 : 0
  }
  assert.ok(connection.bytesRead < (total / 500) * block.length, 'not all is read')
  client.response!.resume()
  const answers = await client.all()
  assert.equal(answers.length, total)
  assert.deepEqual([answers[0]!.status, answers.at(-1)!.line], [400, total])
  await world.close()
})

test('who reads no answers for a minute is cut off', async () => {
  const world = await listening()
  const client = new LineClient(world)
  await client.until(() => client.response !== undefined)
  client.response!.pause()
  const block = Array.from({ length: 500 }, () => '{"to":{"device":"x"}}\n').join('')
  for (let written = 0; written < 150_000; written += 500) client.write(block)
  const connection = world.connections.at(-1)!
  for (let still = 0, before = -1; still < 200; before = connection.bytesRead) {
    await turn()
    still = connection.bytesRead === before ? still + 1 : 0
  }
  for (let i = 0; i < 40; i++) world.clock.advance(apiBounds.timeoutsCheckMs)
  while (!connection.destroyed || world.app.lineCalls() > 0) await turn()
  client.destroy()
  await world.close()
})

test('a revoked key sends no more', async () => {
  const world = await listening()
  await world.key('default', 'leaving', ['commands'])
  const client = new LineClient(world, { authorization: 'Bearer key-leaving' })
  client.write(open)
  await client.until(() => client.answers.length === 1)
  await world.engine.names.removeKey('default', 'leaving')
  world.clock.advance(apiBounds.streamHeartbeatMs)
  const answers = await client.all()
  assert.deepEqual(
    [answers.length, answers[1]!.line, answers[1]!.problem.type],
    [2, 2, '/problems/unauthorized'],
  )
  client.end()
  await world.close()
})

test('the line after a revocation is not given any more, nor one that was being looked up', async () => {
  const world = await listening()
  await world.key('default', 'leaving', ['commands'])
  const authorization = 'Bearer key-leaving'
  const client = new LineClient(world, { authorization })
  client.write(open)
  await client.until(() => client.answers.length === 1)
  await world.engine.names.removeKey('default', 'leaving')
  client.write(open)
  const [, last] = await client.all()
  assert.deepEqual([last!.line, last!.problem.type], [2, '/problems/unauthorized'])
  client.end()

  await world.key('default', 'demoted', ['commands'])
  let looked: (() => void) | undefined
  const names: Names = world.engine.names
  const real = names.device.bind(names)
  names.device = (app, device) =>
    new Promise((resolve) => {
      looked = () => resolve(real(app, device))
    })
  const other = new LineClient(world, { authorization: 'Bearer key-demoted' })
  other.write(open)
  while (looked === undefined) await turn()
  const kept = world.gateway.submitted.length
  await world.key('default', 'demoted', ['events'])
  looked()
  const [refused] = await other.all()
  assert.deepEqual([refused!.line, refused!.problem.type], [1, '/problems/unauthorized'])
  assert.equal(world.gateway.submitted.length, kept)
  other.end()
  names.device = real
  await world.close()
})

test('what waits for the quota is not given once its key is revoked', async () => {
  const world = await listening()
  await world.key('default', 'leaving', ['commands'])
  world.gateway.says = { kind: 'limited', retryAfterMs: 1_000 }
  const client = new LineClient(world, { authorization: 'Bearer key-leaving' })
  client.write(open, open)
  await until(() => world.gateway.submitted.length !== 0)
  await turns(20)
  const { length } = world.gateway.submitted
  await world.engine.names.removeKey('default', 'leaving')
  world.gateway.says = undefined
  world.clock.advance(1_000)
  const answers = await client.all()
  for (const { problem } of answers) assert.equal(problem.type, '/problems/unauthorized')
  assert.equal(world.gateway.submitted.length, length)
  client.end()
  await world.close()
})

test('more calls than may be are refused, with when to come back', async () => {
  const world = await listening({ lineCallsMax: 1 })
  const client = new LineClient(world)
  await client.until(() => client.response !== undefined)
  const headers = { 'content-type': 'application/x-ndjson' }
  const refused = await world.call('POST', '/v1/commands', { raw: '', headers })
  assert.deepEqual(
    [refused.status, refused.body.type, refused.headers['retry-after']],
    [503, '/problems/too-many-streams', '5'],
  )
  client.end()
  await client.all()
  await until(() => world.app.lineCalls() <= 0)
  const taken = await world.call('POST', '/v1/commands', { raw: '', headers })
  assert.equal(taken.status, 200)
  await world.close()
})

test('of the calls that may be, one app has half at most, and the others the rest', async () => {
  const world = await listening({ lineCallsMax: 4 })
  const headers = { 'content-type': 'application/x-ndjson' }
  const clients = [new LineClient(world), new LineClient(world)]
  for (const client of clients) await client.until(() => client.response !== undefined)
  const ask = (key: string) => world.call('POST', '/v1/commands', { raw: '', headers, key })
  assert.equal((await ask('key-all')).body.type, '/problems/too-many-streams')
  assert.equal((await ask('key-other')).status, 200)
  for (const client of clients) {
    client.end()
    await client.all()
  }
  await until(() => world.app.lineCalls() <= 0)
  assert.equal((await ask('key-all')).status, 200)
  await world.close()
})

test('lines are cut the same however they arrive', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 12 }).map((text) => text.replaceAll('\n', ' '))),
      fc.boolean(),
      fc.array(fc.nat(20)),
      (texts, ends, sizes) => {
        const bytes = Buffer.from(texts.join('\n') + (ends ? '\n' : ''))
        const cutter = new LineCutter(10)
        const found: (string | typeof tooLong)[] = []
        const take = (line: Buffer | typeof tooLong | undefined) => {
          if (line !== undefined) found.push(line === tooLong ? line : line.toString())
          return line !== undefined
        }
        let at = 0
        for (const size of [...sizes, bytes.length]) {
          cutter.feed(bytes.subarray(at, at + size))
          at += size
          while (take(cutter.next()));
        }
        take(cutter.last())
        const expected = bytes.toString().split('\n')
        if (expected.at(-1) === '') expected.pop()
        assert.deepEqual(
          found,
          expected.map((text) => (Buffer.byteLength(text) > 10 ? tooLong : text)),
        )
      },
    ),
  )
})
