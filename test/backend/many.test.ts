import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backendBounds } from '../../src/backend/bounds.ts'
import { type ManyLine, PikeProblem, PikeUnreachable } from '../../src/backend/index.ts'
import { limits } from '../../src/contract/index.ts'
import { startGateway } from '../support/gateway-process.ts'
import { until } from '../support/turns.ts'
import { broken, fakeGateway, problem } from './fake-gateway.ts'
import { pikeFor } from './pike.ts'

const to = { device: 'SZ-1' }

/** Answers like a gateway, one line each; `last` instead of the rest after so many. */
const answering =
  (count = Number.POSITIVE_INFINITY, last?: object) =>
  ({ body }: { body: string }, response: import('node:http').ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    const lines = body.split('\n').filter((line) => line !== '')
    for (const [index, text] of lines.entries()) {
      if (index >= count) break
      const id = JSON.parse(text).idempotencyKey
      const answer = { line: index + 1, status: 202, id, commandStatus: 'queued' }
      response.write(`${JSON.stringify(answer)}\n`)
    }
    if (last !== undefined) response.write(`${JSON.stringify(last)}\n`)
    response.end()
  }

const ended = (line: number, status: number, code: string) => ({
  line,
  status,
  problem: { type: `/problems/${code}`, title: code, status, retryAfter: 0 },
})

test('what the gateway says of the call, and an answer cut short, make it go on with the lines unanswered', async (t) => {
  const fake = await fakeGateway(
    broken,
    problem(503, 'too-many-streams', {}, { 'retry-after': '0' }),
    answering(2, ended(3, 503, 'stopping')),
    answering(1, ended(2, 408, 'request-timeout')),
    answering(1, ended(2, 503, 'store-unavailable')),
    answering(1),
    answering(),
  )
  t.after(() => fake.stop())
  const lines = Array.from({ length: 9 }, (_, index) => ({ to, name: `n-${index}` }))
  const answers = []
  for await (const answer of fake.pike().sendMany(lines, { idempotencyKeyPrefix: 'job' }))
    answers.push(answer)
  assert.deepEqual(
    answers.map((answer) => [answer.line, answer.idempotencyKey, 'id' in answer && answer.id]),
    lines.map((_, index) => [index + 1, `job-${index + 1}`, `job-${index + 1}`]),
  )
  const names = fake.heard.map(({ body }) => body.trim().split('\n').length)
  assert.deepEqual(names, [9, 9, 9, 7, 6, 5, 4])
})

test('a key that is refused, tries that are over, and nobody there end it with an error', async (t) => {
  const fake = await fakeGateway(answering(1, ended(2, 401, 'unauthorized')))
  t.after(() => fake.stop())
  const lines = [
    { to, name: 'a' },
    { to, name: 'b' },
  ]
  const all = async (retry = {}) => {
    const seen: number[] = []
    try {
      const pike = fake.pike({ retry: { minMs: 1, maxMs: 1, ...retry } })
      for await (const { line } of pike.sendMany(lines)) seen.push(line)
    } catch (error) {
      return { seen, error }
    }
    return { seen }
  }
  const revoked = await all()
  assert.deepEqual(revoked.seen, [1])
  assert.ok(revoked.error instanceof PikeProblem && revoked.error.status === 401)
  fake.handlers = [broken]
  const { length } = fake.heard
  assert.ok((await all({ tries: 3 })).error instanceof PikeUnreachable)
  assert.equal(fake.heard.length, length + 3)
  await fake.stop()
  assert.ok((await all({ failFast: true })).error instanceof PikeUnreachable)
})

test('an error of the source comes after the answers to what it gave; leaving early closes it', async (t) => {
  const fake = await fakeGateway(answering())
  t.after(() => fake.stop())
  const why = new Error('the file broke')
  async function* failing(): AsyncGenerator<ManyLine> {
    yield { to, name: 'a' }
    throw why
  }
  const seen: number[] = []
  await assert.rejects(async () => {
    for await (const { line } of fake.pike().sendMany(failing())) seen.push(line)
  }, why)
  assert.deepEqual(seen, [1])

  let closed = false
  function* endless(): Generator<ManyLine> {
    try {
      for (;;) yield { to, name: 'a' }
    } finally {
      closed = true
    }
  }
  const gateway = await startGateway()
  t.after(() => gateway.stop())
  const pike = pikeFor(gateway)
  await pike.devices.put('SZ-1')
  for await (const { line } of pike.sendMany(endless())) if (line === 10) break
  assert.ok(closed)
})

test('answers come while lines are still being made, and lines are read no further than the bound', async (t) => {
  const gateway = await startGateway()
  t.after(() => gateway.stop())
  const pike = pikeFor(gateway)
  await pike.devices.put('SZ-1')
  // The next line only once the one before is answered: nothing may be held back on the way.
  let answered = 0
  async function* oneByOne(): AsyncGenerator<ManyLine> {
    for (let count = 0; count < 20; count++) {
      await until(() => answered >= count)
      yield { to, name: 'open', delivery: 'now' }
    }
  }
  for await (const answer of pike.sendMany(oneByOne())) {
    answered++
    assert.deepEqual([answer.line, answer.status], [answered, 200])
  }
  assert.equal(answered, 20)

  // Nobody takes the answers: the source is left alone, whatever it has.
  let made = 0
  function* endless(): Generator<ManyLine> {
    for (;;) {
      made++
      yield { to, name: 'open', payload: 'x'.repeat(2_000), delivery: 'now' }
    }
  }
  const answers = pike.sendMany(endless())
  await answers.next()
  let before = -1
  for (let still = 0; still < 200; still = made === before ? still + 1 : 0) {
    before = made
    await gateway.api('GET', '/healthz')
  }
  assert.ok(made <= backendBounds.linesMaxUnanswered + 2, `${made} lines read`)
  assert.ok(made > limits.linesMaxPending)
  await answers.return(undefined)
})

test('lines go on over a gateway that is stopped, and one that is killed', async (t) => {
  let gateway = await startGateway()
  t.after(() => gateway.stop())
  const pike = pikeFor(gateway)
  for (let number = 0; number < 8; number++) await pike.devices.put(`SZ-${number}`)
  const total = 4_000
  function* source(): Generator<ManyLine> {
    for (let count = 0; count < total; count++)
      yield { to: { device: `SZ-${count % 8}` }, name: 'open', payload: count }
  }
  const ids = new Set<string>()
  let line = 0
  for await (const answer of pike.sendMany(source())) {
    assert.equal(answer.line, ++line)
    assert.ok('id' in answer, JSON.stringify(answer))
    ids.add(answer.id)
    if (line !== 1_000 && line !== 2_500) continue
    if (line === 1_000) {
      const { dataDir, ports } = gateway
      await gateway.kill('SIGTERM')
      gateway = await startGateway({ dataDir, ports })
    } else {
      const { dataDir, ports } = gateway
      await gateway.kill()
      gateway = await startGateway({ dataDir, ports })
    }
  }
  assert.deepEqual([line, ids.size], [total, total])
  const figures = (await gateway.api('GET', '/metrics')).body as string
  assert.match(
    figures,
    new RegExp(`^pike_commands_accepted_total\\{app="default"\\} ${total}$`, 'm'),
  )
})

test('text is sent as it stands, with a key in front; blank lines count but are not answered', async (t) => {
  const fake = await fakeGateway(answering())
  t.after(() => fake.stop())
  const text = [
    '{"to":{"device":"SZ-1"},"name":"n","payload":12345678901234567890}',
    ' ',
    '{}',
    '{"idempotencyKey":"mine"}',
  ]
  const seen = []
  for await (const { line, idempotencyKey } of fake
    .pike()
    .sendMany(text, { idempotencyKeyPrefix: 'k' }))
    seen.push([line, idempotencyKey])
  assert.deepEqual(seen, [
    [1, 'k-1'],
    [3, 'k-3'],
    [4, 'mine'],
  ])
  assert.deepEqual(fake.heard[0]!.body.trim().split('\n'), [
    '{"idempotencyKey":"k-1","to":{"device":"SZ-1"},"name":"n","payload":12345678901234567890}',
    '{"idempotencyKey":"k-3"}',
    '{"idempotencyKey":"mine"}',
  ])
})
