import assert from 'node:assert/strict'
import { test } from 'node:test'
import { namesOf, type Protocol, Street } from './street.ts'

const speakers: readonly Protocol[] = ['mqtt', 'mqtt5', 'coap', 'http']

for (const protocol of speakers) {
  test(`a device that subscribes late, ${protocol}: what it reports is kept meanwhile, and then it gets what waited, in order`, async (t) => {
    const street = await Street.make(t)
    const { rig } = street
    const device = street.locker(protocol)
    assert.equal(await street.answer(device.post!('booted', {})), 'kept')
    const ids = [await rig.submit({ name: 'one' }), await rig.submit({ name: 'two' })]
    const now = await rig.ended(await rig.submit({ name: 'open', delivery: 'now' }))
    assert.deepEqual([now.status, now.reason], ['undeliverable', 'no-link'], 'it does not receive')
    assert.equal(await street.answer(device.post!('ready', {})), 'kept')
    await rig.calm()
    assert.deepEqual(device.received, [])
    assert.equal(await street.answer(device.connect()), 'attached')
    for (const id of ids) assert.equal((await rig.ended(id)).status, 'delivered')
    assert.deepEqual(namesOf(device), ['one', 'two'])
    const events = (await rig.events('event')).map((one) => one.kind === 'event' && one.name)
    assert.deepEqual(events, ['booted', 'ready'])
  })

  test(`a publish-only client, ${protocol}, beside the one that listens, over Pike: it takes nothing away and both are heard`, async (t) => {
    const street = await Street.make(t)
    const { rig } = street
    const listener = street.locker('pike')
    await listener.connect()
    const speaker = street.locker(protocol)
    assert.equal(await street.answer(speaker.post!('from-the-speaker', {})), 'kept')
    assert.equal(await street.answer(listener.event('from-the-listener', {})), true)
    const id = await rig.submit()
    assert.equal((await rig.ended(id)).status, 'delivered')
    await speaker.drop()
    await rig.calm()
    assert.equal(listener.attached, true)
    assert.equal(rig.hub.presence('default', 'locker').state, 'online', 'one of it is still there')
    assert.equal((await rig.ended(await rig.submit())).status, 'delivered')
    assert.equal(listener.received.length, 2)
    assert.deepEqual(speaker.received, [])
    const events = (await rig.events('event')).map((one) => one.kind === 'event' && one.name)
    assert.deepEqual(events, ['from-the-speaker', 'from-the-listener'])
  })
}
