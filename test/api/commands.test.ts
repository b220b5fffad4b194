import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { apiBounds } from '../../src/api/bounds.ts'
import { StoreUnavailable } from '../../src/contract/index.ts'
import { until } from '../support/turns.ts'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open()
})
after(() => world.close())
beforeEach(async () => {
  world.gateway.says = undefined
  world.gateway.fails = undefined
  world.gateway.submitted.length = 0
  await world.call('DELETE', '/v1/devices/SZ-0042')
  await world.device('SZ-0042', { channels: { media: { maxCommands: 2 } } })
})

test('a kept command is 202 with its place and deadline, and Location leads to it', async () => {
  const sent = await world.send({ name: 'open', payload: { door: 7 }, ttl: 30, channel: 'urgent' })
  assert.equal(sent.status, 202)
  const { id, device, channel, status, expiresAt } = sent.body
  assert.deepEqual(
    { device, channel, status },
    { device: 'SZ-0042', channel: 'urgent', status: 'queued' },
  )
  assert.equal(Date.parse(expiresAt), world.clock.nowMs() + 30_000)
  assert.equal(sent.headers.location, `/v1/commands/${id}`)
  const got = await world.call('GET', sent.headers.location as string)
  assert.equal(got.status, 200)
  assert.equal(got.body.ended, false)
  assert.deepEqual(got.body.timeline, [{ status: 'queued', at: got.body.acceptedAt }])
})

test('rule 5: a now without a link is 200 with its outcome, never a 4xx', async () => {
  const sent = await world.send({ name: 'open', delivery: 'now' })
  assert.equal(sent.status, 200)
  assert.deepEqual(
    { status: sent.body.status, reason: sent.body.reason, ended: sent.body.ended },
    { status: 'undeliverable', reason: 'no-link', ended: true },
  )
})

test('rule 9: the name of the key that asked is in the command', async () => {
  const sent = await world.send({ name: 'open' }, { key: 'key-commands' })
  const got = await world.call('GET', `/v1/commands/${sent.body.id}`)
  assert.equal(got.body.askedBy, 'commands')
})

test('every field reaches the gateway in its own unit', async () => {
  await world.send({
    name: 'öffnen',
    payload: null,
    delivery: 'queue',
    ttl: 1.5,
    expect: 'reply',
    replyTimeout: 90,
    channel: 'media',
    collapse: 'k',
  })
  const { payload, ...rest } = world.gateway.submitted[0]!
  assert.equal(Buffer.from(payload).toString(), 'null')
  assert.deepEqual(rest, {
    app: 'default',
    to: { device: 'SZ-0042' },
    channel: 'media',
    name: 'öffnen',
    contentType: 'application/json',
    delivery: 'queue',
    expect: 'reply',
    ttlMs: 1_500,
    replyTimeoutMs: 90_000,
    collapse: 'k',
    notBeforeMs: undefined,
    callback: undefined,
    traceparent: undefined,
    idempotency: undefined,
    patient: false,
    askedBy: 'all',
  })
})

for (const [what, raw, payload] of [
  [
    'its own text',
    '{"name":"a", "payload" : {"n": 12345678901234567890, "a":1,"a":2} }',
    '{"n": 12345678901234567890, "a":1,"a":2}',
  ],
  [
    '__proto__ and constructor',
    '{"payload":{"__proto__":{"admin":true},"constructor":1},"name":"a"}',
    '{"__proto__":{"admin":true},"constructor":1}',
  ],
  [
    'a payload inside the payload',
    '{"name":"a","payload":{"payload":[{"payload":1}]},"ttl":5}',
    '{"payload":[{"payload":1}]}',
  ],
  ['the last of two', '{"payload":1,"name":"a","payload":2}', '2'],
  ['a name spelled with an escape', '{"name":"a","pay\\u006coad":{"x":1}}', '{"x":1}'],
  ['brackets and quotes in strings', '{"name":"a","payload":"}],\\"{[\\\\"}', '"}],\\"{[\\\\"'],
  ['none', '{"name":"a"}', ''],
] as const) {
  test(`a payload is carried as it was written: ${what}`, async () => {
    const sent = await world.call('POST', '/v1/devices/SZ-0042/commands', { raw })
    assert.equal(sent.status, 202)
    assert.equal(Buffer.from(world.gateway.submitted[0]!.payload).toString(), payload)
    assert.equal(({} as { admin?: boolean }).admin, undefined)
  })
}

test('bytes go as base64 with their content type', async () => {
  await world.send({ name: 'a', payloadBase64: 'AAH/', contentType: 'image/png' })
  await world.send({ name: 'a', payloadBase64: '' })
  const [png, empty] = world.gateway.submitted
  assert.deepEqual([...png!.payload], [0, 1, 255])
  assert.equal(png!.contentType, 'image/png')
  assert.equal(empty!.contentType, 'application/octet-stream')
  assert.equal(empty!.payload.length, 0)
})

test('a reply comes back with its payload: JSON as it was, bytes as base64, false JSON too', async () => {
  for (const [payload, contentType, member] of [
    ['{"open": true}', 'application/json', '"payload":{"open": true}'],
    [
      '{"open": tr',
      'application/json',
      '"payloadBase64":"eyJvcGVuIjogdHI=","contentType":"application/json"',
    ],
    ['\x00\xff', 'application/octet-stream', '"payloadBase64"'],
    ['', 'application/json', '"status":"done"}'],
  ] as const) {
    const { body } = await world.send({ name: 'open', expect: 'reply' })
    await world.gateway.end('default', body.id, 'done', {
      status: 'done',
      payload: Buffer.from(payload, 'latin1'),
      contentType,
    })
    const got = await world.call('GET', `/v1/commands/${body.id}`)
    assert.equal(got.body.status, 'done')
    assert.ok(got.text.includes(member), got.text)
  }
})

test('rule 8: late proof follows the end in the timeline, and the outcome stays', async () => {
  const { body } = await world.send({ name: 'open', expect: 'reply' })
  await world.gateway.end('default', body.id, 'in-doubt')
  const step = {
    status: 'failed',
    reason: 'jammed',
    late: true,
    atMs: world.clock.nowMs(),
  } as const
  await new Promise((settled) =>
    world.engine.mailbox.settle(
      'default/SZ-0042/main',
      { changes: [], late: [{ offset: body.offset, step }] },
      settled,
    ),
  )
  const at = new Date(step.atMs).toISOString()
  const got = await world.call('GET', `/v1/commands/${body.id}`)
  assert.equal(got.body.status, 'in-doubt')
  assert.deepEqual(got.body.timeline, [
    { status: 'queued', at },
    { status: 'in-doubt', at },
    { status: 'failed', at, reason: 'jammed', late: true },
  ])
  const page = await world.call('GET', '/v1/devices/SZ-0042/commands?status=in-doubt')
  assert.deepEqual(page.body.items[0].timeline, got.body.timeline)
})

test('Prefer: wait holds the call until the command has ended', async () => {
  const asked = world.send({ name: 'open' }, { headers: { prefer: 'respond-async, wait=10' } })
  await until(() => world.gateway.waiting !== 0)
  const page = await world.call('GET', '/v1/devices/SZ-0042/commands')
  await world.gateway.end('default', page.body.items[0].id, 'delivered')
  const answer = await asked
  assert.equal(answer.status, 200)
  assert.equal(answer.body.status, 'delivered')
  assert.equal(answer.headers['preference-applied'], 'wait=10')
})

test('Prefer: wait is over when its time is, and capped', async () => {
  const asked = world.send({ name: 'open' }, { headers: { prefer: 'wait=86400' } })
  await until(() => world.gateway.waiting !== 0)
  world.clock.advance(60_000)
  const answer = await asked
  assert.equal(answer.status, 202)
  assert.equal(answer.headers['preference-applied'], 'wait=60')
})

test('what Prefer says beyond understanding is passed over', async () => {
  for (const prefer of ['wait', 'wait=-1', 'wait=soon', 'await=5', 'handling=lenient']) {
    const answer = await world.send({ name: 'open' }, { headers: { prefer } })
    assert.equal(answer.status, 202, prefer)
    assert.equal(answer.headers['preference-applied'], undefined)
  }
})

test('beyond waitersMax a call is answered at once', async () => {
  const full = await World.open({ waitersMax: 0 })
  await full.device()
  const answer = await full.send({ name: 'open' }, { headers: { prefer: 'wait=10' } })
  assert.equal(answer.status, 202)
  assert.equal(answer.headers['preference-applied'], undefined)
  await full.close()
})

test('closing lets held calls go with what is known', async () => {
  const closing = await World.open()
  await closing.device()
  const asked = closing.send({ name: 'open' }, { headers: { prefer: 'wait=60' } })
  await until(() => closing.gateway.waiting !== 0)
  await closing.close()
  assert.equal((await asked).status, 202)
})

test('rule 28: one key, one command, whatever the answers; another body is a conflict', async () => {
  const headers = { 'idempotency-key': 'order-77' }
  const body = { name: 'open', payload: { door: 7 } }
  const [first, again, third] = await Promise.all([
    world.send(body, { headers }),
    world.send(body, { headers }),
    world.send(body, { headers, key: 'key-commands' }),
  ])
  assert.deepEqual(
    [first.status, again.status, third.status, again.body.id, third.body.id],
    [202, 202, 202, first.body.id, first.body.id],
  )
  const other = await world.send({ name: 'open', payload: { door: 8 } }, { headers })
  assert.equal(other.status, 409)
  assert.equal(other.body.type, '/problems/idempotency-conflict')
  assert.equal(other.body.command, first.body.id)
  await world.gateway.end('default', first.body.id, 'delivered')
  const late = await world.send(body, { headers })
  assert.deepEqual([late.status, late.body.id, late.body.status], [200, first.body.id, 'delivered'])
})

test('rule 28: the route is part of what a key stands for', async () => {
  await world.device('SZ-0043')
  const headers = { 'idempotency-key': 'order-78' }
  await world.send({ name: 'open' }, { headers })
  await world.send({ name: 'open' }, { headers, device: 'SZ-0043' })
  const [one, two] = world.gateway.submitted
  assert.notEqual(one!.idempotency!.hash, two!.idempotency!.hash)
})

test('an idempotency key of a shape nobody can mean is named', async () => {
  for (const key of ['', 'a b', 'x'.repeat(256), 'ü']) {
    const answer = await world.send({ name: 'a' }, { headers: { 'idempotency-key': key } })
    assert.equal(answer.status, 400)
    assert.deepEqual(answer.body.errors[0].path, '/idempotency-key')
  }
})

test('what submit refuses is told as a problem, with when to come back', async () => {
  const depth = { commands: 1_000, bytes: 77, oldestAtMs: world.clock.nowMs() }
  for (const [says, status, type, retryAfter] of [
    [{ kind: 'unknown-device' }, 404, 'unknown-device', undefined],
    [{ kind: 'device-disabled' }, 409, 'device-disabled', undefined],
    [{ kind: 'full', depth, retryAfterMs: 4_200 }, 429, 'mailbox-full', '5'],
    [{ kind: 'conflict', id: 'x' }, 409, 'idempotency-conflict', undefined],
    [{ kind: 'forgotten', id: 'a:main:1:1' }, 409, 'command-forgotten', undefined],
    [{ kind: 'unavailable', full: true }, 507, 'store-full', '5'],
    [{ kind: 'unavailable', full: false }, 503, 'store-unavailable', '5'],
  ] as const) {
    world.gateway.says = says
    const answer = await world.send({ name: 'open' })
    assert.equal(answer.status, status)
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
    assert.equal(answer.body.type, `/problems/${type}`)
    assert.equal(answer.headers['retry-after'], retryAfter)
    if (status === 429) {
      const oldestAt = new Date(world.clock.nowMs()).toISOString()
      assert.deepEqual(answer.body.mailbox, { commands: 1_000, bytes: 77, oldestAt })
    }
  }
})

test('a full mailbox of its own bound is 429', async () => {
  for (let i = 0; i < 2; i++) await world.send({ name: 'play', channel: 'media' })
  assert.equal((await world.send({ name: 'play', channel: 'media' })).status, 429)
})

test('our own failure is 500 that says nothing of the inside, and is logged', async () => {
  world.gateway.fails = new Error('secret inside')
  const answer = await world.send({ name: 'open' })
  assert.equal(answer.status, 500)
  assert.ok(!answer.text.includes('secret'))
  assert.equal(world.logged.length, 1)
  world.gateway.fails = new StoreUnavailable(true)
  assert.equal((await world.send({ name: 'open' })).status, 507)
})

test('rule 10: canceling ends what is unsent; what has ended answers with its status', async () => {
  const { body } = await world.send({ name: 'open' })
  const canceled = await world.call('DELETE', `/v1/commands/${body.id}`, {
    headers: { 'content-type': 'application/json' },
  })
  assert.deepEqual([canceled.status, canceled.body.status], [200, 'canceled'])
  const again = await world.call('DELETE', `/v1/commands/${body.id}`)
  assert.deepEqual(
    [again.status, again.body.type, again.body.commandStatus],
    [409, '/problems/not-cancelable', 'canceled'],
  )
})

test('explain says why, with the command', async () => {
  const { body } = await world.send({ name: 'open' })
  const answer = await world.call('GET', `/v1/commands/${body.id}/explain`)
  assert.equal(answer.status, 200)
  assert.deepEqual(
    [answer.body.code, answer.body.command.id, answer.body.nextAt],
    ['no-link', body.id, body.expiresAt],
  )
})

test('history is newest first, by status, in pages', async () => {
  const ids: string[] = []
  for (let i = 0; i < 3; i++) {
    world.clock.advance(1_000)
    ids.unshift((await world.send({ name: `c${i}` })).body.id)
  }
  await world.gateway.end('default', ids[1]!, 'delivered')
  const read = async (query: string) =>
    (await world.call('GET', `/v1/devices/SZ-0042/commands?${query}`)).body
  const idsOf = (page: { items: { id: string }[] }) => page.items.map(({ id }) => id)
  const open = await read('status=open')
  assert.deepEqual(idsOf(open).slice(0, 2), [ids[0], ids[2]])
  assert.ok(idsOf(await read('status=delivered')).includes(ids[1]!))
  const first = await read('limit=2')
  assert.deepEqual(idsOf(first), ids.slice(0, 2))
  const second = await read(`limit=2&after=${encodeURIComponent(first.next)}`)
  assert.equal(idsOf(second)[0], ids[2])
})

test('a page of large replies ends early, and the pages after it have the rest', async () => {
  await world.device('SZ-0043')
  const { mailbox } = world.engine
  const ids: string[] = []
  const reply = {
    status: 'done',
    payload: Buffer.alloc(48 * 1024, 1),
    contentType: 'application/octet-stream',
  } as const
  for (let i = 0; i < 200; i++) {
    const sent = await world.call('POST', '/v1/devices/SZ-0043/commands', { body: { name: 'c' } })
    ids.unshift(sent.body.id)
    const atMs = world.clock.nowMs()
    const change = { kind: 'ended', offset: sent.body.offset, status: 'done', atMs, reply } as const
    await new Promise((settled) =>
      mailbox.settle('default/SZ-0043/main', { changes: [change] }, settled),
    )
  }
  const told: string[] = []
  let pages = 0
  for (let after = ''; ; ) {
    const path = `/v1/devices/SZ-0043/commands?limit=1000${after && `&after=${encodeURIComponent(after)}`}`
    const { status, text, body } = await world.call('GET', path)
    assert.equal(status, 200)
    pages += 1
    const oneStep = apiBounds.historyReadCommands * 72 * 1024
    assert.ok(text.length < apiBounds.pageMaxBytes + oneStep, `${text.length} characters`)
    told.push(...body.items.map(({ id }: { id: string }) => id))
    if (body.next === null) break
    after = body.next
  }
  assert.deepEqual(told, ids)
  assert.ok(pages > 1, 'all of it on one page')
})

test('nobody has a command of that name', async () => {
  for (const id of ['nonsense', 'SZ-0042:main:1:1', 'a:b:c:d', 'SZ-0042:main:zzzzzzz:1']) {
    for (const [method, path] of [
      ['GET', `/v1/commands/${encodeURIComponent(id)}`],
      ['DELETE', `/v1/commands/${encodeURIComponent(id)}`],
      ['GET', `/v1/commands/${encodeURIComponent(id)}/explain`],
    ] as const) {
      const answer = await world.call(method, path)
      assert.deepEqual([answer.status, answer.body.type], [404, '/problems/unknown-command'])
    }
  }
})
