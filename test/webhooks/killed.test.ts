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
