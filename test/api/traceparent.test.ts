import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { traceparentOf } from '../../src/api/traceparent.ts'
import { requestOf } from '../../src/webhooks/request.ts'
import { World } from './world.ts'

const sent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

let world: World
before(async () => {
  world = await World.open()
  await world.device('SZ-0042')
})
after(() => world.close())

test('a traceparent is taken as W3C Trace Context has it; another is passed over', () => {
  assert.equal(traceparentOf(sent), sent)
  for (const wrong of [
    undefined,
    '',
    sent.toUpperCase(),
    `${sent}-more`,
    `${sent} `,
    `${sent},${sent}`,
    sent.replace('00-', 'ff-'),
    sent.replace(/-[0-9a-f]{32}-/, `-${'0'.repeat(32)}-`),
    sent.replace(/-[0-9a-f]{16}-/, `-${'0'.repeat(16)}-`),
    sent.slice(1),
    `01-${sent.slice(3)}x`,
    `01-${sent.slice(3)}-${'x'.repeat(300)}`,
  ])
    assert.equal(traceparentOf(wrong), undefined, wrong)
  // Of a version to come: what this one knows.
  assert.equal(traceparentOf(`cc-${sent.slice(3)}-what-else`), sent)
})

test('a command keeps the traceparent of its call, and shows it', async () => {
  const headers = { traceparent: sent }
  const { body } = await world.send({ name: 'open' }, { headers })
  const shown = await world.call('GET', `/v1/commands/${body.id}`)
  assert.equal(shown.body.traceparent, sent)
  const gone = await world.send({ name: 'open', delivery: 'now' }, { headers })
  assert.equal(gone.status, 200)
  assert.equal(gone.body.traceparent, sent)
  const events = await world.call('GET', '/v1/events?type=command.ended')
  assert.equal(events.body.items.at(-1).traceparent, sent)
  const without = await world.send({ name: 'open' }, { headers: { traceparent: 'nonsense' } })
  assert.equal(without.status, 202)
  const other = await world.call('GET', `/v1/commands/${without.body.id}`)
  assert.equal('traceparent' in other.body, false)
})

test('each line of many has the traceparent of the call', async () => {
  const line = `${JSON.stringify({ to: { device: 'SZ-0042' }, name: 'open' })}\n`
  const headers = { traceparent: sent, 'content-type': 'application/x-ndjson' }
  const { text } = await world.call('POST', '/v1/commands', { raw: line, headers })
  const { id } = JSON.parse(text.split('\n')[0]!)
  assert.equal((await world.call('GET', `/v1/commands/${id}`)).body.traceparent, sent)
})

test('a broadcast keeps the traceparent of its call for its commands, by itself or as a line', async () => {
  await world.call('PUT', '/v1/tags/berlin/devices/SZ-0042')
  const headers = { traceparent: sent }
  const body = { name: 'open' }
  const made = await world.call('POST', '/v1/tags/berlin/commands', { body, headers })
  assert.equal(made.status, 202)
  const raw = `${JSON.stringify({ to: { tag: 'berlin' }, name: 'open' })}\n`
  const lines = { traceparent: sent, 'content-type': 'application/x-ndjson' }
  await world.call('POST', '/v1/commands', { raw, headers: lines })
  assert.deepEqual(
    world.gateway.broadcasts.map(({ command }) => command.traceparent),
    [sent, sent],
  )
})

test('a webhook request has the header where all its events are of one trace', async () => {
  const now = await world.send(
    { name: 'open', delivery: 'now' },
    { headers: { traceparent: sent } },
  )
  assert.equal(now.body.ended, true)
  const { body } = await world.call('GET', '/v1/events?type=command.ended')
  const json = JSON.stringify(body.items.at(-1))
  const secrets = [{ id: 'k1', secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', createdAtMs: 0 }]
  const record = { app: 'default', name: 'orders', secrets } as never
  const one = { id: '1-1', json }
  const reply = `{"id":"1-3","type":"reply","app":"default","device":"SZ-0042","channel":"main","at":"2026-01-01T00:00:00Z","traceparent":"${sent}","command":"c","status":"done"}`
  assert.equal(requestOf(record, [one, { id: '1-3', json: reply }], 0).headers.traceparent, sent)
  // A device may say what it likes in a payload.
  const liar = { id: '1-2', json: `{"id":"1-2","type":"event","payload":${json}}` }
  assert.equal(requestOf(record, [one, one], 0).headers.traceparent, sent)
  assert.equal(requestOf(record, [one, liar], 0).headers.traceparent, undefined)
  assert.equal(requestOf(record, [liar], 0).headers.traceparent, undefined)
})
