import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turns } from '../support/turns.ts'
import type { MemoryLink } from '../support/world.ts'
import { World } from '../support/world.ts'

const second = 1_000

/** A world with so many boxes tagged `berlin`. */
async function withTagged(count: number, limits = {}) {
  const world = await World.open({ limits })
  const devices = await world.registerTagged('berlin', count)
  return { world, devices }
}

const ended = async (world: World, id: string) => {
  const { status, reason } = await world.ended(id)
  return `${status}(${reason ?? ''})`
}

test('rule 27: every device of the tag gets one command, and the report counts what became of it', async () => {
  const { world, devices } = await withTagged(5)
  await world.register('elsewhere', 'default', {}, { tags: ['paris'] })
  const { link, session } = await world.attach({ device: devices[0]! })
  const id = await world.broadcastId()
  const report = world.report(id)
  assert.deepEqual([report.state, report.devices, report.waiting, report.open], ['placed', 5, 0, 5])
  assert.deepEqual([...(await world.members(id)).keys()], devices)
  assert.deepEqual(link.names, ['update'])
  assert.equal(link.got[0]!.command.broadcast, id)
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  assert.deepEqual(world.report(id).ended, { delivered: 1 })
  assert.equal(world.report(id).open, 4)
  assert.equal((await world.counts()).accepted, 5)
})

test('rule 27: its members are a snapshot: who is tagged later is none, who is untagged stays one', async () => {
  const { world, devices } = await withTagged(4)
  const id = await world.broadcastId({ ratePerSecond: 1 })
  assert.equal(world.report(id).waiting, 3)
  await world.register('late', 'default', {}, { tags: ['berlin'] })
  await world.register(devices[3]!) // without its tag
  for (let i = 0; i < 4; i++) await world.pass(second)
  const members = await world.members(id)
  assert.deepEqual([...members.keys()], devices)
  assert.ok([...members.values()].every((command) => command !== undefined))
})

test('rule 27: a full mailbox is that device’s outcome, and so is whatever keeps a command from it', async () => {
  const { world } = await withTagged(6, { mailboxMaxCommands: 1 })
  await world.register('box02', 'default', { media: {} }, { tags: ['berlin'] })
  await world.register('box04', 'default', { media: {} }, { tags: ['berlin'] })
  await world.register('box05', 'default', { media: {} }, { tags: ['berlin'] })
  await world.command({ to: { device: 'box05' }, channel: 'media' })
  const id = await world.broadcastId({ ratePerSecond: 1 }, { channel: 'media' })
  await world.engine.names.removeDevice('default', 'box03') // behind the hub's back
  await world.register('box04', 'default', { media: {} }, { tags: ['berlin'], disabled: true })
  for (let i = 0; i < 6; i++) await world.pass(second)
  const outcomes = []
  for (const [device, command] of await world.members(id)) {
    const status = await world.status(command!)
    outcomes.push(`${device} ${status === 'queued' ? status : await ended(world, command!)}`)
  }
  assert.deepEqual(outcomes, [
    'box00 undeliverable(unknown-channel)',
    'box01 undeliverable(unknown-channel)',
    'box02 queued',
    'box03 undeliverable(device-removed)',
    'box04 undeliverable(device-disabled)',
    'box05 dropped(mailbox-full)',
  ])
  const { open, ended: counted, state } = world.report(id)
  assert.deepEqual([state, open, counted], ['placed', 1, { undeliverable: 4, dropped: 1 }])
  assert.equal((await world.counts()).accepted, 7)
})

test('rule 27: a now to many reaches those with a link, and is undeliverable to the others', async () => {
  const { world, devices } = await withTagged(3)
  const { link } = await world.attach({ device: devices[1]! })
  const id = await world.broadcastId({}, { delivery: 'now' })
  assert.deepEqual(link.names, ['update'])
  assert.deepEqual(world.report(id).ended, { undeliverable: 2 })
  assert.equal(world.report(id).open, 1)
})

test('rule 27: after a crash in mid-broadcast everybody has exactly one command', async () => {
  for (const steps of [0, 1, 2, 3, 4, 5, 7, 9]) {
    const { world: before, devices } = await withTagged(40, { broadcastMaxPending: 8 })
    const made = await before.broadcast()
    assert.equal(made.kind, 'accepted')
    const id = made.kind === 'accepted' ? made.broadcast.id : ''
    await turns(steps)
    const after = await before.crash()
    for (let i = 0; i < 5; i++) await after.quiet()
    assert.equal(after.report(id).state, 'placed')
    const members = await after.members(id)
    assert.deepEqual([...members.keys()], devices)
    for (const device of devices) {
      const { items } = await after.engine.mailbox.history(`default/${device}`, { limit: 10 })
      assert.deepEqual(
        items.map(({ command }) => command.id),
        [members.get(device)],
      )
    }
    assert.equal((await after.counts()).accepted, 40)
  }
})

test('rule 27: a broadcast goes on when the store is back', async () => {
  const { world } = await withTagged(10)
  const id = await world.broadcastId({ ratePerSecond: 2 })
  world.engine.fail('down')
  for (let i = 0; i < 5; i++) await world.pass(second)
  const waiting = world.report(id).waiting
  assert.ok(waiting > 0)
  assert.deepEqual(await world.broadcast(), { kind: 'unavailable', full: false })
  world.engine.recover()
  for (let i = 0; i < 8; i++) await world.pass(second)
  assert.equal(world.report(id).state, 'placed')
  assert.equal((await world.counts()).accepted, 10)
})

test('rule 27: a repeated call is the same broadcast, through a crash, though the tag is gone', async () => {
  const { world: before, devices } = await withTagged(3)
  const idempotency = { key: 'k1', hash: 'h1' }
  const id = await before.broadcastId({ idempotency })
  for (const device of devices) await before.register(device)
  assert.equal(await before.broadcastId({ idempotency }), id)
  const after = await before.crash()
  assert.equal(await after.broadcastId({ idempotency }), id)
  const other = await after.broadcast({ idempotency: { key: 'k1', hash: 'h2' } })
  assert.equal(other.kind, 'conflict')
  assert.equal((await after.counts()).accepted, 3)
})

test('rule 28: a repeated call is the same broadcast over the quota too, and while no more may run', async () => {
  const { world } = await withTagged(3, { broadcastsMaxRunning: 1 })
  const idempotency = { key: 'k1', hash: 'h1' }
  const id = await world.broadcastId({ idempotency, ratePerSecond: 1 })
  assert.equal((await world.broadcast()).kind, 'busy')
  assert.equal(await world.broadcastId({ idempotency, ratePerSecond: 1 }), id)
  await world.quota({ commandsPerSecond: 1 })
  await world.register()
  await world.submit()
  assert.equal((await world.broadcast()).kind, 'limited')
  assert.equal(await world.broadcastId({ idempotency, ratePerSecond: 1 }), id)
  const other = await world.broadcast({ idempotency: { key: 'k1', hash: 'h2' } })
  assert.deepEqual(other, { kind: 'conflict', id })
})

test('rule 28: a repeated call for what is forgotten is told so, and does nothing again', async () => {
  const { world } = await withTagged(3, { broadcastsMaxKept: 2 })
  const idempotency = { key: 'k1', hash: 'h1' }
  const id = await world.broadcastId({ idempotency })
  for (let i = 0; i < 2; i++) {
    await world.pass(second)
    await world.broadcastId()
  }
  assert.deepEqual(await world.broadcast({ idempotency }), { kind: 'forgotten', id })
  assert.equal((await world.counts()).accepted, 9)
})

test('a tag that no device has is unknown, and too many devices are refused, with nothing kept', async () => {
  const { world } = await withTagged(3, { broadcastMaxDevices: 2 })
  assert.deepEqual(await world.broadcast({ tag: 'rome' }), { kind: 'unknown-tag' })
  assert.deepEqual(await world.broadcast(), { kind: 'too-many', max: 2 })
  assert.deepEqual(world.engine.broadcasts.list('default', { limit: 10 }).items, [])
})

test('at the bound of running broadcasts a further one is busy, until one has been placed', async () => {
  const { world } = await withTagged(3, { broadcastsMaxRunning: 1 })
  await world.broadcastId({ ratePerSecond: 1 })
  const busy = await world.broadcast()
  assert.equal(busy.kind === 'busy' && busy.max, 1)
  assert.ok(busy.kind === 'busy' && busy.retryAfterMs > 0)
  for (let i = 0; i < 3; i++) await world.pass(second)
  assert.equal((await world.broadcast()).kind, 'accepted')
})

test('a rate is kept from the first second on, and a stall is caught up by a second’s worth at most', async () => {
  const { world } = await withTagged(50, { broadcastMaxPending: 1 })
  const id = await world.broadcastId({ ratePerSecond: 5 })
  const placed = () => 50 - world.report(id).waiting
  assert.equal(placed(), 1)
  for (let i = 0; i < 20; i++) await world.pass(100)
  assert.equal(placed(), 11)
  const { mailbox } = world.engine
  const append = mailbox.append.bind(mailbox)
  let go = () => {}
  const stalled = new Promise<void>((resolve) => {
    go = resolve
  })
  mailbox.append = async (...args) => {
    await stalled
    return append(...args)
  }
  for (let i = 0; i < 50; i++) await world.pass(100)
  assert.equal(placed(), 11)
  go()
  for (let i = 0; i < 5; i++) await world.quiet()
  assert.equal(placed(), 11 + 1 + 5)
  for (let i = 0; i < 100; i++) await world.pass(100)
  assert.equal(world.report(id).state, 'placed')
})

test('broadcasts take turns, and together have no more under way than may be', async () => {
  const { world } = await withTagged(30, { broadcastMaxPending: 4 })
  let most = 0
  let underWay = 0
  const order: string[] = []
  const { mailbox } = world.engine
  const append = mailbox.append.bind(mailbox)
  mailbox.append = async (channel, command, options) => {
    order.push(command.broadcast!)
    most = Math.max(most, ++underWay)
    const appended = await append(channel, command, options)
    underWay--
    return appended
  }
  const made = await Promise.all([world.broadcast(), world.broadcast()])
  const [a, b] = made.map((one) => (one.kind === 'accepted' ? one.broadcast.id : ''))
  for (let i = 0; i < 8; i++) await world.quiet()
  assert.equal(order.length, 60)
  assert.equal(most, 4)
  const firstHalf = order.slice(0, 30)
  for (const id of [a, b]) {
    const share = firstHalf.filter((one) => one === id).length
    assert.ok(share >= 10, `${share} of 30`)
  }
})

test('after so many failures no more are placed, not even one', async () => {
  const { world } = await withTagged(20)
  const id = await world.broadcastId({ stopAfterFailures: 3 }, { delivery: 'now' })
  const { state, why, waiting, ended } = world.report(id)
  assert.deepEqual([state, why], ['stopped', '3 of its commands failed'])
  assert.deepEqual([waiting, ended], [17, { undeliverable: 3 }])
})

test('failures that come later stop it too; what was canceled is none', async () => {
  const { world } = await withTagged(20)
  const id = await world.broadcastId({ stopAfterFailures: 2, ratePerSecond: 1 }, { ttlMs: 3_500 })
  const [first] = (await world.members(id)).values()
  assert.equal((await world.hub.cancel('default', first!)).kind, 'canceled')
  for (let i = 0; i < 20; i++) await world.pass(second)
  const { state, why, ended, waiting } = world.report(id)
  assert.deepEqual([state, why, ended.canceled], ['stopped', '2 of its commands failed', 1])
  assert.ok(waiting > 10 && ended.expired! >= 2)
})

test('stopped, it places no more and cancels those of its commands that were never sent', async () => {
  const { world, devices } = await withTagged(10)
  const { link } = await world.attach({ device: devices[0]! })
  const id = await world.broadcastId({ ratePerSecond: 1 })
  await world.pass(second)
  await world.pass(second)
  const other = await world.command({ to: { device: devices[1]! }, name: 'other' })
  const report = await world.hub.stopBroadcast('default', id)
  assert.deepEqual([report?.state, report?.waiting, report?.open], ['stopped', 7, 1])
  assert.deepEqual(report?.ended, { canceled: 2 })
  assert.deepEqual(link.names, ['update'])
  assert.equal(await world.status(other), 'queued')
  for (let i = 0; i < 5; i++) await world.pass(second)
  const after = await world.crash()
  for (let i = 0; i < 5; i++) await after.pass(second)
  assert.equal(after.report(id).waiting, 7)
  assert.equal(await after.hub.stopBroadcast('default', 'nobody-has-it'), undefined)
  assert.equal(await after.hub.stopBroadcast('other', id), undefined)
})

test('stopped with many on their way, nobody gets a command after the answer', async () => {
  for (const steps of [0, 1, 2, 3, 5]) {
    const { world } = await withTagged(60, { broadcastMaxPending: 16 })
    const made = await world.broadcast()
    const id = made.kind === 'accepted' ? made.broadcast.id : ''
    await turns(steps)
    const stopped = await world.hub.stopBroadcast('default', id)
    await world.quiet()
    assert.deepEqual(world.report(id), stopped)
    assert.equal(stopped?.open, 0)
    await world.counts()
  }
})

test('a broadcast takes from its app’s quota: it waits, and leaves half to single calls', async () => {
  const { world } = await withTagged(60)
  await world.register()
  await world.quota({ commandsPerSecond: 10 })
  const id = await world.broadcastId()
  const atOnce = 60 - world.report(id).waiting
  assert.ok(atOnce <= 5, `${atOnce}`)
  for (let i = 0; i < 4; i++) assert.equal((await world.submit()).kind, 'accepted')
  for (let i = 0; i < 80; i++) await world.pass(100)
  assert.equal(world.report(id).state, 'placed')
})

test('a member that is removed while the broadcast runs ends as removed', async () => {
  const { world, devices } = await withTagged(3)
  const links: MemoryLink[] = []
  for (const device of devices) links.push((await world.attach({ device })).link)
  const id = await world.broadcastId({ ratePerSecond: 1 }, { delivery: 'now' })
  await world.hub.removeDevice('default', devices[2]!)
  await world.pass(second)
  await world.pass(second)
  const last = (await world.members(id)).get(devices[2]!)
  assert.equal(await ended(world, last!), 'undeliverable(device-removed)')
  assert.deepEqual(
    links.map(({ got }) => got.length),
    [1, 1, 0],
  )
})
