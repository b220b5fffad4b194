import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { WrongKeys } from '../../src/api/wrong-keys.ts'
import { turn, turns } from '../support/turns.ts'
import { exchange, RawClient } from './raw-client.ts'
import { World } from './world.ts'

/*
 * What strangers do to a listener, over real connections. After each: a bystander, connected all the
 * while, is answered, and nothing was taken for a command.
 */

let world: World
let bystander: RawClient
before(async () => {
  world = await World.open()
  await world.device()
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  bystander = new RawClient(world.app)
})
afterEach(async () => {
  const answered = bystander.statuses.length
  bystander.write(
    'GET /v1/devices/SZ-0042 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-all\r\n\r\n',
  )
  await bystander.until(() => bystander.statuses.length > answered)
  assert.equal(bystander.statuses.at(-1), 200)
  assert.equal(world.logged.length, 0)
})
after(async () => {
  bystander.destroy()
  await world.close()
})

const path = '/v1/devices/SZ-0042/commands'
const json = '{"name":"a"}'
const key = 'Host: x\r\nAuthorization: Bearer key-all\r\n'
const head = `POST ${path} HTTP/1.1\r\n${key}Content-Type: application/json\r\n`
const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`
const get = (target: string) => `GET ${target} HTTP/1.1\r\n${key}Connection: close\r\n\r\n`

for (const [what, bytes, ...statuses] of [
  [
    'a length and chunks',
    `${head}Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n${json}`,
    400,
  ],
  [
    'chunks and a length',
    `${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['two lengths', `${head}Content-Length: 12\r\nContent-Length: 6\r\n\r\n${json}`, 400],
  ['the same length twice', `${head}Content-Length: 12\r\nContent-Length: 12\r\n\r\n${json}`, 400],
  ['a list of lengths', `${head}Content-Length: 12, 12\r\n\r\n${json}`, 400],
  ['less than nothing', `${head}Content-Length: -1\r\n\r\n${json}`, 400],
  ['a length of many digits', `${head}Content-Length: ${'9'.repeat(40)}\r\n\r\n${json}`, 400],
  ['no length at all', `${head}Content-Length: \r\n\r\n${json}`, 400],
  ['chunked, identity', `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 400],
  [
    'identity, chunked',
    `${head}Transfer-Encoding: identity, chunked\r\n\r\nc\r\n${json}\r\n0\r\n\r\n`,
    400,
  ],
  [
    'gzip, chunked',
    `${head}Transfer-Encoding: gzip, chunked\r\n\r\nc\r\n${json}\r\n0\r\n\r\n`,
    400,
  ],
  ['identity', `${head}Transfer-Encoding: identity\r\nContent-Length: 12\r\n\r\n${json}`, 400],
  [
    'chunked twice',
    `${head}Transfer-Encoding: chunked, chunked\r\n\r\nc\r\n${json}\r\n0\r\n\r\n`,
    400,
  ],
  ['chunked behind a tab', `${head}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400],
  ['chunked by another name', `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
  ['chunks in HTTP/1.0', `${chunked.replace('1.1', '1.0')}c\r\n${json}\r\n0\r\n\r\n`, 400],
  ['a length on a folded line', `${head}X: a\r\n Content-Length: 12\r\n\r\n${json}`, 400],
  ['chunked on a folded line', `${head}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 400],
  [
    'a line end without its half',
    `${head.replaceAll('\r\n', '\n')}Content-Length: 12\n\n${json}`,
    400,
  ],
  [
    'the other half alone',
    `POST ${path} HTTP/1.1\r\nHost: x\rContent-Length: 12\r\n\r\n${json}`,
    400,
  ],
  ['a NUL', `GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n`, 400],
  ['a chunk size in C', `${chunked}0xc\r\n${json}\r\n0\r\n\r\n`, 400],
  ['a chunk size with a sign', `${chunked}+c\r\n${json}\r\n0\r\n\r\n`, 400],
  ['a chunk size with a space', `${chunked}c \r\n${json}\r\n0\r\n\r\n`, 400],
  ['a chunk size over all bounds', `${chunked}fffffffffffffffff\r\n${json}\r\n0\r\n\r\n`, 400],
  ['a chunk longer than it says', `${chunked}5\r\n${json}\r\n0\r\n\r\n`, 400],
  ['a chunk extension with a line end', `${chunked}c;a\n${json}\r\n0\r\n\r\n`, 400],
  ['a chunk extension of 20 KB', `${chunked}c;${'a'.repeat(20_000)}\r\n${json}\r\n0\r\n\r\n`, 400],
  ['a length behind the chunks', `${chunked}c\r\n${json}\r\n0\r\nContent-Length: 5\r\n\r\n`, 400],
  ['two hosts', `GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`, 400],
  ['HTTP/0.9', 'GET /healthz\r\n\r\n', 400],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['HTTP/3.0', `GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n`, 400],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['an expectation of something', `${head}Expect: nonsense\r\nContent-Length: 12\r\n\r\n`, 417],
  ['a body without a length', `${head}\r\n${json}`, 400, 400],
  ['2,500 headers', `GET /healthz HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(2_500)}\r\n`, 431],
  [
    'a header of 20 KB',
    `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`,
    431,
  ],
  ['a path of 20 KB', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
  ['a name of 10 KB', get(`/v1/devices/${'x'.repeat(10_000)}`), 414],
  ['HEAD', `HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 405],
  ['OPTIONS', `OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 404],
  ['TRACE', `TRACE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 405],
  ['a method nobody knows', `BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
  ['CONNECT', `CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n`],
  ['out of the folder', get('/v1/devices/../../etc/passwd'), 404],
  ['out of the folder, encoded', get('/v1/devices/%2e%2e%2f%2e%2e'), 400],
  ['out of the folder, encoded twice', get('/v1/devices/%252e%252e'), 400],
  ['out of the folder, overlong', get('/v1/devices/%c0%ae%c0%ae'), 400],
  ['half an encoding', get('/v1/devices/%2'), 400],
  ['a NUL in a name', get('/v1/devices/a%00b'), 400],
  ['a line end in a name', get('/v1/devices/a%0d%0aX:%20y'), 400],
  ['bytes in a path', get('/v1/devices/\xff\xfe'), 400],
  ['a path the other way', get('\\v1\\devices'), 400],
  ['__proto__ in the query', get('/v1/devices?__proto__[a]=1'), 400],
  ['__proto__ as a path', get('/v1/__proto__/constructor'), 404],
  ['__proto__ as a name', get('/v1/devices/__proto__'), 400],
  ['constructor as a name', get('/v1/devices/constructor'), 404],
] as readonly (readonly [string, string, ...number[]])[]) {
  test(`refused, and the connection ended: ${what}`, async () => {
    const before = world.gateway.submitted.length
    const client = await exchange(world.app, bytes)
    assert.deepEqual(client.statuses, statuses, client.text.slice(0, 500))
    assert.equal(world.gateway.submitted.length, before)
    assert.ok(client.text.length < 4_000)
    assert.doesNotMatch(client.text, /\n +at |node:|\/src\//)
  })
}

for (const [what, payload, status, type] of [
  ['100,000 brackets', '['.repeat(100_000), 400, 'too-deep'],
  ['100,000 braces', '{"a":'.repeat(20_000), 400, 'too-deep'],
  ['a number of 100,000 digits', '9'.repeat(100_000), 413, 'payload-too-large'],
  ['a string that never ends', `"${'x'.repeat(100_000)}`, 400, 'malformed-json'],
] as const) {
  test(`${status}: JSON with ${what}`, async () => {
    const answer = await world.call('POST', path, { raw: `{"name":"a","payload":${payload}}` })
    assert.deepEqual([answer.status, answer.body.type], [status, `/problems/${type}`])
  })
}

test('huge numbers are carried as they are, or refused, and change nothing else', async () => {
  const sent = await world.call('POST', path, { raw: `{"name":"a","payload":1e999999}` })
  assert.equal(sent.status, 202)
  assert.equal(Buffer.from(world.gateway.submitted.at(-1)!.payload).toString(), '1e999999')
  for (const ttl of ['1e999', '-1e999', '1e-400', '9007199254740993', '"30"', 'null'])
    assert.equal((await world.call('POST', path, { raw: `{"name":"a","ttl":${ttl}}` })).status, 400)
})

test('names of what every object has are ordinary text', async () => {
  const payload = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'
  const sent = await world.call('POST', path, { raw: `{"name":"__proto__","payload":${payload}}` })
  assert.equal(sent.status, 202)
  assert.equal(Buffer.from(world.gateway.submitted.at(-1)!.payload).toString(), payload)
  const put = await world.call('PUT', '/v1/devices/SZ-0042', {
    raw: `{"attributes":${payload},"channels":{"constructor":{"maxCommands":2}}}`,
  })
  assert.equal(put.status, 200)
  assert.equal(({} as { polluted?: number }).polluted, undefined)
  const tooMany = { channel: 'constructor', name: 'a' }
  const statuses = []
  for (let i = 0; i < 3; i++) statuses.push((await world.send(tooMany)).status)
  assert.deepEqual(statuses, [202, 202, 429])
  assert.equal((await world.send({ channel: 'toString', name: 'a' })).status, 400)
})

test('a chunk extension is passed over, chunks of one byte are joined', async () => {
  const crumbs = [...json].map((byte) => `1;x=y\r\n${byte}\r\n`).join('')
  const last = `${key}Connection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked`
  const client = await exchange(
    world.app,
    `POST ${path} HTTP/1.1\r\n${last}\r\n\r\n${crumbs}0\r\n\r\n`,
  )
  assert.deepEqual(client.statuses, [202])
})

test('what comes behind a call that is still to be answered does not take its answer', async () => {
  const { gateway } = world
  const real = gateway.submit.bind(gateway)
  let go: (() => void) | undefined
  gateway.submit = (request) =>
    new Promise((resolve) => {
      go = () => resolve(real(request))
    })
  const client = new RawClient(world.app)
  client.write(`${head}Content-Length: 12\r\n\r\n${json}NONSENSE\r\n\r\n`)
  while (go === undefined) await turn()
  await turns(20)
  assert.deepEqual(client.statuses, [])
  go()
  gateway.submit = real
  await client.untilClosed()
  assert.deepEqual(client.statuses, [202, 400])
})

test('a call broken off in the middle costs nobody anything', async () => {
  const before = world.gateway.submitted.length
  for (const bytes of ['P', head, `${head}Content-Length: 12\r\n\r\n{"na`, `${chunked}c\r\n{"na`]) {
    for (const end of ['destroy', 'end'] as const) {
      const client = new RawClient(world.app)
      client.write(bytes)
      if (end === 'destroy') client.destroy()
      else client.socket.end()
      await client.untilClosed()
    }
  }
  while (world.app.figures().bodies_under_way! > 0) {
    world.clock.advance(2_000)
    await turn()
  }
  assert.equal(world.gateway.submitted.length, before)
})

test('who ends its half after asking is still answered', async () => {
  const client = new RawClient(world.app)
  client.write(`${head}Content-Length: 12\r\n\r\n${json}`)
  client.socket.end()
  await client.untilClosed()
  assert.deepEqual(client.statuses, [202])
})

test('a flood of calls on one connection is answered in order, all of them', async () => {
  const client = new RawClient(world.app)
  const total = 3_000
  const one = `GET /v1/devices/SZ-0042 HTTP/1.1\r\n${key}\r\n`
  client.write(one.repeat(total))
  await client.until(() => client.statuses.length === total)
  assert.ok(client.statuses.every((status) => status === 200))
  client.destroy()
})

test('wrong keys are counted by address: 429 then, while a right one is let through', async () => {
  const guessing = await World.open()
  const guess = (n: number) => guessing.call('GET', '/v1/devices', { key: `guess-${n}` })
  const statuses = []
  for (let n = 0; n < 105; n++) statuses.push((await guess(n)).status)
  assert.deepEqual([statuses.indexOf(429), statuses.filter((s) => s === 429).length], [100, 5])
  const refused = await guess(200)
  assert.equal(refused.body.type, '/problems/too-many-wrong-keys')
  assert.equal(refused.headers['retry-after'], '60')
  assert.equal((await guessing.call('GET', '/v1/devices')).status, 200)
  assert.equal((await guessing.call('GET', '/v1/devices', { key: '' })).status, 401)
  guessing.clock.advance(60_000)
  assert.equal((await guess(201)).status, 401)
  await guessing.close()
})

test('a wrong key of a caller that is gone by then is counted, and trips nobody up', () => {
  const wrongKeys = new WrongKeys({ nowMs: () => 0 })
  // A socket that was reset has no address any more.
  for (let n = 0; n < 100; n++) assert.equal(wrongKeys.another(undefined), 0)
  assert.equal(wrongKeys.another(undefined), 60_000)
  assert.equal(wrongKeys.another('127.0.0.1'), 0)
})
