import assert from 'node:assert/strict'
import { get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { traceLine } from '../../cli/trace-line.ts'
import type { Trail } from '../../src/contract/index.ts'
import { World } from './world.ts'

let world: World
let trail: Trail
const bytes = (text: string) => new TextEncoder().encode(text)

before(async () => {
  world = await World.open()
  await world.device('SZ-0042')
  await world.call('PUT', '/v1/devices/M-1', { body: {}, key: 'key-other' })
  await world.key('default', 'viewer', ['devices', 'payloads'])
  const connection = world.gateway.traces.connect('t-1', 'pike', '10.0.0.1')
  connection.frame('in', 'HELLO', 61)
  trail = connection.as('default', 'SZ-0042', 'main')
  trail.note('attached', { epoch: 5, offset: 6, reason: 'fresh', about: '10.0.0.1' })
  const open = { command: 'SZ-0042:main:5:7', epoch: 5, offset: 7, name: 'open' }
  trail.frame('out', 'COMMAND', 24, { ...open, payload: bytes('{"door":7}') })
  trail.frame('in', 'REPLY', 9, { offset: 7, sequence: 1, payload: new Uint8Array([0xff, 1]) })
})
after(() => world.close())

const path = '/v1/devices/SZ-0042/trace'

test('a device is traced over all it said and was told, newest last, payloads left out', async () => {
  const { status, body } = await world.call('GET', path, { key: 'key-devices' })
  assert.equal(status, 200)
  const kinds = body.items.map(({ way, type }: { way: string; type: string }) => [way, type])
  assert.deepEqual(kinds, [
    ['state', 'attached'],
    ['out', 'COMMAND'],
    ['in', 'REPLY'],
  ])
  const command = body.items[1]
  assert.equal(command.connection, 't-1')
  assert.equal(command.command, 'SZ-0042:main:5:7')
  assert.equal(command.payload, '10 bytes')
  assert.equal(command.text, undefined)
  const more = await world.call('GET', `${path}?since=${body.next}`)
  assert.deepEqual(more.body.items, [])
})

test('payloads are shown to a key with that scope only; another is told which it needs', async () => {
  const refused = await world.call('GET', `${path}?payloads=true`, { key: 'key-devices' })
  assert.equal(refused.status, 403)
  assert.equal(refused.body.scope, 'payloads')
  const over = await world.call('GET', '/v1/connections/t-1?payloads=true', { key: 'key-devices' })
  assert.equal(over.status, 403)
  const { body } = await world.call('GET', `${path}?payloads=true`, { key: 'key-viewer' })
  assert.equal(body.items[1].text, '{"door":7}')
  assert.equal(body.items[2].base64, '/wE=')
})

test('a trace of nobody, of another app, or from nowhere is refused with what is at fault', async () => {
  assert.equal((await world.call('GET', '/v1/devices/nobody/trace')).status, 404)
  assert.equal((await world.call('GET', path, { key: 'key-other' })).status, 404)
  assert.equal((await world.call('GET', path, { key: 'key-events' })).status, 403)
  for (const since of ['yesterday', '-1', '2026-02-30T99:00:00Z', '1e3']) {
    const { status, body } = await world.call('GET', `${path}?since=${since}`)
    assert.equal(status, 400, since)
    assert.equal(body.errors[0].path, '/since')
  }
  const { status, body } = await world.call('GET', `${path}?limit=0`)
  assert.equal(status, 400)
  assert.equal(body.errors[0].path, '/limit')
})

test('from a time on, and over one connection only', async () => {
  world.clock.advance(60_000)
  const fromMs = world.clock.nowMs()
  const other = world.gateway.traces.connect('t-2', 'mqtt', '10.0.0.2')
  other.as('default', 'SZ-0042', 'main').note('attached')
  const since = new Date(fromMs).toISOString()
  const later = await world.call('GET', `${path}?since=${since}`)
  assert.deepEqual(
    later.body.items.map((one: { protocol: string }) => one.protocol),
    ['mqtt'],
  )
  const only = await world.call('GET', `${path}?connection=t-1`)
  assert.equal(only.body.items.length, 3)
  other.end('lost')
})

test('a connection says who, from where, since when, and what went over it', async () => {
  const { status, body } = await world.call('GET', '/v1/connections/t-1', { key: 'key-devices' })
  assert.equal(status, 200)
  assert.equal(body.state, 'open')
  assert.equal(body.peer, '10.0.0.1')
  assert.deepEqual(body.devices, ['SZ-0042'])
  assert.equal(body.entries[0].type, 'HELLO')
  const ended = await world.call('GET', '/v1/connections/t-2')
  assert.equal(ended.body.state, 'ended')
  assert.equal(ended.body.reason, 'lost')
})

test("another app's connection, and one that is made up, are 404", async () => {
  for (const [token, key] of [
    ['t-1', 'key-other'],
    ['t-3', 'key-all'],
    ['__proto__', 'key-all'],
  ]) {
    const { status, body } = await world.call('GET', `/v1/connections/${token}`, { key: key! })
    assert.equal(status, 404, token)
    assert.match(body.type, /unknown-connection/)
  }
})

test('a command that was not accepted is told in the trace of its device, with why and who asked', async () => {
  const other = await World.open({ bodyMaxBytes: 5_000 })
  await other.device('L-1')
  await other.call('PUT', '/v1/aliases/order-7', { body: { device: 'L-1' } })
  const depth = { commands: 1_000, bytes: 9, oldestAtMs: 0 }
  other.gateway.says = { kind: 'full', depth, retryAfterMs: 1_000 }
  assert.equal((await other.send({ name: 'open' }, { device: 'L-1' })).status, 429)
  const byAlias = { body: { name: 'shut' }, key: 'key-commands' }
  assert.equal((await other.call('POST', '/v1/aliases/order-7/commands', byAlias)).status, 429)
  other.gateway.says = { kind: 'limited', retryAfterMs: 1_000 }
  await other.send({ name: 'open' }, { device: 'L-1' })
  other.gateway.says = undefined
  // Wrong in itself: before anybody looked who it is for.
  await other.send({ name: 'open', ttl: -1 }, { device: 'L-1' })
  await other.send({ name: 'x'.repeat(6_000) }, { device: 'L-1' })
  const headers = { 'content-type': 'application/x-ndjson' }
  const lines = [
    { to: { device: 'L-1' }, name: 'one', delivery: 'soon' },
    { to: { device: 'L-1' }, name: 'two', rate: 5 },
    { to: { device: 'nobody' }, name: 'three', rate: 5 },
    { to: { device: 'not a name' }, name: 'four' },
    { to: 7, name: 'five' },
  ]
  const raw = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  await other.call('POST', '/v1/commands', { raw, headers })
  // Nobody's: told to nobody.
  await other.send({ name: 'open' }, { device: 'nobody' })
  assert.equal((await other.send({ name: 'open' }, { device: 'L-1', key: '' })).status, 401)
  const { body } = await other.call('GET', '/v1/devices/L-1/trace')
  const told = body.items.map((entry: Record<string, unknown>) => {
    const { type, name, reason, about } = entry
    return [type, name, reason, about]
  })
  const not = 'not-accepted'
  assert.deepEqual(told, [
    [not, 'open', 'mailbox-full', 'all'],
    [not, 'shut', 'mailbox-full', 'commands'],
    [not, 'open', 'over-quota', 'all'],
    [not, undefined, 'invalid-request', 'all'],
    [not, undefined, 'body-too-large', 'all'],
    [not, undefined, 'invalid-request', 'all'],
    [not, undefined, 'invalid-request', 'all'],
  ])
  assert.equal(
    traceLine(body.items[0]).split(' ·   ')[1],
    'not accepted: open: mailbox-full, asked by key all',
  )
  await other.close()
})

test('whoever accepts a stream gets what there is, and then what comes', async () => {
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = world.app.server.address() as AddressInfo
  const headers = { authorization: 'Bearer key-devices', accept: 'text/event-stream' }
  const seen = await new Promise<string>((resolve, reject) => {
    let text = ''
    let asked = false
    get({ port, path: `${path}?connection=t-1`, headers }, (answer) => {
      assert.equal(answer.headers['content-type'], 'text/event-stream')
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        text += chunk
        if (!asked && text.includes('"REPLY"')) {
          asked = true
          trail.note('probe')
        }
        if (!text.includes('"probe"')) return
        answer.destroy()
        resolve(text)
      })
    }).on('error', reject)
  })
  const types = [...seen.matchAll(/"type":"([A-Za-z]+)"/g)].map((match) => match[1])
  assert.deepEqual(types, ['attached', 'COMMAND', 'REPLY', 'probe'])
  assert.doesNotMatch(seen, /door/)
})
