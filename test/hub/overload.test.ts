import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settling, uplink, World } from '../support/world.ts'

async function withLockers(): Promise<World> {
  const world = await World.open()
  await world.register('locker')
  await world.register('other')
  return world
}

test('overload 1: a device that comes is told when to come again; who is here stays, and may take over', async () => {
  const world = await withLockers()
  await world.attach()
  world.hub.press(1)
  const { attached } = await world.tryAttach({ device: 'other' })
  assert.equal(attached.kind === 'refused' && attached.reason, 'overloaded')
  assert.ok(attached.kind === 'refused' && (attached.retryAfterMs ?? 0) >= 5_000, 'and when')
  const again = await world.tryAttach()
  assert.equal(again.attached.kind, 'session')
  const { admitted } = await world.tryAdmit({ device: 'other', stays: true })
  assert.equal(admitted.kind === 'refused' && admitted.reason, 'overloaded')
  world.hub.press(0)
  assert.equal((await world.tryAttach({ device: 'other' })).attached.kind, 'session')
})

test('overload 2: what nobody expects to be acknowledged is dropped, everything else is kept', async () => {
  const world = await withLockers()
  const { session } = await world.attach({ uplinkEpoch: 7 })
  const { intake } = await world.admit({ device: 'other' })
  world.hub.press(2)
  const settled = settling()
  const temperature = { ...uplink('temperature'), expendable: true } as const
  session.receive([temperature, uplink('door-opened', 7, 1)], settled)
  intake.receive('main', [temperature, uplink('door-closed')], settled)
  await world.quiet()
  const names = (await world.events('event')).map((one) => one.kind === 'event' && one.name)
  assert.deepEqual(names.sort(), ['door-closed', 'door-opened'])
  assert.deepEqual(settled.outcomes, ['kept', 'kept'])
  assert.equal(world.hub.figures().uplinks_shed_total, 2)
})

test('overload 3: fewer commands are out at once, and all of them arrive when it is over', async () => {
  const world = await withLockers()
  const { link, session } = await world.attach()
  world.hub.press(3)
  for (let i = 0; i < 6; i++) await world.command()
  await world.quiet()
  assert.equal(link.got.length, 2)
  session.acknowledgeUpTo(link.got[1]!.command.offset)
  await world.quiet()
  assert.equal(link.got.length, 4)
  world.hub.press(0)
  await world.quiet()
  assert.equal(link.got.length, 6)
})

test('overload 4: a back end is told to wait, and what was accepted before goes on', async () => {
  const world = await withLockers()
  const id = await world.command()
  world.hub.press(4)
  const refused = await world.submit()
  assert.equal(refused.kind, 'limited')
  assert.equal(await world.status(id), 'queued')
  world.hub.press(0)
  assert.equal((await world.submit()).kind, 'accepted')
})

test('leaving: no command is written any more, those who come are refused, and a cancel goes on where it was', async () => {
  const world = await withLockers()
  const { link } = await world.attach()
  await world.command()
  await world.quiet()
  world.hub.leave(() => 3_000)
  const id = await world.command()
  await world.quiet()
  assert.equal(link.got.length, 1)
  assert.equal((await world.hub.explain('default', id))?.code, 'waiting.leaving')
  const { attached } = await world.tryAttach({ device: 'other' })
  assert.deepEqual(attached, { kind: 'refused', reason: 'going-away', retryAfterMs: 3_000 })
  assert.deepEqual(world.hub.ready(), { ok: false, why: 'draining' })
  world.hub.leave(undefined)
  await world.quiet()
  assert.equal(link.got.length, 2)
})
