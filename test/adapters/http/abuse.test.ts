import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secretOf } from '../../support/adapter-subject.ts'
import { HttpClient } from './http-client.ts'
import { basic, httpRig, RawPeer } from './rig.ts'

const path = 'POST /device/v1/events/x HTTP/1.1\r\nhost: x\r\n'
const authorized = `${path}authorization: ${basic()}\r\n`

test('what could be read in two ways is refused, and ends its connection', async (t) => {
  const { rig, port } = await httpRig(t)
  const hidden = 'GET /device/v1/commands HTTP/1.1\r\nhost: x\r\n\r\n'
  for (const bytes of [
    `${authorized}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `${authorized}content-length: 4\r\ncontent-length: 5\r\n\r\nabcd${hidden}`,
    `${authorized}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n${hidden}`,
    `${authorized}host: y\r\ncontent-length: 1\r\n\r\na`,
    `${authorized}transfer-encoding : chunked\r\n\r\n0\r\n\r\n`,
    'nothing like HTTP at all\r\n\r\n',
    `\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03`,
  ]) {
    const peer = new RawPeer(port, bytes)
    await rig.until('it is closed', () => peer.closed)
    assert.match(peer.text, /^HTTP\/1\.1 400 /)
    assert.equal(
      peer.text.match(/HTTP\/1\.1 \d/g)?.length,
      1,
      'one answer, none to what was hidden',
    )
  }
  assert.equal((await rig.events('event')).length, 0)
})

test('nobody reads the body of whoever has not proved itself', async (t) => {
  const { rig, port } = await httpRig(t)
  const peer = new RawPeer(port, `${path}content-length: 100000\r\n\r\nsome of it`)
  await rig.until('it is closed', () => peer.closed)
  assert.match(peer.text, /^HTTP\/1\.1 401 /)
  assert.match(peer.text, /"title":"credential missing, wrong or revoked"/)
  assert.match(peer.text, /www-authenticate: Basic/i)
})

test('a body that comes too slowly is cut off within 30 s', async (t) => {
  const { rig, port } = await httpRig(t)
  const peer = new RawPeer(port, `${authorized}content-length: 100\r\n\r\nsome of it`)
  await rig.calm()
  assert.equal(peer.closed, false)
  await rig.pass(28_000)
  await rig.until('it is closed', () => peer.closed)
  assert.match(peer.text, /^HTTP\/1\.1 408 /)
})

test('too much is refused by its size: a payload, a body, headers, a path', async (t) => {
  const { rig, port, ask } = await httpRig(t)
  const post = (where: string, body: string, headers = {}) =>
    ask(`/device/v1/${where}`, { method: 'POST', body, headers })
  assert.equal((await post('events/x', 'x'.repeat(48 * 1024))).status, 204)
  assert.equal((await post('events/x', 'x'.repeat(48 * 1024 + 1))).status, 413)
  const lines = '{"type":"x"}\n'
  assert.equal((await post('events', lines.repeat(256))).status, 204)
  assert.equal((await post('events', lines.repeat(257))).status, 413)
  assert.equal((await post('events', ' '.repeat(128 * 1024 + 1))).status, 413)
  assert.equal((await post(`events/${'x'.repeat(129)}`, '')).status, 400)
  assert.equal((await post(`events/${'x'.repeat(600)}`, '')).status, 414)
  const crowd = Array.from({ length: 100 }, (_, i) => `x-${i}: 1\r\n`).join('')
  const peer = new RawPeer(port, `${authorized}content-length: 0\r\n${crowd}\r\n`)
  await rig.until('it is answered', () => peer.text !== '')
  assert.match(peer.text, /^HTTP\/1\.1 431 /)
  peer.socket.destroy()
})

test('deep JSON, broken JSON and fields that do not fit are said; nothing of it is kept', async (t) => {
  const { rig, ask } = await httpRig(t)
  const id = await rig.submit()
  const reply = (body: string) => ask(`/device/v1/replies/${id}`, { method: 'POST', body })
  const problem = async (body: string) => {
    const { status, json } = await reply(body)
    return `${status} ${(json() as { type: string }).type.slice(10)}`
  }
  assert.equal(await problem(`{"status":"done","payload":${'['.repeat(99)}`), '400 too-deep')
  assert.equal(await problem('{"status":'), '400 malformed-json')
  assert.equal(await problem('[]'), '400 invalid-request')
  assert.equal(await problem('{"status":"ok"}'), '400 invalid-request')
  assert.equal(await problem('{"status":"done","payloadBase64":7}'), '400 invalid-request')
  assert.equal(await problem('{"__proto__":{"status":"done"}}'), '400 invalid-request')
  const unknown = await ask('/device/v1/replies/locker:main:1:99', {
    method: 'POST',
    body: '{"status":"done"}',
  })
  assert.equal(unknown.status, 404)
  const lines = '{"type":"one"}\n{"type":7}\n'
  const many = await ask('/device/v1/events', { method: 'POST', body: lines })
  assert.equal(many.status, 400)
  assert.equal((many.json() as { line: number }).line, 2)
  assert.equal((await rig.events('event')).length, 0)
})

test('queries that mean nothing are 400 with the field; unknown paths 404, wrong methods 405', async (t) => {
  const { ask } = await httpRig(t)
  for (const query of [
    'wait=soon',
    'channel=a,a',
    'channel=..%2F',
    'epoch=1,2&after=3',
    'epoch=x&after=3',
    'after=3',
    'epoch=1.media&after=3',
    'max=0',
    'sleep=-1',
  ]) {
    const said = await ask(`/device/v1/commands?${query}`)
    assert.equal(said.status, 400, query)
    assert.equal((said.json() as { errors: unknown[] }).errors.length, 1)
  }
  assert.equal((await ask('/device/v1/commands?channel=media')).status, 404)
  assert.equal((await ask('/device/v1/nothing')).status, 404)
  const put = await ask('/device/v1/acks', { method: 'PUT' })
  assert.deepEqual([put.status, put.headers.allow], [405, 'POST'])
})

test('a wrong secret, an unknown device and a disabled one get the same answer; ten a minute are too many (rule 31)', async (t) => {
  const { rig, port } = await httpRig(t)
  const answers = new Set<string>()
  const ask = async (device: string, secret: string) => {
    const client = new HttpClient(port, device, secret)
    let said: Awaited<ReturnType<HttpClient['ask']>> | undefined
    client.ask('/device/v1/commands').then(
      (answer) => {
        said = answer
      },
      () => {},
    )
    await rig.until('answered', () => said !== undefined)
    await client.cut()
    return said!
  }
  for (const device of ['locker', 'nobody', '__proto__']) {
    const { status, body } = await ask(device, secretOf('somebody-else'))
    answers.add(`${status} ${body}`)
  }
  assert.equal(answers.size, 1, [...answers].join('\n'))
  for (let i = 0; i < 10; i++) await ask('locker', secretOf(`guess-${i}`))
  const limited = await ask('locker', secretOf('guess'))
  assert.equal(limited.status, 429)
  assert.equal(limited.headers['retry-after'], '60')
})

test('many polls at once of one device leave one receiver, and all are answered', async (t) => {
  const { rig, client } = await httpRig(t)
  const statuses: number[] = []
  for (let i = 0; i < 20; i++)
    client.ask('/device/v1/commands?channel=main&wait=2').then(
      ({ status }) => statuses.push(status),
      () => statuses.push(0),
    )
  await rig.until('all are answered', () => statuses.length === 20)
  assert.ok(
    statuses.every((status) => [200, 409, 429].includes(status)),
    statuses.join(),
  )
})
