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
  assert.deepEqual((await arriving).attached, { kind: 'refused', reason: 'device-disabled' })
  assert.equal((await otherArriving).attached.kind, 'session')
  assert.equal(main.link.closed?.reason, 'device-disabled')
  assert.equal(urgent.link.closed?.reason, 'device-disabled')
  assert.equal(other.link.closed, undefined)
  await world.attach() // whoever comes later is asked for its record, as ever
})

test('a device that was disabled is offline for that reason, in its events too; one that was removed for the other', async () => {
  const world = await World.open()
  const why = async () =>
    (await world.events('presence')).map((one) =>
      one.kind === 'presence' ? `${one.device} ${one.state} ${one.reason ?? ''}`.trim() : '',
    )
  await world.register()
  await world.register('sleeper')
  await world.attach()
  const { source } = await world.admit({ stays: true })
  const sleeper = await world.attach({ device: 'sleeper' })
  sleeper.session.detach(true, world.clock.nowMs() + 60_000)
  world.hub.refuseDevice('default', 'locker')
  world.hub.refuseDevice('default', 'sleeper')
  await world.quiet()
  assert.equal(source.closed?.reason, 'device-disabled')
  assert.equal(world.hub.presence('default', 'locker').reason, 'device-disabled')
  assert.deepEqual((await why()).slice(-2), [
    'locker offline device-disabled',
    'sleeper offline device-disabled',
  ])
  await world.attach()
  await world.hub.removeDevice('default', 'locker')
  await world.quiet()
  assert.equal((await why()).at(-1), 'locker offline device-removed')
})
