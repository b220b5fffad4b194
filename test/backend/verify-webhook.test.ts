import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { type VerifyWebhook, verifyWebhook, WebhookNotGenuine } from '../../src/backend/index.ts'

const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const other = `whsec_${Buffer.alloc(32, 8).toString('base64')}`
const nowMs = Date.UTC(2026, 10, 21, 9)
const item = { id: '1a2b3c-0000000042', type: 'presence', device: 'SZ-1', state: 'online' }
const body = JSON.stringify({ app: 'default', webhook: 'orders', items: [item] })

/** Signed by somebody else's implementation of the standard. */
function signed(by = secret, text = body, atMs = nowMs) {
  const at = new Date(atMs)
  return {
    'webhook-id': 'msg-1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(by).sign('msg-1', at, text),
  }
}

const check = (over: Partial<VerifyWebhook>) =>
  verifyWebhook({ headers: signed(), body, secrets: secret, nowMs, ...over })

test('a delivery signed by the standard is genuine, and says what it holds', () => {
  const delivery = check({})
  assert.deepEqual(delivery, { id: 'msg-1', app: 'default', webhook: 'orders', items: [item] })
  assert.deepEqual(check({ body: Buffer.from(body), headers: new Headers(signed()) }), delivery)
})

test('during a rotation either secret will do', () => {
  assert.equal(check({ secrets: [other, secret] }).webhook, 'orders')
  const both = `${signed(other)['webhook-signature']} ${signed()['webhook-signature']}`
  assert.equal(check({ headers: { ...signed(), 'webhook-signature': both } }).webhook, 'orders')
})

test('what is forged, changed, old, or no delivery is not genuine, and says why', () => {
  const cases: [over: Partial<VerifyWebhook>, why: RegExp][] = [
    [{ secrets: other }, /no signature fits/],
    [{ secrets: [] }, /no signature fits/],
    [{ body: body.replace('online', 'offline') }, /no signature fits/],
    [{ headers: { ...signed(), 'webhook-id': 'msg-2' } }, /no signature fits/],
    [{ headers: { ...signed(), 'webhook-signature': 'v1,' } }, /no signature fits/],
    [{ headers: {} }, /a header is missing/],
    [{ headers: { ...signed(), 'webhook-timestamp': 'soon' } }, /no number/],
    [{ nowMs: nowMs + 301_000 }, /too far from now.*repeats an old/],
    [{ nowMs: nowMs - 301_000 }, /too far from now/],
    [{ nowMs: nowMs + 20_000, toleranceSeconds: 10 }, /too far from now/],
    [{ body: '7', headers: signed(secret, '7') }, /not a delivery/],
    [{ body: '{"items":7}', headers: signed(secret, '{"items":7}') }, /not a delivery/],
  ]
  for (const [over, why] of cases)
    assert.throws(
      () => check(over),
      (error) => error instanceof WebhookNotGenuine && why.test(error.message),
    )
})
