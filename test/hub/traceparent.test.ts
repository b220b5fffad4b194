import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replyTo, settling, World } from '../support/world.ts'

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

test('what a device answers is of the trace of the call that asked, in time and late', async () => {
  const world = await World.open()
  await world.register('locker')
  const { link, session } = await world.attach()
  await world.command({ expect: 'reply', traceparent })
  await world.command({ expect: 'reply' })
  const settled = settling()
  session.reply(replyTo(link.got[0]!), settled)
  session.reply(replyTo(link.got[1]!), settled)
  await world.quiet()
  // Outcomes never change (rule 8): the second reply to the first is late.
  session.reply(replyTo(link.got[0]!, 'failed'), settled)
  await world.quiet()
  const traced = async (kind: string): Promise<(string | undefined)[]> =>
    (await world.events(kind)).map((event) => ('traceparent' in event ? event.traceparent : ''))
  assert.deepEqual(await traced('reply'), [traceparent, ''])
  assert.deepEqual(await traced('command.late'), [traceparent])
})

test('each command of a broadcast has the traceparent of its call, also after a restart', async () => {
  const before = await World.open()
  const devices = await before.registerTagged('berlin', 3)
  const id = await before.broadcastId({ ratePerSecond: 1 }, { traceparent })
  const world = await before.crash()
  await world.pass(5_000)
  assert.equal(world.report(id).state, 'placed')
  const { link } = await world.attach({ device: devices[2]! })
  await world.quiet()
  assert.equal(link.got[0]?.command.traceparent, traceparent)
  const types = world.hub.traces.trace('default', devices[2]!, { limit: 10 }).items
  assert.ok(
    types.some(({ type, about }) => type === 'traced' && about === traceparent),
    'its trace says so',
  )
})
