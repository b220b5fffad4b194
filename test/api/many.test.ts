import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { SubmitRequest, Submitted } from '../../src/contract/index.ts'
import { turns, until } from '../support/turns.ts'
import { LineClient } from './line-client.ts'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open({ linesMaxPending: 16 })
  await world.app.listen({ port: 0, host: '127.0.0.1' })
})
after(() => world.close())
beforeEach(async () => {
  world.gateway.says = undefined
  world.gateway.fails = undefined
  world.gateway.submitted.length = 0
  for (const device of ['SZ-1', 'SZ-2']) {
    await world.call('DELETE', `/v1/devices/${device}`)
    await world.device(device)
  }
})

const open = (device = 'SZ-1') => ({ to: { device }, name: 'open', payload: { door: 7 } })

const inject = async (raw: string | Buffer, headers: Record<string, string> = {}) => {
  const answer = await world.call('POST', '/v1/commands', {
    raw,
    headers: { 'content-type': 'application/x-ndjson', ...headers },
  })
  return { ...answer, lines: linesOf(answer.text) }
}
const linesOf = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
const lines = (...values: object[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')

/** The gateway takes commands and answers when the test lets it. */
function holdGateway() {
  const { gateway } = world
  const waiting: { request: SubmitRequest; answer: (submitted?: Submitted) => void }[] = []
  const real = gateway.submit.bind(gateway)
  gateway.submit = (request) =>
    new Promise((resolve) =>
      waiting.push({
        request,
        answer: (submitted) => resolve(submitted ?? real(request)),
      }),
    )
  return {
    waiting,
    async until(count: number) {
      await until(() => waiting.length >= count)
    },
    release() {
      gateway.submit = real
    },
  }
}

test('each line is answered with its command, in the order of the lines', async () => {
  const {
    status,
    headers,
    lines: answers,
  } = await inject(lines(open(), { ...open('SZ-2'), delivery: 'now' }, open('SZ-2')))
  assert.equal(status, 200)
  assert.equal(headers['content-type'], 'application/x-ndjson')
  assert.deepEqual(
    answers.map(({ line, status, commandStatus }) => [line, status, commandStatus]),
    [
      [1, 202, 'queued'],
      [2, 200, 'undeliverable'],
      [3, 202, 'queued'],
    ],
  )
  const got = await world.call('GET', `/v1/commands/${answers[2].id}`)
  assert.deepEqual([got.body.device, got.body.name, got.body.askedBy], ['SZ-2', 'open', 'all'])
  assert.equal(Buffer.from(world.gateway.submitted[0]!.payload).toString(), '{"door":7}')
})

test('rule 29: no line is answered before it is kept, nor before those above it', async () => {
  const held = holdGateway()
  const client = new LineClient(world)
  client.write(open(), open('SZ-2'), open())
  await held.until(3)
  held.waiting[2]!.answer()
  held.waiting[1]!.answer()
  await turns(20)
  assert.deepEqual(client.answers, [])
  held.waiting[0]!.answer()
  await client.until(() => client.answers.length === 3)
  assert.deepEqual(
    client.answers.map(({ line }) => line),
    [1, 2, 3],
  )
  client.end()
  await client.all()
  held.release()
})

test('rule 29: a bad line fails alone, with what is wrong with it', async () => {
  const deep = `{"to":{"device":"SZ-1"},"name":"a","payload":${'['.repeat(70)}`
  const bad: [string | Buffer, number, string, string?][] = [
    ['{"to":{"device":"SZ-1"},"name":', 400, 'malformed-json'],
    [Buffer.from('7b22ff227d', 'hex'), 400, 'malformed-json'],
    [deep, 400, 'too-deep'],
    ['[]', 400, 'invalid-request', ''],
    ['{"name":"a"}', 400, 'invalid-request', '/to'],
    ['{"to":{},"name":"a"}', 400, 'invalid-request', '/to'],
    ['{"to":{"device":"SZ-1","tag":"t"},"name":"a"}', 400, 'invalid-request', '/to'],
    ['{"to":{"device":"a/b"},"name":"a"}', 400, 'invalid-request', '/to/device'],
    ['{"to":{"__proto__":"SZ-1"},"name":"a"}', 400, 'invalid-request', '/to/__proto__'],
    ['{"to":{"device":"SZ-1"},"name":"a","rate":5}', 400, 'invalid-request', '/rate'],
    [
      '{"to":{"device":"SZ-1"},"name":"a","stopAfterFailures":5}',
      400,
      'invalid-request',
      '/stopAfterFailures',
    ],
    [
      '{"to":{"tag":"t"},"name":"a","notBefore":"2126-01-01T00:00:00Z"}',
      400,
      'invalid-request',
      '/notBefore',
    ],
    [
      '{"to":{"device":"SZ-1"},"name":"a","idempotencyKey":"a b"}',
      400,
      'invalid-request',
      '/idempotencyKey',
    ],
    ['{"to":{"device":"nobody"},"name":"a"}', 404, 'unknown-device'],
    ['{"to":{"alias":"nobody"},"name":"a"}', 404, 'unknown-alias'],
    ['{"to":{"device":"SZ-1"},"name":"a","channel":"x"}', 400, 'invalid-request', '/channel'],
    [`{"to":{"device":"SZ-1"},"name":"${'x'.repeat(140_000)}"}`, 413, 'body-too-large'],
    [
      `{"to":{"device":"SZ-1"},"name":"a","payload":"${'x'.repeat(50_000)}"}`,
      413,
      'payload-too-large',
    ],
  ]
  const good = Buffer.from(lines(open()))
  const body = bad.flatMap(([line]) => [Buffer.from(line), Buffer.from('\n'), good])
  const { lines: answers } = await inject(Buffer.concat(body))
  assert.equal(answers.length, bad.length * 2)
  for (const [index, [line, status, type, path]] of bad.entries()) {
    const answer = answers[index * 2]
    const what = line.toString().slice(0, 80)
    assert.deepEqual([answer.line, answer.status], [index * 2 + 1, status], what)
    assert.equal(answer.problem.type, `/problems/${type}`, what)
    if (path !== undefined) assert.equal(answer.problem.errors[0].path, path, what)
    assert.equal(answers[index * 2 + 1].status, 202, `the line after ${what}`)
  }
})

test('blank lines are counted and passed over; the last line needs no end', async () => {
  const { lines: answers } = await inject(
    `\n${lines(open())} \t\r\n\n${JSON.stringify(open())}\r\n\n${JSON.stringify(open())}`,
  )
  assert.deepEqual(
    answers.map(({ line, status }) => [line, status]),
    [
      [2, 202],
      [5, 202],
      [7, 202],
    ],
  )
  assert.deepEqual((await inject('')).lines, [])
  assert.deepEqual((await inject('\n\n')).lines, [])
})

test('rule 28: keys are per line', async () => {
  const line = { ...open(), idempotencyKey: 'order-1' }
  const { lines: answers } = await inject(
    lines(line, line, { ...line, name: 'close' }, { ...line, idempotencyKey: 'order-2' }),
  )
  const [first, again, other, fresh] = answers
  assert.deepEqual([first.status, again.status, again.id], [202, 202, first.id])
  assert.deepEqual(
    [other.status, other.problem.type, other.problem.command],
    [409, '/problems/idempotency-conflict', first.id],
  )
  assert.notEqual(fresh.id, first.id)
  const { lines: later } = await inject(lines(line))
  assert.equal(later[0].id, first.id)
  const header = await inject(lines(line), { 'idempotency-key': 'order-3' })
  assert.deepEqual([header.status, header.body.errors[0].path], [400, '/idempotency-key'])
})

test('a line whose command is forgotten says so, with its id', async () => {
  const id = 'SZ-0042:main:1:1'
  world.gateway.says = { kind: 'forgotten', id }
  const { lines: answers } = await inject(lines({ ...open(), idempotencyKey: 'order-9' }))
  world.gateway.says = undefined
  assert.deepEqual(
    [answers[0].status, answers[0].problem.type, answers[0].problem.command],
    [409, '/problems/command-forgotten', id],
  )
})

test('a line to a tag is a broadcast of its own', async () => {
  await world.device('SZ-1', { tags: ['berlin'] })
  const { lines: answers } = await inject(
    lines({ to: { tag: 'berlin' }, name: 'restart', rate: 5 }, { to: { tag: 'none' }, name: 'a' }),
  )
  assert.deepEqual(
    [answers[0].status, answers[0].devices, answers[1].status, answers[1].problem.type],
    [202, 1, 404, '/problems/unknown-tag'],
  )
  const report = await world.call('GET', `/v1/broadcasts/${answers[0].broadcast}`)
  assert.deepEqual([report.body.name, report.body.rate], ['restart', 5])
})

test('only lines are taken here, and lines only here', async () => {
  const json = await world.call('POST', '/v1/commands', { body: open() })
  assert.deepEqual([json.status, json.body.type], [415, '/problems/unsupported-media-type'])
  const single = await world.call('POST', '/v1/devices/SZ-1/commands', {
    raw: '{"name":"a"}',
    headers: { 'content-type': 'application/x-ndjson' },
  })
  assert.equal(single.status, 415)
})

test('lines of one device keep their order, by whatever name it is called', async () => {
  await world.call('PUT', '/v1/aliases/site-1', { body: { device: 'SZ-1' } })
  const { names } = world.engine
  const { gateway } = world
  const [device, submit] = [names.device.bind(names), gateway.submit.bind(gateway)]
  // A store that holds what was looked for in memory, and lets go of it every few commands.
  const held = new Set<string>()
  names.device = ((app: string, id: string) => {
    if (held.has(id)) return device(app, id)
    return new Promise((resolve) =>
      setImmediate(() =>
        setImmediate(() => {
          held.add(id)
          resolve(device(app, id))
        }),
      ),
    )
  }) as typeof names.device
  gateway.submit = (request) => {
    if (gateway.submitted.length % 7 === 6) setImmediate(() => held.clear())
    return submit(request)
  }
  const all = Array.from({ length: 30 }, (_, n) => ({
    to: n % 4 === 0 ? { alias: 'site-1' } : { device: 'SZ-1' },
    name: `n${n}`,
  }))
  const { lines: answers } = await inject(lines(...all))
  names.device = device
  gateway.submit = submit
  const offsets = answers.map(({ id }) => Number(id.split(':')[3]))
  assert.deepEqual(
    offsets,
    [...offsets].sort((a, b) => a - b),
  )
  assert.equal(new Set(offsets).size, 30)
})

test('at most linesMaxPending lines are read ahead of their answers', async () => {
  const held = holdGateway()
  const client = new LineClient(world)
  client.write(...Array.from({ length: 100 }, () => open()))
  client.end()
  await held.until(16)
  await turns(50)
  assert.equal(held.waiting.length, 16)
  held.waiting[0]!.answer()
  await held.until(17)
  held.release()
  for (const { answer } of held.waiting) answer()
  const answers = await client.all()
  assert.deepEqual(
    answers.map(({ line, status }) => [line, status]),
    Array.from({ length: 100 }, (_, n) => [n + 1, 202]),
  )
})

test('over the quota lines wait, and none overtakes another', async () => {
  const client = new LineClient(world)
  const { gateway } = world
  const real = gateway.submit.bind(gateway)
  let tokens = 3
  const names: string[] = []
  gateway.submit = async (request) => {
    if (tokens === 0) return { kind: 'limited', retryAfterMs: 1_000 }
    tokens--
    names.push(request.name)
    return real(request)
  }
  await world.engine.names.putApp({
    app: 'default',
    createdAtMs: 0,
    quota: { commandsPerSecond: 3 },
  })
  client.write(...Array.from({ length: 10 }, (_, n) => ({ ...open(), name: `n${n}` })))
  client.end()
  for (const [answered, more] of [
    [3, 4],
    [7, 5],
  ] as const) {
    await client.until(() => client.answers.length === answered)
    await turns(20)
    assert.equal(client.answers.length, answered)
    tokens = more
    world.clock.advance(1_000)
  }
  const answers = await client.all()
  assert.deepEqual(
    answers.map(({ status }) => status),
    Array.from({ length: 10 }, () => 202),
  )
  assert.deepEqual(
    names,
    Array.from({ length: 10 }, (_, n) => `n${n}`),
  )
  gateway.submit = real
  await world.engine.names.putApp({ app: 'default', createdAtMs: 0 })
})

test('a caller who leaves early: what was read is kept, the rest is not', async () => {
  await world.device('SZ-left')
  const held = holdGateway()
  const client = new LineClient(world)
  client.write(...Array.from({ length: 40 }, () => open('SZ-left')))
  await held.until(16)
  client.destroy()
  await until(() => world.app.lineCalls() <= 0)
  for (const { answer } of held.waiting) answer()
  held.release()
  let kept = 0
  while (kept < 16) {
    const page = await world.call('GET', '/v1/devices/SZ-left/commands?limit=100')
    kept = page.body.items.length
  }
  assert.equal(kept, 16)
  assert.equal(world.logged.length, 0)
})

test('our own failure is of one line', async () => {
  world.gateway.fails = new Error('secret inside')
  const { lines: answers, text } = await inject(lines(open()))
  assert.deepEqual([answers[0].status, answers[0].problem.type], [500, '/problems/internal'])
  assert.ok(!text.includes('secret'))
  world.gateway.fails = undefined
  world.gateway.says = {
    kind: 'full',
    depth: { commands: 1, bytes: 1, oldestAtMs: 0 },
    retryAfterMs: 4_200,
  }
  const full = await inject(lines(open()))
  assert.deepEqual([full.lines[0].status, full.lines[0].problem.retryAfter], [429, 5])
})
