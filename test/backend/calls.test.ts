import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PikeBackend, PikeProblem, PikeUnreachable } from '../../src/backend/index.ts'
import { until } from '../support/turns.ts'
import { accepted, broken, fakeGateway, json, problem } from './fake-gateway.ts'

test('a command goes again after lost answers, 503, 507 and 429, with the same key and the same bytes', async (t) => {
  const fake = await fakeGateway(
    broken,
    problem(503, 'store-unavailable', {}, { 'retry-after': '0' }),
    problem(507, 'store-full', {}, { 'retry-after': '0' }),
    problem(429, 'over-quota', {}, { 'retry-after': '0' }),
    problem(500, 'internal'),
    json(202, accepted('c-1')),
  )
  t.after(() => fake.stop())
  const sent = await fake.pike().send('SZ-1', { name: 'open', payload: { door: 7 } })
  assert.deepEqual([sent.id, sent.ended], ['c-1', false])
  assert.equal(fake.heard.length, 6)
  const [first, ...others] = fake.heard
  for (const other of others) {
    assert.equal(other.headers['idempotency-key'], first!.headers['idempotency-key'])
    assert.equal(other.body, first!.body)
    assert.equal(other.path, '/v1/devices/SZ-1/commands')
  }
})

test('Retry-After is kept to; what does not fit into the time is given up at once, and says the key', async (t) => {
  const fake = await fakeGateway(problem(429, 'mailbox-full', {}, { 'retry-after': '3600' }))
  t.after(() => fake.stop())
  const asked = fake.pike().send('SZ-1', { name: 'open' }, { idempotencyKey: 'order-1' })
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof PikeProblem)
    assert.deepEqual(
      [error.status, error.code, error.retryAfterSeconds, error.idempotencyKey],
      [429, 'mailbox-full', 3600, 'order-1'],
    )
    assert.match(error.message, /Try again in 3600 s, with the same idempotency key/)
    return true
  })
  assert.equal(fake.heard.length, 1)
})

test('tries are bounded', async (t) => {
  const fake = await fakeGateway(broken)
  t.after(() => fake.stop())
  const retries: number[] = []
  const pike = fake.pike({
    retry: { minMs: 1, maxMs: 1, tries: 4, onRetry: ({ attempt }) => retries.push(attempt) },
  })
  await assert.rejects(pike.send('SZ-1', { name: 'open' }), (error) => {
    assert.ok(error instanceof PikeUnreachable && error.maybeDone)
    assert.ok(error.idempotencyKey)
    return true
  })
  assert.deepEqual([fake.heard.length, retries], [4, [1, 2, 3]])
})

test('what is wrong with a request is not repeated, and names each field', async (t) => {
  const errors = [{ in: 'body', path: '/ttl', message: 'must be >= 0' }]
  const fake = await fakeGateway(problem(400, 'invalid-request', { errors, detail: '/ttl' }))
  t.after(() => fake.stop())
  await assert.rejects(fake.pike().send('SZ-1', { name: 'open', ttl: -1 }), (error) => {
    assert.ok(error instanceof PikeProblem)
    assert.deepEqual(error.errors, errors)
    assert.equal(error.type, '/problems/invalid-request')
    return true
  })
  assert.equal(fake.heard.length, 1)
})

test('what shows a secret once is not repeated when its answer may be lost, but is when it was refused', async (t) => {
  const device = { device: 'SZ-1', secret: 'shown-this-once' }
  const fake = await fakeGateway(problem(503, 'stopping'), json(201, device))
  t.after(() => fake.stop())
  assert.equal((await fake.pike().devices.put('SZ-1')).secret, 'shown-this-once')
  for (const lost of [broken, problem(503, 'store-unavailable')]) {
    const { length } = fake.heard
    fake.handlers = [lost]
    await assert.rejects(fake.pike().devices.put('SZ-1'))
    await assert.rejects(fake.pike().devices.rotateSecret('SZ-1'))
    assert.equal(fake.heard.length, length + 2)
  }
  // With a secret of one's own nothing can be lost.
  fake.handlers = [broken, json(200, device)]
  await fake.pike().devices.put('SZ-1', { secret: 'my-own-secret-of-22-chars' })
})

test('what was removed by a try whose answer was lost is removed; what was never there is not', async (t) => {
  const fake = await fakeGateway(broken, problem(404, 'unknown-device'))
  t.after(() => fake.stop())
  assert.equal(await fake.pike().devices.remove('SZ-1'), true)
  assert.equal(await fake.pike().devices.remove('SZ-1'), false)
})

test('canceling after a lost answer knows its own doing from another end', async (t) => {
  const gone = (commandStatus: string) => problem(409, 'not-cancelable', { commandStatus })
  const command = { ...accepted('c-1'), status: 'canceled', ended: true }
  const fake = await fakeGateway(broken, gone('canceled'), json(200, command))
  t.after(() => fake.stop())
  assert.deepEqual(await fake.pike().cancel('c-1'), { canceled: true, command })
  fake.handlers = [gone('sent')]
  assert.deepEqual(await fake.pike().cancel('c-1'), { canceled: false, status: 'sent' })
})

test('waiting goes on over calls that end too early and a gateway that goes away, until it has ended', async (t) => {
  const open = { ...accepted('c-1'), ended: false }
  const done = { ...open, status: 'done', ended: true }
  const honoured = { 'preference-applied': 'wait=60' }
  const fake = await fakeGateway(
    json(202, accepted('c-1'), honoured),
    json(200, open, honoured),
    broken,
    problem(503, 'stopping'),
    json(200, done, honoured),
  )
  t.after(() => fake.stop())
  const sent = await fake.pike().send('SZ-1', { name: 'open' }, { waitSeconds: 600 })
  assert.deepEqual([sent.status, sent.ended], ['done', true])
  assert.deepEqual(
    fake.heard.map(({ method, headers }) => `${method} ${headers.prefer}`),
    ['POST wait=60', ...Array.from({ length: 4 }, () => 'GET wait=60')],
  )
})

test('a call that gets no answer ends by its time, and any by its signal, with its reason', async (t) => {
  const fake = await fakeGateway(() => {})
  t.after(() => fake.stop())
  const pike = fake.pike({ timeoutMs: 20, retry: { forMs: 0 } })
  await assert.rejects(
    pike.devices.get('SZ-1'),
    (error) => error instanceof PikeUnreachable && error.code === 'TIMEOUT' && error.maybeDone,
  )
  const controller = new AbortController()
  const why = new Error('enough')
  const { signal } = controller
  const patient = fake.pike()
  const asked = [
    patient.send('SZ-1', { name: 'open' }, { signal, waitSeconds: 60 }),
    patient.wait('c-1', 60, { signal }),
    patient.devices.list({ signal }).all(),
    patient.events({ signal }).open(),
    patient.sendMany([{ to: { device: 'SZ-1' }, name: 'open' }], { signal }).next(),
    patient.backup({ signal }).next(),
  ]
  await until(() => fake.heard.length >= asked.length + 1)
  controller.abort(why)
  for (const one of asked) await assert.rejects(one, why)
  await assert.rejects(patient.devices.get('SZ-1', { signal }), why)
})

test('pages follow one another, each read only when it is needed', async (t) => {
  const fake = await fakeGateway(
    json(200, { items: [{ device: 'a' }, { device: 'b' }], next: 'b' }),
    json(200, { items: [], next: 'c' }),
    json(200, { items: [{ device: 'd' }], next: null }),
  )
  t.after(() => fake.stop())
  const seen: string[] = []
  for await (const { device } of fake.pike().devices.list({ tag: 'berlin' })) {
    if (device === 'a') assert.equal(fake.heard.length, 1)
    seen.push(device)
  }
  assert.deepEqual(seen, ['a', 'b', 'd'])
  assert.deepEqual(
    fake.heard.map(({ path }) => path),
    [
      '/v1/devices?tag=berlin&limit=500',
      '/v1/devices?tag=berlin&after=b&limit=500',
      '/v1/devices?tag=berlin&after=c&limit=500',
    ],
  )
})

test('what is no gateway is said so', async (t) => {
  const fake = await fakeGateway((_heard, response) => response.end('<html>hello</html>'))
  t.after(() => fake.stop())
  await assert.rejects(fake.pike().devices.get('SZ-1'), /not answer in JSON/)
  fake.handlers = [(_heard, response) => response.writeHead(404).end('nothing here')]
  await assert.rejects(fake.pike().send('SZ-1', { name: 'x' }), /no answer of a Pike gateway/)
  assert.throws(() => new PikeBackend({ url: 'localhost:8080', key: 'k' }), /write it like http/)
  const { url } = fake
  await fake.stop()
  const pike = new PikeBackend({ url, key: 'k', retry: { failFast: true } })
  await assert.rejects(
    pike.devices.get('SZ-1'),
    (error) =>
      error instanceof PikeUnreachable &&
      !error.maybeDone &&
      /nobody answers at .*Is the gateway running/.test(error.message),
  )
})
