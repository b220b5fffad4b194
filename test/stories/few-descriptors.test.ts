import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { PikeClient } from '../../devices/index.ts'
import { startGateway } from '../support/gateway-process.ts'
import { until } from '../support/turns.ts'

const descriptors = 256
/** By `placesWithin`: a quarter is the process's own, a sixteenth back ends'. */
const deviceMax = 176

test('strangers take every place there is, over all protocols: the gateway lives, and opens a locker for its back end', async (t) => {
  const gateway = await startGateway({
    descriptors,
    env: { PIKE_MQTT_PORT: '0', PIKE_MQTT_WS_PORT: '0', PIKE_HTTP_PORT: '0' },
  })
  t.after(() => gateway.stop())
  const { body } = await gateway.api('PUT', '/v1/devices/SZ-0042', {})
  const locker = new PikeClient({
    ...{ host: '127.0.0.1', port: gateway.ports.pike },
    ...{ device: 'SZ-0042', secret: body.secret },
  })
  locker.on('receive', (_command, respond) => void respond({ status: 'done' }))
  t.after(() => locker.stop())
  locker.start()
  await until(() => locker.state.kind === 'running')

  const sockets: Socket[] = []
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  const ports = ['pike', 'mqtt', 'mqtt-ws', 'http', 'api'].map((name) => gateway.port(name))
  for (let n = 0; n < 2 * descriptors; n++) {
    const socket = connect({ host: '127.0.0.1', port: ports[n % ports.length]! })
    socket.on('error', () => {}).resume()
    sockets.push(socket)
    await new Promise<unknown>((tried) => socket.once('connect', tried).once('close', tried))
  }
  const open = () => sockets.filter(({ destroyed, readable }) => !destroyed && readable).length
  await until(() => open() <= deviceMax + descriptors / 16, 'those too many are turned away')

  // Back ends have their places, but strangers took these too: one gives way.
  const ofApi = sockets.filter((socket) => socket.remotePort === gateway.port('api'))
  for (const socket of ofApi) socket.destroy()
  const sent = await gateway.api(
    'POST',
    '/v1/devices/SZ-0042/commands',
    { name: 'open', payload: {}, expect: 'reply' },
    { prefer: 'wait=20' },
  )
  assert.equal(sent.body.status, 'done', JSON.stringify(sent.body))
  const metrics = await gateway.api('GET', '/metrics')
  assert.match(
    String(metrics.body),
    new RegExp(`pike_limit\\{limit="connectionsMax"\\} ${deviceMax}\\b`),
  )

  // And who comes when they are gone is let in.
  for (const socket of sockets) socket.destroy()
  await locker.stop()
  locker.start()
  await until(() => locker.state.kind === 'running', 'it is back')
})
