import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { linesUnder, run } from './page.ts'

const secret = 'c2VjcmV0LW9mLWEtbG9ja2Vy'

const start = async (env: Record<string, string> = {}): Promise<GatewayProcess> => {
  const gateway = await startGateway({
    env: { PIKE_MQTT_PORT: '0', PIKE_MQTT_WS_PORT: 'off', ...env },
  })
  const { status } = await gateway.api('PUT', '/v1/devices/SZ-0042', { secret })
  assert.equal(status, 201)
  return gateway
}

/** How a command ended, once it has. */
async function endOf(gateway: GatewayProcess, id: string): Promise<string> {
  for (;;) {
    const { body } = await gateway.api('GET', `/v1/commands/${id}`)
    if (body.ended) return body.status
  }
}

/** mosquitto_sub, line by line. */
class Subscriber {
  readonly lines: string[] = []
  readonly child: ChildProcess
  #heard: (() => void) | undefined

  constructor(port: number, args: readonly string[]) {
    const who = ['-h', '127.0.0.1', '-p', String(port), '-u', 'SZ-0042', '-P', secret]
    this.child = spawn('mosquitto_sub', [...who, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.on('error', (error) => this.lines.push(`is mosquitto-clients installed? ${error}`))
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.lines.push(...text.split('\n').filter((line) => line !== ''))
        this.#heard?.()
      })
    }
  }

  async line(at: number): Promise<string> {
    const tooLate = setTimeout(() => this.child.kill(), 20_000)
    const gone = once(this.child, 'close').then(() => this.#heard?.())
    while (this.lines.length <= at && this.child.exitCode === null && !this.child.killed) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve
        void gone
      })
    }
    clearTimeout(tooLate)
    return this.lines[at] ?? `only ${JSON.stringify(this.lines)}`
  }
}

test('the mosquitto commands of docs/mqtt.md, "Ten minutes", work as they stand there', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/mqtt.md'), 'utf8')
  const lines = linesUnder(page, '## Ten minutes')
  assert.equal(lines.length, 5)
  const [who, wait, , reply, report] = lines as [string, string, string, string, string]
  const gateway = await start()
  try {
    await gateway.api('PUT', '/v1/devices/SZ-0045', { secret })
    const env = { GATEWAY: '127.0.0.1', PORT: String(gateway.port('mqtt')), SECRET: secret }
    const waiting = run(`${who}; ${wait}`, env)
    const { body } = await gateway.api('POST', '/v1/devices/SZ-0045/commands', {
      name: 'open',
      payload: { door: 7 },
      expect: 'reply',
    })
    const id = body.id as string
    const got = await waiting
    assert.equal(got.code, 0, `is mosquitto-clients installed? ${got.output}`)
    assert.equal(got.output, `commands/${id}/open {"door":7}\n`)
    for (const line of [reply, report]) {
      const { code, output } = await run(`${who}; ${line}`, { ...env, ID: id })
      assert.equal(`${code}${output}`, '0')
    }
    const ended = await gateway.api('GET', `/v1/commands/${id}`)
    assert.equal(ended.body.status, 'done')
    assert.deepEqual(ended.body.reply.payload, { door: 7, opened: true })
    const events = await gateway.api('GET', '/v1/events?type=event')
    assert.deepEqual(
      events.body.items.map((one: { name: string; payload: unknown }) => [one.name, one.payload]),
      [['door-opened', { door: 7 }]],
    )
    const wrong = await run(`${who}; ${report}`, { ...env, SECRET: 'wrong' })
    assert.match(wrong.output, /bad user name or password/i)
  } finally {
    await gateway.stop()
  }
})

test('the mosquitto commands of docs/mqtt.md, "For other devices", work as they stand there', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/mqtt.md'), 'utf8')
  const lines = linesUnder(page, '## For other devices')
  assert.equal(lines.length, 4)
  const [who, wait, reply, report] = lines as [string, string, string, string]
  const gateway = await start()
  try {
    await gateway.api('PUT', '/v1/devices/CAB-1', { secret })
    await gateway.api('PUT', '/v1/devices/box-1', { gateways: ['CAB-1'] })
    const env = { GATEWAY: '127.0.0.1', PORT: String(gateway.port('mqtt')), SECRET: secret }
    for (const more of ['', ' -V 5']) {
      const waiting = run(`${who}${more}; ${wait}`, env)
      const { body } = await gateway.api('POST', '/v1/devices/box-1/commands', {
        ...{ name: 'open', payload: { door: 1 }, expect: 'reply' },
      })
      const id = body.id as string
      const got = await waiting
      assert.equal(got.output, `devices/box-1/commands/${id}/open {"door":1}\n`)
      for (const line of [reply, report]) {
        const { code, output } = await run(`${who}${more}; ${line}`, { ...env, ID: id })
        assert.equal(`${code}${output}`, '0')
      }
      const ended = await gateway.api('GET', `/v1/commands/${id}`)
      assert.equal(ended.body.status, 'done')
    }
    const events = await gateway.api('GET', '/v1/events?type=event&device=box-1')
    assert.deepEqual(
      events.body.items.map(({ name }: { name: string }) => name),
      ['door-opened', 'door-opened'],
    )
    await gateway.api('PUT', '/v1/devices/box-1', { gateways: [] })
    const refused = await run(`${who} -V 5; ${wait}`, env)
    assert.match(refused.output, /subscription.*(rejected|denied|not authorized)|not authorized/i)
  } finally {
    await gateway.stop()
  }
})

test('mosquitto_sub in 3.1 and 3.1.1, persistent and clean, gets what waits, once, in order', async () => {
  const gateway = await start()
  try {
    const port = gateway.port('mqtt')
    for (const [index, args] of [
      ['-V', 'mqttv31', '-i', 'three'],
      ['-V', 'mqttv311', '-i', 'four', '-c'],
    ].entries()) {
      const ids: string[] = []
      for (const name of ['one', 'two', 'three']) {
        const { body } = await gateway.api('POST', '/v1/devices/SZ-0042/commands', {
          name,
          payload: index,
        })
        ids.push(body.id)
      }
      const subscriber = new Subscriber(port, [...args, '-q', '2', '-t', 'commands/#', '-v'])
      try {
        await subscriber.line(2)
        assert.deepEqual(
          subscriber.lines,
          ids.map((id, at) => `commands/${id}/${['one', 'two', 'three'][at]} ${index}`),
        )
        for (const id of ids) {
          assert.equal(await endOf(gateway, id), 'delivered')
        }
      } finally {
        subscriber.child.kill()
      }
    }
  } finally {
    await gateway.stop()
  }
})

test('firmware with topics of its own connects unchanged', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/mqtt.md'), 'utf8')
  const yaml = /```yaml\n([\s\S]*?)```/.exec(page)![1]!
  const env = Object.fromEntries(
    [...yaml.matchAll(/^mqtt-(\w+): "(.*)"$/gm)].map(([, kind, value]) => [
      `PIKE_MQTT_${kind!.toUpperCase()}`,
      value!,
    ]),
  )
  assert.equal(Object.keys(env).length, 3)
  const gateway = await start(env)
  try {
    const subscriber = new Subscriber(gateway.port('mqtt'), ['-q', '1', '-t', 'locker/SZ-0042/cmd'])
    try {
      const { body } = await gateway.api('POST', '/v1/devices/SZ-0042/commands', {
        name: 'open',
        payload: { door: 7 },
        expect: 'reply',
      })
      assert.equal(await subscriber.line(0), '{"door":7}')
      const who = `-h 127.0.0.1 -p ${gateway.port('mqtt')} -u SZ-0042 -P ${secret} -q 1`
      // A reply belongs to the client that got the command; here another one reports.
      const state = await run(`mosquitto_pub ${who} -t locker/SZ-0042/state -m '{"doors":8}'`, {})
      assert.equal(`${state.code}${state.output}`, '0')
      const events = await gateway.api('GET', '/v1/events?type=event')
      assert.equal(events.body.items[0].name, 'state')
      const { body: asked } = await gateway.api('GET', `/v1/commands/${body.id}`)
      assert.ok(['sent', 'delivered'].includes(asked.status), asked.status)
    } finally {
      subscriber.child.kill()
    }
  } finally {
    await gateway.stop()
  }
})
