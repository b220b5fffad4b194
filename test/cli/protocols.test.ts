import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type ProtocolName, protocolNames, protocols } from '../../cli/protocols.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { spawnPike } from '../support/pike-process.ts'

const secret = 'a-secret-of-at-least-22-characters'

describe('pike locker --protocol', () => {
  let gateway: GatewayProcess
  before(async () => {
    gateway = await startGateway()
  })
  after(() => gateway.stop())

  const state = async (device: string) =>
    (await gateway.api('GET', `/v1/devices/${device}`)).body.presence
  const open = (device: string, door: number, wait: number) =>
    gateway.api(
      'POST',
      `/v1/devices/${device}/commands`,
      { name: 'open', payload: { door }, expect: 'reply' },
      { prefer: `wait=${wait}` },
    )

  /** A locker that has come; `leaves` sends it away again. */
  async function comes(device: string, protocol: ProtocolName, stateFile: string) {
    const port = String(gateway.port(protocols[protocol].listener))
    const child = spawnPike(
      ['locker', device, '--protocol', protocol, '--port', port, '--secret', secret].concat(
        // Enough for two at each coming, twice.
        ...['--doors', String(4 * protocolNames.length)],
        '--state',
        stateFile,
        '--json',
      ),
    )
    let said = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const gone = new Promise((resolve) => child.once('close', resolve))
    while ((await state(device)).state !== 'online')
      assert.equal(child.exitCode, null, `${protocol}: ${said}`)
    return {
      /** Doors it opened. */
      get opened() {
        return [...said.matchAll(/"locker.door-opened".*?"door":(\d+)/g)].map(([, door]) =>
          Number(door),
        )
      },
      async leaves() {
        child.kill('SIGTERM')
        await gone
        while ((await state(device)).state !== 'offline');
      },
    }
  }

  for (const protocol of protocolNames) {
    test(`a locker opens a door over ${protocol}`, async () => {
      const device = `SZ-${protocol}`
      await gateway.api('PUT', `/v1/devices/${device}`, { secret })
      const locker = await comes(device, protocol, join(gateway.dataDir, `${device}.state`))
      assert.equal((await state(device)).protocol, protocol)
      const sent = await open(device, 7, 20)
      assert.deepEqual([sent.status, sent.body.status], [200, 'done'])
      await locker.leaves()
      const events = await gateway.api('GET', `/v1/events?device=${device}&type=event`)
      assert.equal(events.body.items[0].name, 'door-opened')
    })
  }

  test('a locker changes its protocol between commands and misses none, repeats none', async () => {
    await gateway.api('PUT', '/v1/devices/SZ-all', { secret })
    const stateFile = join(gateway.dataDir, 'SZ-all.state')
    const opened: number[] = []
    let door = 0
    for (const protocol of [...protocolNames, ...protocolNames]) {
      const waiting = await open('SZ-all', ++door, 0)
      const locker = await comes('SZ-all', protocol, stateFile)
      assert.equal((await open('SZ-all', ++door, 20)).body.status, 'done')
      const { body } = await gateway.api('GET', `/v1/commands/${waiting.body.id}`)
      assert.equal(body.status, 'done')
      await locker.leaves()
      opened.push(...locker.opened)
    }
    assert.deepEqual(
      opened,
      Array.from({ length: door }, (_, i) => i + 1),
    )
  })
})
