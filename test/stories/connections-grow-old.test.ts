import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ProtocolName, protocolNames, protocols } from '../../cli/protocols.ts'
import { sessions } from '../../cli/sessions.ts'
import { memoryStorage, PikeClient } from '../../devices/index.ts'
import { PikeBackend } from '../../src/backend/index.ts'
import { makeSecret } from '../../src/secrets/secrets.ts'
import { startGateway } from '../support/gateway-process.ts'

test('a connection that has grown old is asked to come back, over each protocol that can ask; no command is lost by it', async (t) => {
  const gateway = await startGateway({
    env: { PIKE_LIMITS: 'connectionLifetimeMs=2000', PIKE_HTTP_PORT: '0' },
  })
  const pike = new PikeBackend({ url: gateway.url, key: gateway.apiKey })
  const clients: PikeClient[] = []
  t.after(async () => {
    await Promise.all(clients.map((client) => client.stop()))
    await gateway.stop()
  })
  const locker = async (protocol: ProtocolName, device: string, attributes = {}) => {
    const secret = makeSecret()
    await pike.devices.put(device, { secret, attributes })
    const port = gateway.port(protocols[protocol].listener)
    const client = new PikeClient({
      ...{ host: '127.0.0.1', port, device, secret, storage: memoryStorage() },
      ...sessions[protocol],
    })
    clients.push(client)
    const one = { device, protocol, away: 0, client }
    client.on('receive', (_command, respond) => respond({ status: 'done' }))
    client.on('waiting', () => one.away++)
    client.start()
    return one
  }
  const all = await Promise.all(protocolNames.map((name) => locker(name, `locker-${name}`)))
  const sensor = await locker('pike', 'sensor', { class: 'battery' })
  const mayGo = all.filter(({ protocol }) => protocol !== 'coap')
  const endMs = performance.now() + 60_000
  while (mayGo.some(({ away }) => away < 2)) {
    const said = mayGo.map(({ protocol, away }) => `${protocol} ${away}`).join(', ')
    assert.ok(performance.now() < endMs, `each went twice within a minute: ${said}`)
    for (const { device } of [...all, sensor]) {
      const { id } = await pike.send(device, { name: 'open', expect: 'reply' })
      const { status } = await pike.wait(id, 30)
      assert.equal(status, 'done', device)
    }
  }
  assert.equal(sensor.away, 0, 'a battery is left alone')
  assert.equal(all.find(({ protocol }) => protocol === 'coap')?.away, 0, 'CoAP has no connections')
})
