import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { startGateway } from '../support/gateway-process.ts'
import { linesUnder, run } from './page.ts'

const secret = 'c2VjcmV0LW9mLWEtbG9ja2Vy'

test('the mosquitto commands of docs/mqtt.md, "MQTT 5", work as they stand there', async () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/mqtt.md'), 'utf8')
  const lines = linesUnder(page, '## MQTT 5')
  assert.equal(lines.length, 5)
  const [who, wait, , reply, report] = lines as [string, string, string, string, string]
  const gateway = await startGateway({
    env: { PIKE_MQTT_PORT: '0', PIKE_MQTT_WS_PORT: 'off' },
  })
  try {
    const { status } = await gateway.api('PUT', '/v1/devices/SZ-0045', { secret })
    assert.equal(status, 201)
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
    assert.match(got.output, new RegExp(`^replies/${id} pike-command:${id} .*\\{"door":7\\}\n$`))
    for (const line of [reply, report]) {
      const { code, output } = await run(`${who}; ${line}`, { ...env, ID: id })
      assert.equal(`${code}${output}`, '0')
    }
    const ended = await gateway.api('GET', `/v1/commands/${id}`)
    assert.equal(`${ended.body.status} ${ended.body.reason}`, 'failed jammed')
    const events = await gateway.api('GET', '/v1/events?type=event')
    assert.deepEqual(
      events.body.items.map((one: { name: string; stamp: unknown }) => [one.name, one.stamp]),
      [['door-opened', { epoch: 7, sequence: 1 }]],
    )
    for (const [password, topic, words] of [
      ['wrong-secret', 'events/a', /Bad User Name or Password/],
      [secret, 'state/other', /Not authorized/],
    ] as const) {
      const { output } = await run(`${who}; mosquitto_pub "$@" -q 1 -t ${topic} -m x`, {
        ...env,
        SECRET: password,
      })
      assert.match(output, words)
    }
  } finally {
    await gateway.stop()
  }
})
