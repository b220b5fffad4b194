import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { makeWebhookSecret, sign, verify } from '../../src/secrets/webhook-signature.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { Receiver } from './receiver.ts'
import { PushWorld } from './world.ts'

test('signatures are those of Standard Webhooks', () => {
  // The example of its specification.
  const signed = sign(
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    'msg_p5jXN8AQM9LWM0D4loKWxJek',
    1_614_265_330,
    '{"test": 2432232314}',
  )
  assert.equal(signed, 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
  const { id, secret } = makeWebhookSecret()
  assert.match(id, /^[0-9a-f]{12}$/)
  const theirs = new Webhook(secret).sign('msg_1', new Date(1_700_000_000_000), '{"ä":"ö"}')
  assert.equal(sign(secret, 'msg_1', 1_700_000_000, '{"ä":"ö"}'), theirs)
})

test('rule 33: a request is verified by the standardwebhooks package, with either secret of two', async () => {
  const receiver = await Receiver.open()
  const world = await PushWorld.open({ clock: new ManualClock(Date.now()) })
  const secrets = [makeWebhookSecret(), makeWebhookSecret()]
  await world.hook(receiver.url, { secrets })
  await world.say('SZ-1')
  await receiver.until(() => receiver.got.length === 1)
  const { headers, body } = receiver.got[0]!
  for (const { secret } of secrets) {
    const seen = new Webhook(secret).verify(body, { ...headers }) as { webhook: string }
    assert.equal(seen.webhook, 'orders')
  }
  assert.throws(() => new Webhook(makeWebhookSecret().secret).verify(body, { ...headers }))
  assert.throws(() => new Webhook(secrets[0]!.secret).verify(`${body} `, { ...headers }))
  assert.equal(headers['content-type'], 'application/json')
  assert.equal(headers['user-agent'], 'pike-iot/0.0.0')
  await world.close()
  await receiver.close()
})

test('what is not genuine, or old, or half, is not taken', () => {
  const { secret } = makeWebhookSecret()
  const nowSeconds = 1_700_000_000
  const genuine = {
    id: 'msg_1',
    timestamp: String(nowSeconds),
    signature: sign(secret, 'msg_1', nowSeconds, 'body'),
    body: 'body',
    secrets: [secret],
    nowSeconds,
    toleranceSeconds: 300,
  }
  assert.equal(verify(genuine), undefined)
  assert.equal(verify({ ...genuine, body: Buffer.from('body') }), undefined)
  assert.equal(verify({ ...genuine, signature: `v1,AAAA v2,x ${genuine.signature}` }), undefined)
  assert.equal(verify({ ...genuine, nowSeconds: nowSeconds + 300 }), undefined)
  const table: [string, object][] = [
    ['the timestamp is too far from now', { nowSeconds: nowSeconds + 301 }],
    ['the timestamp is too far from now', { nowSeconds: nowSeconds - 301 }],
    ['no signature fits', { body: 'Body' }],
    ['no signature fits', { id: 'msg_2' }],
    ['no signature fits', { secrets: [] }],
    ['no signature fits', { secrets: [makeWebhookSecret().secret] }],
    ['no signature fits', { signature: 'v1,' }],
    ['no signature fits', { signature: genuine.signature.replace('v1,', 'v2,') }],
    ['a header is missing', { id: undefined }],
    ['a header is missing', { timestamp: '' }],
    ['a header is missing', { signature: undefined }],
    ['the timestamp is no number', { timestamp: '1e9' }],
    ['the timestamp is no number', { timestamp: '-1' }],
  ]
  for (const [why, change] of table) assert.equal(verify({ ...genuine, ...change }), why)
})
