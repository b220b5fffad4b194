import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open()
  await world.device()
})
after(() => world.close())

const post = (raw: string | Buffer, headers: Record<string, string> = {}) =>
  world.call('POST', '/v1/devices/SZ-0042/commands', { raw, headers })

for (const [body, path] of [
  [{}, '/name'],
  [{ name: '' }, '/name'],
  [{ name: 7 }, '/name'],
  [{ name: 'x'.repeat(129) }, '/name'],
  [{ name: 'é'.repeat(65) }, '/name'],
  [{ name: 'a\u0000b' }, '/name'],
  [{ name: '\ud800' }, '/name'],
  [{ name: 'a', ttl: 0 }, '/ttl'],
  [{ name: 'a', ttl: -1 }, '/ttl'],
  [{ name: 'a', ttl: '30' }, '/ttl'],
  [{ name: 'a', ttl: 30 * 86_400 + 1 }, '/ttl'],
  [{ name: 'a', replyTimeout: 7 * 86_400 + 1 }, '/replyTimeout'],
  [{ name: 'a', delivery: 'maybe' }, '/delivery'],
  [{ name: 'a', expect: null }, '/expect'],
  [{ name: 'a', channel: 'a/b' }, '/channel'],
  [{ name: 'a', channel: 'nowhere' }, '/channel'],
  [{ name: 'a', channel: 'constructor' }, '/channel'],
  [{ name: 'a', collapse: '' }, '/collapse'],
  [{ name: 'a', collapse: 5 }, '/collapse'],
  [{ name: 'a', payloadBase64: 'A' }, '/payloadBase64'],
  [{ name: 'a', payloadBase64: 'AA-_' }, '/payloadBase64'],
  [{ name: 'a', payloadBase64: 'AAAA', payload: 1 }, '/payloadBase64'],
  [{ name: 'a', payload: 1, contentType: 'text/plain' }, '/contentType'],
  [{ name: 'a', payloadBase64: '', contentType: 'text' }, '/contentType'],
  [{ name: 'a', payloadBase64: '', contentType: 'a/b\r\nx: y' }, '/contentType'],
  [{ name: 'a', nmae: 'b' }, '/nmae'],
  [{ name: 'a', 'x/y~z': 1 }, '/x~1y~0z'],
  [{ name: 'a', constructor: 1 }, '/constructor'],
] as const) {
  test(`400 names ${path}: ${JSON.stringify(body).slice(0, 60)}`, async () => {
    const answer = await world.send(body)
    assert.equal(answer.status, 400)
    assert.equal(answer.body.type, '/problems/invalid-request')
    assert.equal(answer.body.errors[0].path, path)
    assert.equal(answer.body.errors[0].in, 'body')
    assert.ok(answer.body.detail.includes(path))
  })
}

for (const [what, raw, status, type] of [
  ['no JSON', '{"name":', 400, 'malformed-json'],
  ['nothing', ' ', 400, 'malformed-json'],
  ['two values', '{"name":"a"}{}', 400, 'malformed-json'],
  ['not UTF-8', Buffer.from('7b226e616d65223a22ff227d', 'hex'), 400, 'malformed-json'],
  ['a byte order mark', '\ufeff{"name":"a"}', 400, 'malformed-json'],
  ['an array', '[]', 400, 'invalid-request'],
  ['null', 'null', 400, 'invalid-request'],
  [
    '__proto__ beside the fields',
    '{"name":"a","__proto__":{"delivery":"now"}}',
    400,
    'invalid-request',
  ],
  ['an infinite number', '{"name":"a","ttl":1e999}', 400, 'invalid-request'],
  ['deep JSON', `{"name":"a","payload":${'['.repeat(64)}${']'.repeat(64)}}`, 400, 'too-deep'],
  ['deeper JSON, not closed', '['.repeat(120_000), 400, 'too-deep'],
  [
    'a payload over 48 KiB',
    `{"name":"a","payload":"${'x'.repeat(49_151)}"}`,
    413,
    'payload-too-large',
  ],
  [
    'bytes over 48 KiB',
    `{"name":"a","payloadBase64":"${'A'.repeat(65_540)}"}`,
    413,
    'payload-too-large',
  ],
  ['a body over 128 KiB', `{"name":"${'x'.repeat(131_072)}"}`, 413, 'body-too-large'],
] as const) {
  test(`${status} ${type}: ${what}`, async () => {
    const answer = await post(raw)
    assert.equal(answer.status, status, answer.text)
    assert.equal(answer.body.type, `/problems/${type}`)
    assert.ok(answer.text.length < 2_000)
  })
}

test('a payload of exactly 48 KiB and JSON of exactly the depth are taken', async () => {
  assert.equal((await post(`{"name":"a","payload":"${'x'.repeat(49_150)}"}`)).status, 202)
  const deep = `${'['.repeat(63)}${']'.repeat(63)}`
  assert.equal((await post(`{"name":"a","payload":${deep}}`)).status, 202)
})

test('no body, and a body that is not called JSON', async () => {
  const none = await world.call('POST', '/v1/devices/SZ-0042/commands')
  assert.deepEqual([none.status, none.body.type], [400, '/problems/invalid-request'])
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'nonsense',
    'application/xml',
  ]) {
    const answer = await post('name=a', { 'content-type': type })
    assert.deepEqual([answer.status, answer.body.type], [415, '/problems/unsupported-media-type'])
  }
  const charset = await post('{"name":"a"}', { 'content-type': 'application/json; charset=utf-8' })
  assert.equal(charset.status, 202)
})

test('what is no call is 404, what is no name 400, what is too long 414', async () => {
  for (const [method, path, status] of [
    ['GET', '/', 404],
    ['GET', '/v1', 404],
    ['PATCH', '/v1/devices/SZ-0042', 405],
    ['GET', '/v1/devices/SZ-0042/', 404],
    ['GET', '/problems/constructor', 404],
    ['GET', '/v1/devices/a%20b', 400],
    ['GET', '/v1/devices/%00', 400],
    ['GET', `/v1/devices/${'x'.repeat(129)}`, 400],
    ['GET', '/v1/devices?limit=0', 400],
    ['GET', '/v1/devices?limit=ten', 400],
    ['GET', '/v1/devices?limit=1001', 400],
    ['GET', '/v1/devices?limt=1', 400],
    ['GET', '/v1/devices?__proto__=1', 400],
    ['GET', '/v1/devices/SZ-0042/commands?status=lost', 400],
    ['GET', '/v1/events?after=now', 400],
    ['GET', '/v1/events?type=event,uplink', 400],
    ['GET', '/v1/events?wait=-1', 400],
    ['GET', '/v1/devices/%zz', 400],
    ['GET', `/v1/commands/${'x'.repeat(513)}`, 414],
  ] as const) {
    const answer = await world.call(method, path)
    assert.equal(answer.status, status, `${method} ${path}`)
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
    assert.equal(answer.body.status, status)
    assert.equal(answer.body.type.split('/')[1], 'problems')
  }
})

test('any JSON at all as a payload is taken as it stands', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json({ maxDepth: 8 }), fc.boolean(), async (json, last) => {
      world.gateway.submitted.length = 0
      world.gateway.says = { kind: 'unknown-device' }
      const raw = last ? `{"name":"a","payload":${json}}` : `{ "payload" :\n${json} ,"name":"a"}`
      await post(raw)
      const sent = Buffer.from(world.gateway.submitted[0]!.payload).toString()
      assert.equal(sent, json)
    }),
    { numRuns: 200 },
  )
  world.gateway.says = undefined
})

test('any bytes at all as a body are answered', async () => {
  const body = Buffer.from('{"name":"open","payload":{"a":[1,"\\u0041\\""]},"ttl":30}')
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { maxLength: 6 }),
      async (flips) => {
        const raw = Buffer.from(body)
        for (const [at, byte] of flips) raw[at] = byte
        const { status } = await post(raw)
        assert.ok(status === 202 || status === 400, String(status))
      },
    ),
    { numRuns: 300 },
  )
})
