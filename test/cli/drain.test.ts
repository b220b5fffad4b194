import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { PikeClient } from '../../devices/index.ts'
import { startGateway } from '../support/gateway-process.ts'
import { runPike } from '../support/pike-process.ts'

test('pike drain sends a device away and lets none in, --status says so, and --cancel lets it come back', async (t) => {
  const gateway = await startGateway()
  t.after(() => gateway.stop())
  const env = { PIKE_API_URL: gateway.url, PIKE_API_KEY: gateway.apiKey }
  const { body } = await gateway.api('PUT', '/v1/devices/locker', {})
  const client = new PikeClient({
    ...{ host: '127.0.0.1', port: gateway.ports.pike, device: 'locker', secret: body.secret },
  })
  t.after(() => client.stop())
  const running = once(client, 'running')
  client.start()
  await running
  const waiting = once(client, 'waiting')

  const drained = await runPike(['drain', '--json'], env)
  assert.equal(drained.code, 0, drained.stderr)
  const { state, left } = JSON.parse(drained.stdout)
  assert.deepEqual({ state, left }, { state: 'drained', left: 0 })
  const [{ why }] = await waiting
  assert.match(why, /going away/)

  const ready = await gateway.api('GET', '/readyz')
  assert.deepEqual([ready.status, ready.body.detail], [503, 'draining'])
  // Back ends are served on; what they send waits.
  const sent = await gateway.api('POST', '/v1/devices/locker/commands', { name: 'open' })
  assert.equal(sent.status, 202)
  assert.equal((await gateway.api('GET', '/v1/drain')).body.state, 'drained')

  const received = once(client, 'receive')
  const canceled = await runPike(['drain', '--cancel'], env)
  assert.equal(canceled.code, 0, canceled.stderr)
  assert.match(canceled.stdout, /not draining/)
  const [command] = await received
  assert.equal(command.id, sent.body.id)
})

test('a drain is for administrators', async (t) => {
  const gateway = await startGateway()
  t.after(() => gateway.stop())
  const { body } = await gateway.api('PUT', '/v1/apps/default/keys/shop', {
    scopes: ['devices', 'commands', 'events'],
  })
  const headers = { authorization: `Bearer ${body.key}` }
  for (const method of ['GET', 'POST', 'DELETE'])
    assert.equal((await gateway.api(method, '/v1/drain', undefined, headers)).status, 403, method)
  assert.equal((await gateway.api('GET', '/v1/drain')).body.state, 'open')
})
