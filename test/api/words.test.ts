import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { wordsOfPattern } from '../../src/api/patterns.ts'
import { limits } from '../../src/contract/index.ts'
import { World } from './world.ts'

/* What is refused says what would have been right, in words and not in regular expressions. */

let world: World
before(async () => {
  world = await World.open()
  await world.device()
})
after(() => world.close())

const named =
  'must be a name: letters, digits and . _ ~ -, beginning with a letter or digit, at most 128 characters'

test('a device that came to the door of back ends is told which one is its own', async () => {
  const deviceDoors = [
    { name: 'http', port: 8081 },
    { name: 'https', port: 8443 },
  ]
  const world = await World.open({}, { deviceDoors })
  const asked = await world.app.inject({ method: 'GET', url: '/device/v1/commands?wait=30' })
  assert.equal(asked.statusCode, 404)
  const { type, detail, errors } = asked.json()
  assert.equal(type, '/problems/not-found')
  const message =
    'is for devices: ask port 8081 (http) or port 8443 (https); here back ends are answered, under /v1'
  assert.deepEqual(errors, [{ in: 'path', path: '/device', message }])
  assert.equal(detail, `GET /device/v1/commands: ${message}`)
  await world.close()
  const without = await World.open()
  const none = await without.app.inject({
    method: 'POST',
    url: '/device/v1/events/a',
    payload: 'x',
  })
  assert.match(none.json().detail, /PIKE_HTTP_PORT is off/)
  const other = await without.app.inject({ method: 'GET', url: '/devices/a' })
  assert.equal(other.json().errors, undefined)
  await without.close()
})

test('every pattern a body, a path or a query is held against has words', () => {
  const patterns = new Set<string>()
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [name, inner] of Object.entries(value)) {
      if (name === 'pattern' && typeof inner === 'string') patterns.add(inner)
      else if (name === 'patternProperties')
        for (const key of Object.keys(inner as object)) patterns.add(key)
      walk(inner)
    }
  }
  walk(world.app.swagger())
  assert.ok(patterns.size >= 6, [...patterns].join(' '))
  for (const pattern of patterns) assert.ok(wordsOfPattern(pattern), pattern)
})

test('a name that is none is told what a name may be, wherever it stands', async () => {
  const cases = [
    ['PUT', '/v1/devices/a%20b', undefined, 'path', '/device'],
    ['GET', '/v1/devices?tag=a%20b', undefined, 'query', '/tag'],
    ['PUT', '/v1/devices/SZ-1', { tags: ['ok', '-no'] }, 'body', '/tags/1'],
    ['PUT', '/v1/devices/SZ-1', { channels: { 'a/b': {} } }, 'body', '/channels/a~1b'],
    ['PUT', '/v1/aliases/slot', { device: 'x'.repeat(129) }, 'body', '/device'],
    ['POST', '/v1/devices/SZ-0042/commands', { name: 'a', channel: '' }, 'body', '/channel'],
  ] as const
  for (const [method, path, body, part, field] of cases) {
    const answer = await world.call(method, path, body === undefined ? {} : { body })
    assert.equal(answer.status, 400, path)
    assert.deepEqual(answer.body.errors, [{ in: part, path: field, message: named }], path)
    assert.equal(answer.body.detail, `${field} ${named}`)
  }
})

for (const [body, message] of [
  [{ name: 'a\u0000b' }, 'must be text without control characters'],
  [{ name: 'a', payloadBase64: 'AA-_' }, 'must be base64 with its padding: A-Z a-z 0-9 + / ='],
  [
    { name: 'a', payloadBase64: '', contentType: 'text' },
    'must be a media type, like image/png or text/plain; charset=utf-8',
  ],
] as const) {
  test(`words for ${JSON.stringify(body)}`, async () => {
    assert.equal((await world.send(body)).body.errors[0].message, message)
  })
}

test('a known path with another method is 405, and Allow says which it takes', async () => {
  for (const [method, path, allow] of [
    ['PATCH', '/v1/devices/SZ-0042', 'DELETE, GET, PUT'],
    ['GET', '/v1/devices/SZ-0042/secrets', 'POST'],
    ['POST', '/v1/tags/berlin', 'GET'],
    ['PUT', '/v1/devices?x=1', 'GET, POST'],
    ['DELETE', '/v1/apps/default/keys', 'GET'],
    ['OPTIONS', '/v1/commands', 'POST'],
    ['POST', '/healthz', 'GET'],
    ['POST', '/docs', 'GET'],
  ] as const) {
    const { status, headers, body } = await world.call(method, path, { key: '' })
    assert.deepEqual([status, headers.allow], [405, allow], `${method} ${path}`)
    assert.equal(body.type, '/problems/method-not-allowed')
    assert.equal(body.detail, `${method} ${path.split('?', 1)[0]}: this path takes ${allow}`)
  }
  for (const path of [
    '/v1/nothing',
    '/v1/devices/a/b/c',
    '/v1',
    '/',
    '/V1/devices',
    '/v1xdevices',
  ]) {
    const { status, headers } = await world.call('PATCH', path)
    assert.deepEqual([status, headers.allow], [404, undefined], path)
  }
})

test('a body of another media type, or too large, is described for every call that has one', async () => {
  const { paths } = world.app.swagger() as unknown as {
    paths: Record<string, Record<string, { responses: Record<string, { description: string }> }>>
  }
  for (const [path, methods] of Object.entries(paths))
    for (const [method, { responses }] of Object.entries(methods)) {
      if (!path.startsWith('/v1/') || method === 'get') continue
      const isList = method === 'post' && ['/v1/devices', '/v1/commands'].includes(path)
      const takes = !isList
        ? /It takes application\/json\./
        : path === '/v1/devices'
          ? /It takes application\/x-ndjson or text\/csv\./
          : /It takes application\/x-ndjson\./
      assert.match(responses[415]!.description, takes, `${method} ${path}`)
      assert.match(responses[413]!.description, new RegExp(`${limits.bodyMaxBytes} bytes`))
    }
})

test('415 names what came and what is taken; 413 names the bound', async () => {
  for (const [method, path, type, takes] of [
    ['POST', '/v1/devices', 'application/json', 'application/x-ndjson or text/csv'],
    ['POST', '/v1/commands', 'application/json', 'application/x-ndjson'],
    ['PUT', '/v1/devices/SZ-1', 'text/csv', 'application/json'],
  ] as const) {
    const answer = await world.call(method, path, { raw: '{}', headers: { 'content-type': type } })
    assert.equal(answer.status, 415, path)
    assert.equal(answer.body.detail, `it came with ${type}; this call takes ${takes}`)
  }
  const nothing = await world.call('POST', '/v1/devices')
  assert.deepEqual(
    [nothing.status, nothing.body.detail],
    [415, 'it came with no Content-Type; this call takes application/x-ndjson or text/csv'],
  )
  const large = await world.call('PUT', '/v1/devices/SZ-1', {
    body: { attributes: { x: 'y'.repeat(limits.bodyMaxBytes) } },
  })
  assert.deepEqual([large.status, large.body.detail], [413, `at most ${limits.bodyMaxBytes} bytes`])
})

const csv = async (...rows: string[]) => {
  const headers = { 'content-type': 'text/csv' }
  const answer = await world.call('POST', '/v1/devices', { raw: rows.join('\n'), headers })
  const lines = answer.status === 200 ? answer.text.trim().split('\n') : [answer.text]
  return lines.map((line) => {
    const { problem, errors, detail } = JSON.parse(line)
    return problem ?? { errors, detail }
  })
}

test('a row of CSV that does not fit says which row and column, and what was expected', async () => {
  const [name, disabled, tags, secret, cells, missing, two] = await csv(
    'device,disabled,tags,secret',
    'a/b,,,',
    'a,yes,,',
    'a,,x;y z,',
    'a,,,short',
    'a,b',
    ',true,,',
    'a b,no,,',
  )
  assert.equal(name.detail, `row 1, column device ${named}`)
  assert.deepEqual(name.errors, [{ in: 'body', path: '/device', message: named, column: 'device' }])
  assert.equal(disabled.detail, 'row 2, column disabled must be true or false, or empty')
  assert.equal(tags.detail, `row 3, column tags ${named} (tags are separated by ;)`)
  assert.equal(tags.errors[0].path, '/tags/1')
  assert.equal(secret.detail, 'row 4, column secret must not have fewer than 8 characters')
  assert.equal(cells.detail, 'row 5 has 2 cells, the header row has 4 columns')
  assert.equal(missing.detail, 'row 6, column device is required')
  assert.match(two.detail, /^row 7, column d\w+ .*; column d\w+ /)
})

test('a header row of CSV that does not fit names the column, and those there are', async () => {
  const known = 'columns are device, secret, disabled, tags and attributes.NAME'
  for (const [head, detail] of [
    ['device,colour', `has the unknown column "colour"; ${known}`],
    ['Device', `has the unknown column "Device"; ${known}`],
    ['device;tags', `has the unknown column "device;tags"; ${known}; separate them by commas`],
    ['device,tags,tags', 'has the column "tags" twice; each may be there once'],
    ['secret', `has no column "device", which every row needs; ${known}`],
    ['\n', `is missing; ${known}`],
  ] as const) {
    const [said] = await csv(head, 'a,b')
    // Of blank rows nothing is read: the next one is the header.
    const wanted = head === '\n' ? `has the unknown column "a"; ${known}` : detail
    assert.equal(said.detail, `the header row ${wanted}`, head)
  }
  assert.equal((await csv('\n', ''))[0].detail, `the header row is missing; ${known}`)
  const long = (await csv(`device,${'x'.repeat(5_000)}`))[0].detail
  assert.ok(long.length < 500, String(long.length))
})

test('a disabled device is offline because it is disabled, and so it stays told afterwards', async () => {
  const presence = async (body: object) => (await world.device('P-1', body)).body.presence
  assert.equal((await presence({})).reason, undefined)
  assert.equal((await presence({ disabled: true })).reason, 'device-disabled')
  assert.equal((await presence({ disabled: false })).reason, undefined)
  const state = 'offline' as const
  const closed = { state, sinceMs: 1, heardAtMs: 1, protocol: 'pike', reason: 'device-disabled' }
  world.gateway.presence = () => closed
  assert.equal((await presence({ disabled: true })).reason, 'device-disabled')
  assert.equal((await presence({ disabled: false })).reason, 'device-disabled')
  world.gateway.presence = () => ({ ...closed, reason: 'keepalive-expired' })
  assert.equal((await presence({})).reason, 'keepalive-expired')
})

test('a device that is asleep says in its view when it comes back', async () => {
  const backAtMs = Date.parse('2026-01-01T13:00:00.000Z')
  world.gateway.presence = () => ({
    state: 'asleep',
    sinceMs: 1,
    heardAtMs: 1,
    protocol: 'http',
    backAtMs,
  })
  const { body } = await world.device('P-2', {})
  assert.deepEqual(
    [body.presence.state, body.presence.backAt],
    ['asleep', '2026-01-01T13:00:00.000Z'],
  )
})

test('a key may ask whose it is, with any scope, and is not shown its text', async () => {
  const createdAt = new Date(world.clock.nowMs()).toISOString()
  for (const [name, app, scopes] of [
    ['events', 'default', ['events']],
    ['all', 'default', ['admin']],
    ['other', 'other', ['devices', 'commands', 'events']],
  ] as const) {
    const { status, body } = await world.call('GET', '/v1/key', { key: `key-${name}` })
    assert.equal(status, 200)
    assert.deepEqual(body, { app, name, scopes, createdAt })
  }
  assert.equal((await world.call('GET', '/v1/key', { key: '' })).status, 401)
  assert.equal((await world.call('GET', '/v1/key', { key: 'key-nobody' })).status, 401)
})
