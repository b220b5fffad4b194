import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runFleet } from '../../cli/fleet/fleet.ts'
import { dealOut, percentile, readMix } from '../../cli/fleet/mix.ts'
import { protocolNames, protocols } from '../../cli/protocols.ts'
import { seeded } from '../../cli/seeded.ts'
import { PikeBackend } from '../../src/backend/index.ts'
import { startGateway } from '../support/gateway-process.ts'
import { runPike } from '../support/pike-process.ts'

test('a mix is dealt out as exactly as whole devices allow, and the same for the same seed', () => {
  const mix = readMix('pike=3,http=1')
  assert.ok(typeof mix !== 'string', 'read')
  const dealt = dealOut(mix, 10, seeded(1))
  assert.equal(dealt.length, 10)
  assert.equal(dealt.filter((name) => name === 'http').length, 2)
  assert.deepEqual(dealOut(mix, 10, seeded(1)), dealt)
  assert.notDeepEqual(dealOut(mix, 100, seeded(2)), dealOut(mix, 100, seeded(1)))
  for (const wrong of ['', 'amqp=1', 'pike=0', 'pike=x', '__proto__=1', 'pike=1,'])
    assert.equal(typeof readMix(wrong), 'string', wrong)
  assert.equal(percentile([3, 1, 2], 0.5), 2)
  assert.equal(percentile([], 0.5), undefined)
})

test('pike fleet: all connect, every door opens, and the table says so', async () => {
  const gateway = await startGateway()
  const env = { PIKE_API_URL: gateway.url, PIKE_DATA_DIR: gateway.dataDir }
  const named = protocolNames.filter((name) => name !== 'mqtt5') // whose port is that of mqtt
  const ports = named.map((name) => `${name}=${gateway.port(protocols[name].listener)}`)
  const mix = protocolNames.map((name) => `${name}=${name === 'pike' ? 3 : 1}`)
  const devices = protocolNames.length + 2
  const args = ['fleet', '--devices', String(devices), '--mix', mix.join(), '--ports', ports.join()]
  const { code, stdout, stderr } = await runPike([...args, '--json'], env)
  assert.equal(code, 0, stdout + stderr)
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    rows.map(({ protocol, devices, connected, done, otherwise }) => ({
      protocol,
      devices,
      connected,
      done,
      otherwise,
    })),
    protocolNames.map((protocol) => {
      const count = protocol === 'pike' ? 3 : 1
      return { protocol, devices: count, connected: count, done: count, otherwise: 0 }
    }),
  )
  const table = await runPike(args, env)
  assert.match(table.stdout, /PROTOCOL +DEVICES +CONNECTED/)
  await gateway.stop()
})

test('pike fleet --weather: through torn, delayed and reset connections every door opens', async () => {
  const gateway = await startGateway()
  const env = { PIKE_API_URL: gateway.url, PIKE_DATA_DIR: gateway.dataDir }
  const ports = `pike=${gateway.port('pike')},http=${gateway.port('http')}`
  const args = ['fleet', '--devices', '6', '--commands', '3', '--mix', 'http=1,pike=1']
  const weather = ['--weather', 'torn=20%,rtt=20ms,jitter=20ms,reset=1%']
  const { code, stdout, stderr } = await runPike(
    [...args, '--ports', ports, ...weather, '--json'],
    env,
  )
  assert.equal(code, 0, stdout + stderr)
  assert.match(stderr, /weather over Pike: \d+ links, \d+ pieces carried/)
  const wrong = await runPike([...args, '--weather', 'fog=3%'], env)
  assert.notEqual(wrong.code, 0)
  assert.match(wrong.stderr, /"fog" is none of loss, rtt/)
  await gateway.stop()
})

test('pike fleet counts who is not connected as such, and says what became of its commands and why', async () => {
  const gateway = await startGateway()
  const [row] = await runFleet({
    pike: new PikeBackend({ url: gateway.url, key: gateway.apiKey }),
    host: '127.0.0.1',
    port: () => 1, // nobody listens
    devices: 2,
    mix: new Map([['pike', 1]]),
    seed: 1,
    commands: 1,
    prefix: 'lost',
    app: 'default',
    patienceS: 1,
  })
  assert.deepEqual([row!.devices, row!.connected, row!.done, row!.otherwise], [2, 0, 0, 2])
  assert.deepEqual(row!.otherwiseAs, { queued: 2 })
  assert.match(row!.notConnected!, /ECONNREFUSED/)
  await gateway.stop()
})
