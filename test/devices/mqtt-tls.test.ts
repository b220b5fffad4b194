import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mqtt5Session, mqttSession, PikeClient } from '../../devices/index.ts'
import { type MqttDoor, mqttSubject } from '../adapters/mqtt/subject.ts'
import { cert, key } from '../adapters/pike/certificate.ts'
import { AdapterRig, secretOf } from '../support/adapter-subject.ts'
import { memorySubject } from '../support/engine-memory.ts'

for (const [name, session] of Object.entries({ mqttSession, mqtt5Session })) {
  test(`${name} over TLS: a trusted gateway is used, one that nobody vouches for is not`, async (t) => {
    const rig = await AdapterRig.make(
      t,
      mqttSubject(memorySubject, 4, { tls: { port: 0, cert, key } }),
    )
    await rig.register()
    const { listeners } = rig.door as MqttDoor
    const port = listeners.find((one) => one.name === 'mqtts')!.port
    const make = (tls: true | { ca: string }): PikeClient => {
      const secret = secretOf('locker')
      const who = { device: 'locker', secret, clock: rig.clock }
      const client = new PikeClient({ ...who, host: 'localhost', port, tls, session })
      t.after(() => client.stop())
      client.start()
      return client
    }
    const wary = make(true)
    await rig.until('it was told why', () => wary.state.kind === 'waiting')
    assert.match(wary.state.kind === 'waiting' ? wary.state.why : '', /self-signed/i)
    await wary.stop()
    const trusting = make({ ca: cert })
    const id = await rig.submit({ expect: 'reply' })
    trusting.on('receive', (_command, respond) => void respond({ status: 'done' }))
    assert.equal((await rig.ended(id)).status, 'done')
    assert.equal((await trusting.send('a')).kind, 'kept')
  })
}
