import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { Receiver } from './receiver.ts'

test('rule 33: a gateway killed in the middle of delivering leaves nothing out', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'pike-webhooks-'))
  const env = { PIKE_WEBHOOK_ALLOW: 'loopback' }
  const receiver = await Receiver.open()
  // Slow enough to be in the middle of it, and failing now and then.
  receiver.answer = (response, _got) => {
    const status = receiver.got.length % 7 === 0 ? 500 : 204
    setTimeout(() => response.writeHead(status).end(), 5)
  }
  const taken = new Set<string>()
  let gateway: GatewayProcess | undefined
  try {
    gateway = await startGateway({ dataDir, env })
    const made = await gateway.api('PUT', '/v1/webhooks/orders', { url: receiver.url })
    assert.equal(made.status, 201, JSON.stringify(made.body))
    for (let i = 0; i < 10; i++) await gateway.api('PUT', `/v1/devices/SZ-${i}`, {})
    for (let life = 0; life < 3; life++) {
      // A `now` without a link ends at once: one event each, kept before it is answered.
      for (let round = 0; round < 10; round++)
        await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            gateway!.api('POST', `/v1/devices/SZ-${i % 10}/commands`, {
              name: 'open',
              delivery: 'now',
            }),
          ),
        )
      await gateway.kill('SIGKILL')
      gateway = await startGateway({ dataDir, env })
    }
    const kept = new Map<string, string[]>()
    let total = 0
    for (let after = ''; ; ) {
      const page = await gateway.api('GET', `/v1/events?limit=1000${after}`)
      for (const { id, device } of page.body.items) {
        kept.set(device, [...(kept.get(device) ?? []), id])
        total++
      }
      if (page.body.caughtUp) break
      after = `&after=${page.body.next}`
    }
    assert.ok(total >= 600, `${total} events`)
    const count = () => {
      for (const { json } of receiver.got) for (const { id } of json.items) taken.add(id)
      return taken.size
    }
    await receiver.until(() => count() === total)
    // In order per device, by the first time each came.
    for (const [device, ids] of kept) {
      const came = receiver.got.flatMap(({ json }) =>
        json.items
          .filter((event: { device: string }) => event.device === device)
          .map(({ id }: { id: string }) => id),
      )
      assert.deepEqual([...new Set(came)], ids)
    }
    assert.equal((await gateway.api('GET', '/v1/webhooks/orders')).body.status.deadLetters, 0)
  } finally {
    await gateway?.stop()
    await receiver.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
})

test('a command with a callback has its outcome posted, by a real gateway', async () => {
  const receiver = await Receiver.open()
  const gateway = await startGateway({ env: { PIKE_WEBHOOK_ALLOW: 'loopback' } })
  try {
    await gateway.api('PUT', '/v1/devices/SZ-1', {})
    const command = { name: 'open', delivery: 'now', callback: `${receiver.url}/order-7` }
    const early = await gateway.api('POST', '/v1/devices/SZ-1/commands', command)
    assert.equal(early.body.type, '/problems/no-callback-secret')
    const made = await gateway.api('POST', '/v1/webhooks/callbacks/secrets')
    assert.equal(made.status, 201)
    const sent = await gateway.api('POST', '/v1/devices/SZ-1/commands', command)
    await receiver.until(() => receiver.got.length === 1)
    const { path, json, headers } = receiver.got[0]!
    assert.equal(path, '/hook/order-7')
    assert.equal(json.items[0].command, sent.body.id)
    assert.equal(json.items[0].status, 'undeliverable')
    assert.equal(headers['pike-key-id'], made.body.id)
    const inward = { ...command, callback: 'http://169.254.169.254/' }
    const refused = await gateway.api('POST', '/v1/devices/SZ-1/commands', inward)
    assert.equal(refused.body.errors[0].path, '/callback')
  } finally {
    await gateway.stop()
    await receiver.close()
  }
})
