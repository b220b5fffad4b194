import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { callbacksName, endStatuses, limits } from '../../src/contract/index.ts'
import { World } from './world.ts'

let world: World
before(async () => {
  world = await World.open()
  for (const device of ['SZ-1', 'SZ-2']) await world.device(device)
})
after(() => world.close())
beforeEach(() => {
  world.gateway.says = undefined
  world.gateway.submitted.length = 0
})

const at = (ms: number) => new Date(ms).toISOString()
const now = () => world.clock.nowMs()
const send = (body: object, headers: Record<string, string> = {}) =>
  world.send(body, { device: 'SZ-1', headers })
const bind = (alias: string, body: object) => world.call('PUT', `/v1/aliases/${alias}`, { body })
const sendTo = (alias: string, body: object, headers: Record<string, string> = {}) =>
  world.call('POST', `/v1/aliases/${alias}/commands`, { body, headers })

test('rule 27: an alias is resolved once, at accept; the answer names the device', async () => {
  await bind('order-7', { device: 'SZ-1' })
  const first = await sendTo('order-7', { name: 'open', payload: { door: 7 } })
  assert.deepEqual([first.status, first.body.device], [202, 'SZ-1'])
  assert.equal(first.headers.location, `/v1/commands/${first.body.id}`)
  await bind('order-7', { device: 'SZ-2' })
  const second = await sendTo('order-7', { name: 'open' })
  assert.equal(second.body.device, 'SZ-2')
  const got = await world.call('GET', `/v1/commands/${first.body.id}`)
  assert.deepEqual([got.body.device, got.body.status], ['SZ-1', 'queued'])
})

test('an alias nobody has, or whose time is over, is 404', async () => {
  const never = await sendTo('nobody', { name: 'open' })
  assert.deepEqual([never.status, never.body.type], [404, '/problems/unknown-alias'])
  await bind('short', { device: 'SZ-1', expiresAt: at(now() + 1_000) })
  assert.equal((await sendTo('short', { name: 'open' })).status, 202)
  world.clock.advance(1_000)
  assert.equal((await sendTo('short', { name: 'open' })).status, 404)
})

test('rule 28: by alias too one key is one command, though the alias moved on', async () => {
  await bind('order-8', { device: 'SZ-1' })
  const headers = { 'idempotency-key': 'order-8' }
  const first = await sendTo('order-8', { name: 'open' }, headers)
  await bind('order-8', { device: 'SZ-2' })
  const again = await sendTo('order-8', { name: 'open' }, headers)
  assert.deepEqual([again.status, again.body.id], [202, first.body.id])
})

test('rule 6: what is not due is accepted without a place, and shown with its time', async () => {
  const due = now() + 3_600_000
  const sent = await send({ name: 'open', notBefore: at(due), ttl: 60 })
  assert.equal(sent.status, 202)
  const { id, ...rest } = sent.body
  assert.deepEqual(rest, {
    ...{ device: 'SZ-1', channel: 'main', status: 'queued' },
    ...{ notBefore: at(due), expiresAt: at(due + 60_000) },
  })
  const got = await world.call('GET', `/v1/commands/${id}`)
  assert.deepEqual(
    [got.body.notBefore, got.body.epoch, got.body.offset, got.body.ended],
    [at(due), undefined, undefined, false],
  )
  const history = await world.call('GET', '/v1/devices/SZ-1/commands?status=open')
  assert.ok(history.body.items.some((item: { id: string }) => item.id === id))
})

test('a notBefore of any zone is one moment; of the past it is as if absent', async () => {
  const due = now() + 7_200_000
  const inBerlin = `${at(due + 3_600_000).slice(0, -1)}+01:00`
  await send({ name: 'a', notBefore: inBerlin })
  await send({ name: 'a', notBefore: at(due).toLowerCase() })
  await send({ name: 'a', notBefore: at(now() - 1) })
  await send({ name: 'a', notBefore: at(now()) })
  assert.deepEqual(
    world.gateway.submitted.map(({ notBeforeMs }) => notBeforeMs),
    [due, due, undefined, undefined],
  )
})

test('a notBefore too far ahead, or that is no time, is named', async () => {
  const far = now() + limits.scheduleMaxMs
  assert.equal((await send({ name: 'a', notBefore: at(far) })).status, 202)
  for (const notBefore of [
    at(far + 1),
    'tomorrow',
    '2126-11-21',
    '2126-02-30T00:00:00Z',
    '2126-11-21T09:00:00',
    '2126-11-21T09:00:00Z[Europe/Berlin]',
    1_795_251_600,
    null,
  ]) {
    const answer = await send({ name: 'a', notBefore })
    assert.deepEqual(
      [answer.status, answer.body.errors[0].path],
      [400, '/notBefore'],
      `${notBefore}`,
    )
  }
})

test('as many scheduled commands as may be: 429 with when to come back', async () => {
  world.gateway.says = { kind: 'schedule-full', max: 100, retryAfterMs: 4_200 }
  const answer = await send({ name: 'a', notBefore: at(now() + 60_000) })
  assert.deepEqual(
    [answer.status, answer.body.type, answer.body.max, answer.headers['retry-after']],
    [429, '/problems/schedule-full', 100, '5'],
  )
})

test('over the quota: 429 with when to come back', async () => {
  world.gateway.says = { kind: 'limited', retryAfterMs: 300 }
  const answer = await send({ name: 'a' })
  assert.deepEqual(
    [answer.status, answer.body.type, answer.headers['retry-after']],
    [429, '/problems/over-quota', '1'],
  )
})

test('a callback needs a URL that may be called, and a secret to sign with', async () => {
  const callback = 'https://example.com/done?order=7'
  for (const [url, path] of [
    ['ftp://example.com/', '/callback'],
    ['example.com', '/callback'],
    ['javascript:alert(1)', '/callback'],
    ['http://10.0.0.1/', '/callback'],
    [`https://example.com/${'x'.repeat(2_048)}`, '/callback'],
    ['', '/callback'],
  ] as const) {
    const answer = await send({ name: 'a', callback: url })
    assert.deepEqual([answer.status, answer.body.errors?.[0].path], [400, path], url.slice(0, 40))
  }
  const unsigned = await send({ name: 'a', callback })
  assert.deepEqual([unsigned.status, unsigned.body.type], [409, '/problems/no-callback-secret'])
  assert.equal(world.gateway.submitted.length, 0)
  await world.engine.names.putWebhook({
    ...{ app: 'default', name: callbacksName, url: '', disabled: false },
    secrets: [{ id: 'a', secret: 'whsec_AAAA' }],
    ...{ createdAtMs: now(), changedAtMs: now() },
  })
  const sent = await send({ name: 'a', callback })
  assert.equal(sent.status, 202)
  assert.equal(world.gateway.submitted[0]!.callback, callback)
  const got = await world.call('GET', `/v1/commands/${sent.body.id}`)
  assert.equal(got.body.callback, callback)
  const theirs = await world.call('POST', '/v1/devices/SZ-1/commands', {
    key: 'key-other',
    body: { name: 'a', callback },
  })
  assert.deepEqual([theirs.status, theirs.body.type], [409, '/problems/no-callback-secret'])
})

test('a URL is asked about once in a while, not for every command', async () => {
  let asked = 0
  const { webhooks } = world
  const real = webhooks.refuses.bind(webhooks)
  webhooks.refuses = async (url) => {
    asked++
    return real(url)
  }
  const callback = 'https://example.org/'
  for (let i = 0; i < 5; i++) await send({ name: 'a', callback })
  assert.equal(asked, 1)
  world.clock.advance(10_000)
  await send({ name: 'a', callback })
  assert.equal(asked, 2)
  webhooks.refuses = async () => {
    throw new Error('no names today')
  }
  const failed = await send({ name: 'a', callback: 'https://example.net/' })
  assert.equal(failed.status, 500)
  webhooks.refuses = real
  assert.equal((await send({ name: 'a', callback: 'https://example.net/' })).status, 202)
})

for (const status of endStatuses) {
  test(`a command that ended ${status} is shown so: by itself, explained, and in the history`, async () => {
    const { id } = (await send({ name: status, expect: 'reply' })).body
    await world.gateway.end('default', id, status)
    const got = await world.call('GET', `/v1/commands/${id}`)
    assert.deepEqual([got.body.status, got.body.ended], [status, true])
    assert.equal(got.body.timeline.at(-1).status, status)
    const explained = await world.call('GET', `/v1/commands/${id}/explain`)
    assert.deepEqual([explained.status, explained.body.command.status], [200, status])
    const { items } = (await world.call('GET', `/v1/devices/SZ-1/commands?status=${status}`)).body
    assert.equal(items[0].id, id)
    for (const item of items) assert.equal(item.status, status)
    const late = await world.call('DELETE', `/v1/commands/${id}`)
    assert.deepEqual([late.status, late.body.commandStatus], [409, status])
  })
}
