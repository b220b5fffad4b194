import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from '../support/world.ts'

test('closing a device looks at its own sessions only, however many others there are', async () => {
  const world = await World.open()
  let looks = 0
  for (let i = 0; i < 20; i++) {
    await world.register(`d${i}`)
    const { session } = await world.attach({ device: `d${i}` })
    const { channel } = session
    Object.defineProperty(session, 'channel', {
      get: () => {
        looks++
        return channel
      },
    })
  }
  for (let i = 0; i < 50; i++) world.hub.refuseDevice('other', `ghost${i}`)
  assert.equal(looks, 0)
})

test('closing a device closes each of its links and turns back who is on the way, nobody else', async () => {
  const world = await World.open()
  await world.register()
  await world.register('other')
  const main = await world.attach()
  const urgent = await world.attach({ channel: 'urgent' })
  const other = await world.attach({ device: 'other' })
  const arriving = world.tryAttach()
  const otherArriving = world.tryAttach({ device: 'other', channel: 'urgent' })
  world.hub.refuseDevice('default', 'locker')
  assert.deepEqual((await arriving).attached, { kind: 'refused', reason: 'device-removed' })
  assert.equal((await otherArriving).attached.kind, 'session')
  assert.equal(main.link.closed?.reason, 'device-removed')
  assert.equal(urgent.link.closed?.reason, 'device-removed')
  assert.equal(other.link.closed, undefined)
  await world.attach() // whoever comes later is asked for its record, as ever
})
