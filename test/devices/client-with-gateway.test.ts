import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileStorage, PikeClient, type RunningLocker, runLocker } from '../../devices/index.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'

const secret = 'a-secret-of-27-characters-x'

async function register(gateway: GatewayProcess, device: string): Promise<void> {
  const { status } = await gateway.api('PUT', `/v1/devices/${device}`, { secret })
  assert.ok(status === 200 || status === 201)
}

const command = (gateway: GatewayProcess, device: string, body: object, waitS = 10) =>
  gateway.api(
    'POST',
    `/v1/devices/${device}/commands`,
    { expect: 'reply', ...body },
    { prefer: `wait=${waitS}` },
  )

/** Resolves with the next event of this name. */
const next = (client: PikeClient, name: 'running' | 'stopped'): Promise<unknown> =>
  new Promise((resolve) => client.once(name, resolve))

test('a locker on a real gateway: opens, refuses, survives a kill of the gateway and of itself', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pike-locker-'))
  let gateway = await startGateway()
  const { dataDir, ports } = gateway
  let locker: RunningLocker | undefined
  const start = (): RunningLocker =>
    runLocker({
      host: '127.0.0.1',
      port: ports.pike,
      device: 'SZ-0042',
      secret,
      storage: fileStorage(join(folder, 'SZ-0042.state')),
      reconnect: { baseMs: 50, maxMs: 200 },
      doors: { doors: 12, moveMs: 5, jamMs: 20, settings: { 3: { jammed: true } } },
    })
  try {
    await register(gateway, 'SZ-0042')
    locker = start()
    await next(locker.client, 'running')
    const opened = await command(gateway, 'SZ-0042', {
      name: 'open',
      payload: { door: 7 },
      delivery: 'now',
      channel: 'urgent',
    })
    assert.equal(opened.status, 200)
    assert.equal(opened.body.status, 'done')
    assert.equal(opened.body.reply.payload.door, 7)
    const jammed = await command(gateway, 'SZ-0042', { name: 'open', payload: { door: 3 } })
    assert.equal(jammed.body.status, 'failed')
    assert.equal(jammed.body.reason ?? jammed.body.reply.reason, 'jammed')
    const wrong = await command(gateway, 'SZ-0042', { name: 'dance' })
    assert.equal(wrong.body.status, 'rejected')

    // The locker is away; three are accepted; the gateway is killed.
    await locker.stop()
    for (const door of [1, 2, 4])
      await command(gateway, 'SZ-0042', { name: 'open', payload: { door } }, 0)
    await gateway.kill()
    gateway = await startGateway({ dataDir, ports })
    locker = start()
    const { client } = locker
    await next(client, 'running')
    const last = await command(gateway, 'SZ-0042', { name: 'open', payload: { door: 5 } })
    assert.equal(last.body.status, 'done')
    assert.deepEqual(
      locker.opened.map(({ door }) => door),
      [1, 2, 4, 5],
    )

    // Killed while everything is connected: both come back, an event sent meanwhile is kept once.
    await gateway.kill()
    const sent = client.send('cleaned', { door: 5 })
    gateway = await startGateway({ dataDir, ports })
    assert.equal((await sent).kind, 'kept')
    const again = await command(gateway, 'SZ-0042', { name: 'open', payload: { door: 6 } })
    assert.equal(again.body.status, 'done')
    const events = await gateway.api('GET', '/v1/events?device=SZ-0042&type=event&limit=100')
    const names = events.body.items.map(
      ({ name, payload }: { name: string; payload: { door: number } }) => `${name} ${payload.door}`,
    )
    assert.deepEqual(
      names.filter((name: string) => !name.startsWith('door-closed')),
      [
        'door-opened 7',
        'door-opened 1',
        'door-opened 2',
        'door-opened 4',
        'door-opened 5',
        'cleaned 5',
        'door-opened 6',
      ],
    )
  } finally {
    await locker?.stop()
    await gateway.stop()
    await rm(folder, { recursive: true })
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('a wrong secret is refused for good; two hundred clients share one process', async () => {
  const gateway = await startGateway()
  const clients: PikeClient[] = []
  try {
    await register(gateway, 'one')
    const stranger = new PikeClient({
      host: '127.0.0.1',
      port: gateway.ports.pike,
      device: 'one',
      secret: 'not-the-secret-of-this-one-',
    })
    stranger.start()
    const reason = await next(stranger, 'stopped')
    assert.equal((reason as { kind: string }).kind, 'refused')

    for (let n = 0; n < 200; n++) {
      await register(gateway, `d${n}`)
      const client = new PikeClient({
        host: '127.0.0.1',
        port: gateway.ports.pike,
        device: `d${n}`,
        secret,
      })
      clients.push(client)
      client.start()
    }
    const sent = await Promise.all(
      clients.flatMap((client) => [1, 2, 3].map((n) => client.send('beat', { n }))),
    )
    assert.ok(sent.every(({ kind }) => kind === 'kept'))
  } finally {
    await Promise.all(clients.map((client) => client.stop()))
    await gateway.stop()
  }
})
