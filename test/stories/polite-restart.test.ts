import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ProtocolName, protocolNames, protocols } from '../../cli/protocols.ts'
import { sessions } from '../../cli/sessions.ts'
import { memoryStorage, PikeClient } from '../../devices/index.ts'
import { PikeBackend } from '../../src/backend/index.ts'
import { makeSecret } from '../../src/secrets/secrets.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'

const devices = 200
const commandsEach = 3

interface Firmware {
  readonly device: string
  readonly protocol: ProtocolName
  readonly client: PikeClient
  readonly got: number[]
  repeats: number
  running: boolean
}

/** A gateway on ports of its own that stay the same over a restart, and devices of every protocol. */
async function town(t: TestContext) {
  const dataDir = mkdtempSync(join(tmpdir(), 'pike-polite-'))
  const ports: Record<string, number> = {}
  for (const name of ['api', 'pike', 'mqtt', 'coap', 'http']) ports[name] = await freePort()
  const env = {
    PIKE_MQTT_PORT: String(ports.mqtt),
    PIKE_COAP_PORT: String(ports.coap),
    PIKE_HTTP_PORT: String(ports.http),
    PIKE_LOG_LEVEL: 'info',
  }
  const start = (): Promise<GatewayProcess> =>
    startGateway({ dataDir, env, ports: { api: ports.api!, pike: ports.pike! } })
  let gateway = await start()
  const pike = new PikeBackend({ url: gateway.url, key: gateway.apiKey })
  const all: Firmware[] = []
  t.after(async () => {
    await Promise.all(all.map(({ client }) => client.stop()))
    await gateway.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })
  for (let i = 0; i < devices; i++) {
    const device = `d${i}`
    const secret = makeSecret()
    const protocol = protocolNames[i % protocolNames.length]!
    await pike.devices.put(device, { secret })
    const client = new PikeClient({
      ...{ host: '127.0.0.1', port: ports[protocols[protocol].listener]!, device, secret },
      ...sessions[protocol],
      storage: memoryStorage(),
    })
    const one: Firmware = { device, protocol, client, got: [], repeats: 0, running: false }
    client.on('receive', (command, respond) => {
      const { n } = JSON.parse(Buffer.from(command.payload).toString()) as { n: number }
      if (one.got.includes(n)) one.repeats++
      else one.got.push(n)
      if (command.replyExpected) respond({ status: 'done' })
    })
    client.on('state', ({ kind }) => {
      one.running = kind === 'running'
    })
    all.push(one)
  }
  return {
    ...{ all, pike },
    gateway: () => gateway,
    async restart() {
      const { code } = await gateway.stop()
      const said = gateway.stderr
      gateway = await start()
      return { code, said }
    },
  }
}

const placeOf = (id: string): number => Number(id.slice(id.lastIndexOf(':') + 1))

/** One that is free now; it has to be known before the start, to be the same after it. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function until(what: string, is: () => boolean): Promise<void> {
  const endMs = performance.now() + 60_000
  while (!is()) {
    assert.ok(performance.now() < endMs, `in a minute: ${what}`)
    await new Promise((look) => setTimeout(look, 20))
  }
}

test('two hundred devices of all protocols over a polite restart: nothing is lost, nothing comes twice to a Pike application, and those who were told come back', async (t) => {
  const { all, pike, restart } = await town(t)
  for (const { client } of all) client.start()
  await until('all are connected', () => all.every(({ running }) => running))
  const accepted: Promise<{ readonly id: string; readonly n: number }>[] = []
  const send = (n: number): void => {
    for (const { device } of all) {
      const command = { name: 'open', payload: { n }, expect: 'reply' } as const
      accepted.push(pike.send(device, command).then(({ id }) => ({ id, n })))
    }
  }
  send(1)
  const told: string[] = []
  for (const { client, device } of all)
    client.on('waiting', ({ why }) => void told.push(`${device}: ${why}`))
  send(2)
  const { code, said } = await restart()
  assert.equal(code, 0, 'a polite end')
  const events = said.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line).event]))
  assert.ok(events.includes('drain.begun'), 'the log says that it leaves')
  assert.ok(events.includes('drain.ended'), 'and that all have left')
  send(3)
  const commands = await Promise.all(accepted)
  await until('every device has all of its commands', () =>
    all.every(({ got }) => got.length === commandsEach),
  )
  for (const { device, protocol, got, repeats } of all) {
    // In the order in which they were accepted: an id ends in its place.
    const wanted = commands
      .filter(({ id }) => id.startsWith(`${device}:`))
      .sort((a, b) => placeOf(a.id) - placeOf(b.id))
      .map(({ n }) => n)
    assert.deepEqual(got, wanted, `${device} over ${protocol}, in order`)
    if (protocol === 'pike') assert.equal(repeats, 0, `${device}: no repeats over Pike`)
  }
  // However often it was asked in vain, each is one command and has one end.
  for (const { id } of commands) {
    const ended = await pike.wait(id, 30)
    assert.equal(ended.status, 'done', id)
  }
  const ofPike = all.filter(({ protocol }) => protocol === 'pike').map(({ device }) => device)
  for (const device of ofPike)
    assert.ok(
      told.some((line) => line.startsWith(`${device}: the server is going away`)),
      `${device} was told`,
    )
})
