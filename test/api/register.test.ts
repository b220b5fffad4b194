import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { limits } from '../../src/contract/index.ts'
import { checkSecret } from '../../src/secrets/secrets.ts'
import { type Answer, type Call, World } from './world.ts'

let world: World
beforeEach(async () => {
  world = await World.open()
})
afterEach(() => world.close())

interface Line {
  readonly line: number
  readonly status: number
  readonly device?: string
  readonly secret?: string
  readonly problem?: { type: string; detail: string; errors?: { path: string; message: string }[] }
}

const linesOf = ({ text }: Answer): Line[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
const post = (raw: string | Buffer, type: string, call: Call = {}): Promise<Answer> =>
  world.call('POST', '/v1/devices', { raw, headers: { 'content-type': type }, ...call })
const json = async (...lines: (object | string)[]): Promise<Line[]> => {
  const raw = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
  const answer = await post(raw.join('\n'), 'application/x-ndjson')
  assert.equal(answer.status, 200, answer.text)
  return linesOf(answer)
}
const csv = async (...rows: string[]): Promise<Line[]> => {
  const answer = await post(rows.join('\n'), 'text/csv; charset=utf-8')
  assert.equal(answer.status, 200, answer.text)
  return linesOf(answer)
}
const short = (lines: Line[]) =>
  lines.map(({ line, status, device }) => [line, status, device ?? ''].join(' ').trim())
const record = (device: string) => world.engine.names.device('default', device)!
const fits = (device: string, secret: string) =>
  checkSecret(record(device).credentials, 'default', device, secret)

test('many devices by NDJSON: in the order given, a secret where none was, a bad line alone', async () => {
  const lines = await json(
    { device: 'a', tags: ['berlin'] },
    { device: 'no good' },
    '',
    { device: 'b', secret: 'chosen-by-the-back-end-1' },
    '{"device":',
    { device: 'c', doors: 4 },
    '[]',
    { device: 'constructor', attributes: { x: 1 } },
  )
  assert.deepEqual(short(lines), [
    '1 201 a',
    '2 400',
    '4 201 b',
    '5 400',
    '6 400',
    '7 400',
    '8 201 constructor',
  ])
  assert.ok(await fits('a', lines[0]!.secret!))
  assert.equal(lines[2]!.secret, undefined)
  assert.ok(await fits('b', 'chosen-by-the-back-end-1'))
  assert.equal(lines[1]!.problem!.errors![0]!.path, '/device')
  assert.equal(lines[3]!.problem!.type, '/problems/malformed-json')
  assert.equal(lines[4]!.problem!.errors![0]!.path, '/doors')
  assert.deepEqual(record('a').tags, ['berlin'])
  assert.equal(await world.engine.names.deviceCount('default'), 3)
})

test('an existing device is changed as PUT would: what is left out stays, the secret too', async () => {
  const { body } = await world.device('SZ-1', { tags: ['a'], attributes: { doors: 4 } })
  const [line] = await json({ device: 'SZ-1', tags: ['b'] })
  assert.deepEqual(line, { line: 1, status: 200, device: 'SZ-1' })
  assert.deepEqual([record('SZ-1').tags, record('SZ-1').attributes], [['b'], { doors: 4 }])
  assert.ok(await fits('SZ-1', body.secret))
  await json({ device: 'SZ-1', disabled: true })
  assert.deepEqual(world.gateway.refused, ['default/SZ-1'])
})

test('a device given twice: the later line wins and says 200', async () => {
  const lines = await json(
    { device: 'twice', tags: ['first'], attributes: { from: 'first' } },
    { device: 'other' },
    { device: 'twice', tags: ['second'] },
  )
  assert.deepEqual(short(lines), ['1 201 twice', '2 201 other', '3 200 twice'])
  assert.deepEqual(
    [record('twice').tags, record('twice').attributes],
    [['second'], { from: 'first' }],
  )
  assert.ok(await fits('twice', lines[0]!.secret!))
})

test('names that are members of every object, and what no name may be', async () => {
  const lines = await json(
    '{"device":"__proto__"}',
    '{"device":".."}',
    '{"device":"."}',
    '{"device":"a/b"}',
    '{"device":"x","__proto__":{"disabled":true}}',
    '{"device":"y","attributes":{"__proto__":{"admin":true}}}',
    { device: 'toString' },
  )
  assert.deepEqual(
    lines.map(({ status }) => status),
    [400, 400, 400, 400, 400, 201, 201],
  )
  assert.ok(Object.hasOwn(record('y').attributes, '__proto__'))
  assert.equal(({} as { admin?: boolean }).admin, undefined)
})

test('a line over the limit, one too deep and one that is not UTF-8 fail alone', async () => {
  const long = JSON.stringify({
    device: 'long',
    attributes: { x: 'y'.repeat(limits.bodyMaxBytes) },
  })
  const deep = `{"device":"deep","attributes":{"x":${'['.repeat(70)}${']'.repeat(70)}}}`
  const raw = Buffer.concat([
    Buffer.from(`${long}\n${deep}\n{"device":"`),
    Buffer.from([0xff]),
    Buffer.from('"}\n{"device":"good"}'),
  ])
  const lines = linesOf(await post(raw, 'application/x-ndjson'))
  assert.deepEqual(
    lines.map(({ status, problem }) => `${status} ${problem?.type ?? ''}`.trim()),
    [
      '413 /problems/body-too-large',
      '400 /problems/too-deep',
      '400 /problems/malformed-json',
      '201',
    ],
  )
})

test('many devices by CSV: text values, tags by semicolons, quotes, CRLF and a byte order mark', async () => {
  const rows = [
    '\ufeffdevice,tags,attributes.site,disabled,secret',
    'a,berlin; indoor,"Hbf, ""Nord""",,',
    '',
    'b,,,true,chosen-by-the-back-end-1',
    'c,,,,',
  ]
  const answer = await post(rows.join('\r\n'), 'text/csv')
  assert.deepEqual(short(linesOf(answer)), ['1 201 a', '2 201 b', '3 201 c'])
  assert.deepEqual(record('a').tags, ['berlin', 'indoor'])
  assert.deepEqual(record('a').attributes, { site: 'Hbf, "Nord"' })
  assert.deepEqual([record('b').disabled, record('b').tags], [true, []])
  assert.ok(await fits('b', 'chosen-by-the-back-end-1'))
  assert.ok(await fits('c', linesOf(answer)[2]!.secret!))
})

test('an empty cell of CSV leaves that as it is', async () => {
  await world.device('a', { tags: ['x'], attributes: { site: 'Hbf' } })
  await csv('device,tags,attributes.site', 'a,,')
  assert.deepEqual([record('a').tags, record('a').attributes], [['x'], { site: 'Hbf' }])
})

test('a row that does not fit fails alone', async () => {
  const lines = await csv(
    'device,disabled,tags,attributes.__proto__',
    'a,maybe,,',
    'b,,x',
    'c,,no good,',
    'd,false,,text',
    ',,,',
  )
  assert.deepEqual(short(lines), ['1 400', '2 400', '3 400', '4 201 d', '5 400'])
  assert.deepEqual(
    lines.filter(({ problem }) => problem).map(({ problem }) => problem!.errors![0]!.path),
    ['/disabled', '', '/tags/0', '/device'],
  )
  assert.deepEqual(Object.entries(record('d').attributes), [['__proto__', 'text']])
  const latin = Buffer.from('device,attributes.site\na,K\xf6ln\nb,Bonn', 'latin1')
  const [bad, good] = linesOf(await post(latin, 'text/csv'))
  assert.deepEqual([bad!.status, bad!.problem!.errors![0]!.path], [400, '/attributes.site'])
  assert.equal(good!.status, 201)
})

test('a header that cannot be right is refused before anything is kept', async () => {
  for (const [head, path] of [
    ['name,secret', '/name'],
    ['secret', '/device'],
    ['device,device', '/device'],
    ['device,attributes.', '/attributes.'],
    ['device,"sec"ret"', ''],
  ] as const) {
    const answer = await post(`${head}\na,b`, 'text/csv')
    assert.equal(answer.status, 400, head)
    assert.equal(answer.body.errors[0].path, path, head)
  }
  const none = await post('', 'text/csv')
  assert.ok([400, 415].includes(none.status))
  assert.equal(await world.engine.names.deviceCount('default'), 0)
})

test('where nobody can know where the next row begins, that is said and nothing behind it is read', async () => {
  for (const [broken, status] of [
    ['b,"x"y', 400],
    ['b,"never closed', 400],
    [`b,${','.repeat(limits.bodyMaxBytes + 2_048)}`, 413],
  ] as const) {
    await world.call('DELETE', '/v1/devices/a')
    const lines = await csv('device,attributes.x', 'a,1', broken, 'c,3')
    assert.deepEqual(short(lines), ['1 201 a', `2 ${status}`])
    assert.match(
      lines[1]!.problem!.detail,
      /row 2 .*nothing behind it was read|nothing behind it was read: row 2 /,
    )
    assert.equal(world.engine.names.device('default', 'c'), undefined)
  }
})

test('thousands go in batches, each in one write of the store', async () => {
  const { commits_total: before } = world.engine.figures()
  const lines = await json(...Array.from({ length: 2_000 }, (_, i) => ({ device: `d${i}` })))
  assert.equal(lines.filter(({ status, secret }) => status === 201 && secret).length, 2_000)
  assert.deepEqual(
    lines.map(({ line }) => line),
    Array.from({ length: 2_000 }, (_, i) => i + 1),
  )
  assert.equal(await world.engine.names.deviceCount('default'), 2_000)
  assert.ok(world.engine.figures().commits_total! - before! < 100)
})

test('short secrets are stretched, and still fit', async () => {
  const lines = await json(
    ...Array.from({ length: 20 }, (_, i) => ({ device: `weak${i}`, secret: `weak-secret-${i}` })),
  )
  assert.ok(lines.every(({ status }) => status === 201))
  assert.equal(record('weak19').credentials[0]!.kdf, 'scrypt')
  assert.ok(await fits('weak19', 'weak-secret-19'))
})

test('a PUT and a line for the same device do not lose each other’s change', async () => {
  await world.device('SZ-1')
  for (let i = 0; i < 20; i++) {
    await Promise.all([
      json({ device: 'SZ-1', attributes: { i } }, { device: `other-${i}` }),
      world.device('SZ-1', { tags: [`t${i}`] }),
      world.call('PUT', `/v1/tags/extra/devices/SZ-1`),
    ])
    const { tags, attributes } = record('SZ-1')
    assert.deepEqual(attributes, { i })
    assert.ok(tags.includes(`t${i}`) || tags.includes('extra'))
  }
})

test('when the store cannot be written every line says so, and the call ends in order', async () => {
  world.engine.fail('full')
  const lines = await json({ device: 'a' }, { device: 'no good' }, { device: 'b' })
  assert.deepEqual(
    lines.map(({ status }) => status),
    [507, 400, 507],
  )
  world.engine.recover()
})

test('rule 30: devices are registered in the app of the key', async () => {
  await post('{"device":"theirs"}', 'application/x-ndjson', { key: 'key-other' })
  assert.equal(world.engine.names.device('default', 'theirs'), undefined)
  assert.ok(world.engine.names.device('other', 'theirs'))
})

test('only these two kinds of body, and only with the scope', async () => {
  assert.equal((await post('{}', 'application/json')).status, 415)
  assert.equal((await world.call('POST', '/v1/devices')).status, 415)
  const answer = await post('{"device":"a"}', 'application/x-ndjson', { key: 'key-commands' })
  assert.equal(answer.status, 403)
  assert.equal((await post('{"name":"x"}', 'text/csv', {})).status, 400)
})
