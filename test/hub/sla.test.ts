import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SlaSeries } from '../../src/contract/index.ts'
import { Sla } from '../../src/hub/sla.ts'
import { replyTo, settling, uplink, World } from '../support/world.ts'

async function withLocker(): Promise<World> {
  const world = await World.open()
  await world.register()
  return world
}

const only = (world: World): SlaSeries => {
  const all = world.hub.sla()
  assert.equal(all.length, 1)
  return all[0]!
}

const down = (world: World) => {
  const { downlinks, downlinksAcknowledged } = only(world)
  return [downlinks, downlinksAcknowledged]
}

const up = (world: World) => {
  const { uplinks, uplinksAcknowledged } = only(world)
  return [uplinks, uplinksAcknowledged]
}

test('a command counts once when it is written and once when it is acknowledged, however often both come', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  await world.command()
  assert.deepEqual(down(world), [1, 0])
  await world.pass(70)
  const { offset } = link.got[0]!.command
  session.acknowledge(offset)
  session.acknowledge(offset)
  session.acknowledgeUpTo(offset)
  await world.quiet()
  assert.deepEqual(down(world), [1, 1])
  assert.equal(only(world).downlinkSeconds.sum, 0.07)
})

test('a command that goes again on a newer link is the same command: its time counts from the first writing', async () => {
  const world = await withLocker()
  const first = await world.attach()
  await world.command()
  first.session.detach(false)
  await world.pass(3_000)
  const second = await world.attach()
  assert.equal(second.link.got.length, 1)
  assert.deepEqual(down(world), [1, 0])
  await world.pass(1_000)
  second.session.acknowledge(second.link.got[0]!.command.offset)
  await world.quiet()
  assert.deepEqual(down(world), [1, 1])
  assert.equal(only(world).downlinkSeconds.sum, 4)
})

test('a device that comes back standing past a command has acknowledged it, once', async () => {
  const world = await withLocker()
  const first = await world.attach()
  await world.command({ expect: 'reply' })
  const got = first.link.got[0]!
  first.session.detach(false)
  await world.pass(2_000)
  const { epoch, offset } = got.command
  const second = await world.attach({ resumeFrom: { epoch, offset } })
  assert.deepEqual(down(world), [1, 1])
  second.session.reply(replyTo(got), settling())
  await world.quiet()
  assert.deepEqual(down(world), [1, 1])
  assert.equal(only(world).downlinkSeconds.sum, 2)
})

test('a reply acknowledges; a reply after the acknowledgement does not count again', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  await world.command({ expect: 'reply' })
  await world.command({ expect: 'reply' })
  session.reply(replyTo(link.got[0]!), settling())
  session.acknowledge(link.got[1]!.command.offset)
  session.reply(replyTo(link.got[1]!), settling())
  await world.quiet()
  assert.deepEqual(down(world), [2, 2])
  assert.deepEqual(up(world), [2, 2])
})

test('an acknowledgement that is being kept while its link dies counts, and counts once', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  await world.command({ expect: 'reply' })
  session.acknowledge(link.got[0]!.command.offset)
  session.reply(replyTo(link.got[0]!), settling())
  session.detach(false)
  await world.quiet()
  assert.deepEqual(down(world), [1, 1])
})

test('a command that nobody acknowledges stays unacknowledged, also when proof comes after its end', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const id = await world.command({ ttlMs: 5_000 })
  for (let passed = 0; passed < 20; passed++) {
    session.touch()
    await world.pass(1_000)
  }
  assert.equal(await world.status(id), 'in-doubt')
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  assert.deepEqual(down(world), [1, 0])
})

test('what was on a link when the gateway stopped is not counted a second time', async () => {
  const world = await withLocker()
  await world.attach()
  await world.command()
  const after = await world.crash()
  const { link, session } = await after.attach()
  assert.equal(link.got[0]!.repeated, true)
  session.acknowledge(link.got[0]!.command.offset)
  await after.command()
  session.acknowledge(link.got[1]!.command.offset)
  await after.quiet()
  assert.deepEqual(down(after), [1, 1])
})

test('an uplink counts once when it came, and once when it was kept; repeats do not count', async () => {
  const world = await withLocker()
  const { session } = await world.attach({ uplinkEpoch: 7 })
  session.receive([uplink('opened', 7, 1), uplink('closed', 7, 2)], settling())
  session.receive([uplink('opened', 7, 1)], settling())
  session.receive([uplink('no stamp')], settling())
  session.receive([{ ...uplink('marked'), maybeRepeat: true }], settling())
  assert.deepEqual(up(world), [3, 0])
  await world.quiet()
  assert.deepEqual(up(world), [3, 3])
})

test('a reply without a stamp that comes again is no further uplink', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  await world.command({ expect: 'reply' })
  for (let time = 0; time < 3; time++) {
    session.reply(replyTo(link.got[0]!), settling())
    await world.quiet()
  }
  assert.deepEqual(up(world), [1, 1])
})

test('an uplink that could not be kept is not acknowledged', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  session.receive([uplink('opened')], settling())
  world.engine.fail('down')
  await world.quiet()
  assert.deepEqual(up(world), [1, 0])
})

test('a channel is available when its session has started; who is refused is not counted', async () => {
  const world = await withLocker()
  const { attached } = await world.tryAttach()
  assert.ok(attached.kind === 'session')
  await world.pass(20)
  attached.session.start()
  await world.tryAttach({ channel: 'nobody-has-it' })
  const { channels, channelSeconds } = only(world)
  assert.equal(channels, 1)
  assert.equal(channelSeconds.sum, 0.02)
})

test('figures are by app, protocol and the class of the device', async () => {
  const world = await withLocker()
  const record = await world.engine.names.device('default', 'locker')
  await world.engine.names.putDevice({
    ...record!,
    device: 'bike',
    attributes: { class: 'battery' },
  })
  await world.attach()
  await world.attach({ device: 'bike' })
  assert.deepEqual(
    world.hub.sla().map(({ app, protocol, deviceClass }) => [app, protocol, deviceClass]),
    [
      ['default', 'memory', 'none'],
      ['default', 'memory', 'battery'],
    ],
  )
})

test('apps and classes beyond their bounds are summed under other', () => {
  const sla = new Sla({ slaAppsMax: 2, slaClassesMax: 1 })
  for (const app of ['a', 'b', 'c', 'd', 'constructor']) sla.tally(app, 'pike', 'small').uplinks++
  sla.tally('a', 'pike', 'large').uplinks++
  sla.tally('a', 'pike', undefined).uplinks++
  const told = sla.all().map(({ app, deviceClass, uplinks }) => `${app} ${deviceClass} ${uplinks}`)
  assert.deepEqual(told, ['a small 1', 'b small 1', 'other small 3', 'a other 1', 'a none 1'])
})

test('whatever a device record says its class is, the series stay bounded and every message is in one', () => {
  const anything = fc.oneof(fc.anything(), fc.string(), fc.constantFrom('__proto__', 'other', 'x'))
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), anything)), (all) => {
      const sla = new Sla({ slaAppsMax: 3, slaClassesMax: 2 })
      for (const [app, deviceClass] of all) sla.tally(app, 'pike', deviceClass).uplinks++
      assert.ok(sla.all().length <= 4 * 4)
      assert.equal(
        sla.all().reduce((sum, { uplinks }) => sum + uplinks, 0),
        all.length,
      )
    }),
  )
})

test('every time falls into one bucket, whose bound it does not pass', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(200_000)), (times) => {
      const tally = new Sla({ slaAppsMax: 1, slaClassesMax: 1 }).tally('a', 'pike', undefined)
      for (const ms of times) tally.channelAvailable(ms)
      const { bounds, counts, sum } = tally.channelSeconds
      assert.equal(counts.length, bounds.length + 1)
      let below = 0
      for (const [at, bound] of bounds.entries()) {
        below += counts[at]!
        assert.equal(below, times.filter((ms) => ms <= bound * 1_000).length)
      }
      assert.equal(below + counts.at(-1)!, times.length)
      assert.ok(Math.abs(sum - times.reduce((all, ms) => all + ms, 0) / 1_000) < 1e-6)
    }),
  )
})
