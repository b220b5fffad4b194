import assert from 'node:assert/strict'
import { test } from 'node:test'
import { basic, httpRig, RawPeer } from './rig.ts'

const asking = `GET /device/v1/commands?channel=main HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic()}\r\nAccept: text/event-stream\r\n\r\n`

test('a stream that died unseen is cut, though its device speaks by other connections; who answers the probe stays', async (t) => {
  const { rig, ask, port } = await httpRig(t)
  for (const answers of [true, false]) {
    const stream = new RawPeer(port, asking)
    await rig.until('a start', () => stream.text.includes('event: start'))
    const id = await rig.submit()
    await rig.until('a probe', () => stream.text.includes('event: probe'))
    const probe = /"probe":"(\w+)"/.exec(stream.text)![1]
    const said = answers ? `?probe=${probe}` : ''
    for (let i = 0; i < 12 && !stream.closed; i++) {
      assert.equal((await ask(`/device/v1/acks${said}`, { method: 'POST' })).status, 204)
      rig.clock.advance(1_000)
    }
    if (answers) {
      const epoch = /"epoch":"(\d+)"/.exec(stream.text)![1]
      assert.ok(!stream.closed, 'it answered, and was cut off')
      const offset = /"offset":(\d+)/.exec(stream.text)![1]
      await ask(`/device/v1/acks?epoch=${epoch}&upTo=${offset}`, { method: 'POST' })
      assert.equal((await rig.ended(id)).status, 'delivered')
      await ask('/device/v1/commands', { method: 'DELETE' })
      stream.socket.destroy()
    } else await rig.until('cut off', () => stream.closed)
  }
})
