import assert from 'node:assert/strict'
import { test } from 'node:test'
import { turns } from '../support/turns.ts'
import { replyTo, settling, World } from '../support/world.ts'

const second = 1_000
const hour = 3_600 * second

async function withLocker(limits = {}): Promise<World> {
  const world = await World.open({ limits })
  await world.register('locker', 'default', { media: { maxCommands: 2, overflow: 'drop-oldest' } })
  return world
}

const later = (world: World, ms = hour) => world.clock.nowMs() + ms

test('rule 6: what is not due has no place; it gets its offset when due, behind what waits by then', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ windowMaxCommands: 1 })
  const scheduled = await world.accepted({ name: 'later', notBeforeMs: later(world) })
  assert.equal(scheduled.kind === 'open' && scheduled.status, 'queued')
  assert.equal(scheduled.command.epoch, 0)
  assert.equal(scheduled.command.notBeforeMs, later(world))
  await world.command({ name: 'first' })
  await world.command({ name: 'second' })
  await world.pass(hour - 1)
  session.touch()
  assert.deepEqual(link.names, ['first'])
  await world.pass(1)
  const status = await world.hub.status('default', scheduled.command.id)
  assert.equal(status?.command.id, scheduled.command.id)
  assert.notEqual(status?.command.epoch, 0)
  await world.attach() // a newer link takes all that waits
  assert.equal(await world.status(scheduled.command.id), 'sent')
})

test('rule 6: in order of their time, whatever the order in which they were accepted', async () => {
  const world = await withLocker()
  const { link } = await world.attach()
  for (const minutes of [3, 1, 2]) {
    await world.command({ name: `at ${minutes}`, notBeforeMs: later(world, minutes * 60 * second) })
  }
  const after = await world.crash() // all of them are due at once
  await after.pass(3 * 60 * second)
  const again = await after.attach()
  assert.deepEqual(link.names, [])
  assert.deepEqual(again.link.names, ['at 1', 'at 2', 'at 3'])
})

test('rule 6: a moment in the past is as if it were absent', async () => {
  const world = await withLocker()
  const status = await world.accepted({ notBeforeMs: world.clock.nowMs(), ttlMs: 5 * second })
  assert.notEqual(status.command.epoch, 0)
  assert.equal(status.command.notBeforeMs, undefined)
  assert.equal(status.command.expiresAtMs, world.clock.nowMs() + 5 * second)
})

test('rule 1: ttl counts from the moment before which it must not go', async () => {
  const world = await withLocker()
  const id = await world.command({ notBeforeMs: later(world), ttlMs: 5 * second })
  await world.pass(hour)
  assert.equal(await world.status(id), 'queued')
  await world.pass(5 * second)
  assert.equal(await world.status(id), 'expired')
})

test('rule 5: a now that was scheduled needs its link when it is due, not when it is accepted', async () => {
  const world = await withLocker()
  const notBeforeMs = later(world)
  const ids = [
    await world.command({ notBeforeMs, delivery: 'now' }),
    await world.command({ notBeforeMs, delivery: 'now', channel: 'urgent' }),
  ]
  assert.equal(await world.status(ids[0]!), 'queued')
  await world.pass(hour - second)
  const { link } = await world.attach()
  await world.pass(second)
  assert.equal(link.got[0]?.command.id, ids[0])
  const ended = await world.ended(ids[1]!)
  assert.deepEqual([ended.status, ended.reason], ['undeliverable', 'no-link'])
})

test('rule 7: what cannot be placed when it is due ends with the reason as of then', async () => {
  const world = await withLocker({ mailboxMaxCommands: 1 })
  await world.register('gone')
  await world.register('disabled')
  await world.register('changed', 'default', { media: {} })
  await world.register('full')
  const notBeforeMs = later(world)
  const ids: string[] = []
  for (const device of ['gone', 'disabled', 'full']) {
    ids.push(await world.command({ to: { device }, notBeforeMs }))
  }
  ids.push(await world.command({ to: { device: 'changed' }, channel: 'media', notBeforeMs }))
  await world.engine.names.removeDevice('default', 'gone') // behind the hub's back
  await world.register('disabled', 'default', {}, { disabled: true })
  await world.register('changed')
  const waits = await world.command({ to: { device: 'full' } })
  await world.pass(hour)
  const outcomes = []
  for (const id of ids) {
    const { status, reason } = await world.ended(id)
    outcomes.push(`${status}(${reason})`)
  }
  assert.deepEqual(outcomes, [
    'undeliverable(device-removed)',
    'undeliverable(device-disabled)',
    'dropped(mailbox-full)',
    'undeliverable(unknown-channel)',
  ])
  assert.equal(await world.status(waits), 'queued')
  assert.equal((await world.counts()).accepted, 5)
})

test('rule 7: removing a device ends what is scheduled for it', async () => {
  const world = await withLocker()
  const id = await world.command({ notBeforeMs: later(world) })
  await world.hub.removeDevice('default', 'locker')
  const ended = await world.ended(id)
  assert.deepEqual([ended.status, ended.reason], ['undeliverable', 'device-removed'])
  assert.equal(ended.timeline.at(-1)?.atMs, world.clock.nowMs())
  await world.pass(2 * hour)
  const { accepted, open } = await world.counts()
  assert.deepEqual([accepted, open], [1, 0])
})

test('rule 3: collapse and drop-oldest act when the later command gets its place, on what is certainly unsent', async () => {
  const world = await withLocker()
  const { link } = await world.attach({ channel: 'media', windowMaxCommands: 1 })
  const channel = 'media'
  const sent = await world.command({ channel, name: 'sent', collapse: 'text' })
  const notBeforeMs = later(world, 5 * second)
  const scheduled = await world.command({ channel, name: 'later', collapse: 'text', notBeforeMs })
  const older = await world.command({ channel, name: 'older', collapse: 'text' })
  assert.equal(await world.status(older), 'queued') // what waits for its time moves nothing yet
  await world.pass(5 * second)
  assert.deepEqual(link.names, ['sent'])
  assert.equal(await world.status(sent), 'sent')
  assert.equal((await world.ended(older)).reason, 'collapsed')
  assert.equal(await world.status(scheduled), 'queued')
  const next = later(world, second)
  const newest = await world.command({ channel, name: 'newest', notBeforeMs: next })
  await world.pass(second)
  assert.equal((await world.ended(scheduled)).status, 'dropped')
  assert.equal(await world.status(newest), 'queued')
})

test('rule 3: one whose whole time passed while nobody was there pushes nothing out', async () => {
  const world = await withLocker()
  const channel = 'media'
  const scheduled = await world.command({
    channel,
    collapse: 'text',
    notBeforeMs: later(world, second),
    ttlMs: second,
  })
  const waits = await world.command({ channel, collapse: 'text' })
  world.clock.advance(0)
  await world.hub.stop()
  world.clock.advance(10 * second)
  const after = await world.crash()
  await after.pass(0)
  const ended = await after.ended(scheduled)
  assert.deepEqual([ended.status, ended.reason], ['expired', 'ttl-passed'])
  assert.equal(await after.status(waits), 'queued')
})

test('rule 10: what waits for its time can be canceled, and keeps its id', async () => {
  const world = await withLocker()
  const id = await world.command({ notBeforeMs: later(world) })
  const canceled = await world.hub.cancel('default', id)
  assert.equal(canceled.kind === 'canceled' && canceled.command.id, id)
  const ended = await world.ended(id)
  assert.deepEqual([ended.status, ended.reason], ['canceled', 'requested'])
  assert.equal(ended.timeline.at(-1)?.atMs, world.clock.nowMs())
  assert.equal((await world.hub.cancel('default', id)).kind, 'too-late')
  const { link } = await world.attach()
  await world.pass(hour)
  assert.deepEqual(link.names, [])
})

test('rule 10: canceled just as its time comes it is canceled or sent, never both', async () => {
  for (let steps = 0; steps < 6; steps++) {
    const world = await withLocker()
    const { link } = await world.attach()
    const id = await world.command({ notBeforeMs: later(world, second) })
    world.clock.advance(second)
    await turns(steps)
    const { kind } = await world.hub.cancel('default', id)
    await world.quiet()
    assert.equal(kind, link.got.length === 0 ? 'canceled' : 'too-late')
    assert.equal((await world.counts()).accepted, 1)
  }
})

test('rule 10: a wait on a scheduled command is answered when it has ended', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const id = await world.command({ notBeforeMs: later(world, second) })
  const waiting = world.hub.wait('default', id, 10 * second)
  await world.pass(second)
  session.acknowledge(link.got[0]!.command.offset)
  const status = await waiting
  assert.equal(status?.kind === 'ended' && status.command.status, 'delivered')
  assert.equal(status?.command.id, id)
})

test('rule 11: accepted once, through crashes before and while it gets its place', async () => {
  for (let steps = 0; steps < 6; steps++) {
    const before = await withLocker()
    const id = await before.command({ notBeforeMs: later(before, second) })
    let world = await before.crash()
    world.clock.advance(second)
    await turns(steps)
    world = await world.crash()
    await world.pass(0)
    const { link } = await world.attach()
    assert.deepEqual(
      link.got.map(({ command }) => command.id),
      [id],
    )
    assert.equal((await world.counts()).accepted, 1)
  }
})

test('rule 28: one key is one scheduled command, also once its time has come', async () => {
  const world = await withLocker()
  const request = { notBeforeMs: later(world), idempotency: { key: 'k1', hash: 'h1' } }
  const first = await world.command(request)
  assert.equal(await world.command(request), first)
  const after = await world.crash()
  assert.equal(await after.command(request), first)
  await after.pass(hour)
  assert.equal(await after.command(request), first)
  const other = await after.submit({ ...request, idempotency: { key: 'k1', hash: 'h2' } })
  assert.equal(other.kind, 'conflict')
  assert.equal((await after.counts()).accepted, 1)
})

test('at the bound of scheduled commands a further one is refused, with when to come again', async () => {
  const world = await withLocker({ scheduledMaxCommands: 2, scheduledMaxTotal: 6 })
  const notBeforeMs = later(world, 30 * second)
  const submit = (channel: string) => world.submit({ channel, notBeforeMs })
  assert.equal((await submit('main')).kind, 'accepted')
  assert.equal((await submit('main')).kind, 'accepted')
  const full = await submit('main')
  assert.deepEqual(full, { kind: 'schedule-full', max: 2, retryAfterMs: 30 * second })
  assert.equal((await submit('urgent')).kind, 'accepted')
  const all = await submit('urgent')
  assert.equal(all.kind === 'schedule-full' && all.max, 3)
  await world.register('locker', 'other')
  assert.equal((await world.submit({ app: 'other', notBeforeMs })).kind, 'accepted')
  await world.pass(30 * second)
  assert.equal((await world.submit({ notBeforeMs: later(world) })).kind, 'accepted')
})

test('scheduled commands survive a store that fails as they become due', async () => {
  const world = await withLocker()
  const ids = []
  for (let i = 0; i < 3; i++) {
    ids.push(await world.command({ name: `${i}`, notBeforeMs: later(world, second + i) }))
  }
  world.engine.fail('down')
  await world.pass(10 * second)
  const explained = await world.hub.explain('default', ids[0]!)
  assert.equal(explained?.code, 'waiting.store-away')
  world.engine.recover()
  await world.pass(second)
  const { link } = await world.attach()
  assert.deepEqual(link.names, ['0', '1', '2'])
})

test('rule 34: after a doubtful jump of the clock nothing is placed before its hold is over', async () => {
  const before = await withLocker()
  const id = await before.command({ notBeforeMs: later(before, 24 * hour) })
  before.clock.advance(25 * hour) // or so the computer says
  const holdExpiryUntilMs = later(before, 60 * second)
  const world = await before.crash({}, holdExpiryUntilMs)
  await world.pass(59 * second)
  const explained = await world.hub.explain('default', id)
  assert.equal(explained?.code, 'waiting.place')
  assert.equal(explained?.nextAtMs, holdExpiryUntilMs)
  assert.equal((await world.hub.cancel('default', id)).kind, 'canceled')
})

test('rule 8: late proof of a scheduled command names it by the id it was accepted with', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const notBeforeMs = later(world, second)
  const id = await world.command({ notBeforeMs, expect: 'reply', ttlMs: second })
  await world.pass(second)
  await world.pass(11 * second)
  session.touch()
  assert.equal(await world.status(id), 'in-doubt')
  session.reply(replyTo(link.got[0]!), settling())
  await world.quiet()
  const [late] = await world.events('command.late')
  assert.equal(late?.kind === 'command.late' && late.command, id)
  const { status, timeline } = await world.ended(id)
  assert.deepEqual([status, timeline.at(-1)?.late], ['in-doubt', true])
})

test('rule 7: ten sessions are counted from when it has its place', async () => {
  const world = await withLocker()
  const id = await world.command({ name: 'poison', notBeforeMs: later(world, second) })
  const attachAndLose = async () => {
    const { session } = await world.attach()
    session.detach(false)
    await world.pass(60 * second)
  }
  const { session } = await world.attach()
  session.detach(false)
  await world.pass(60 * second)
  for (let i = 0; i < 10; i++) {
    assert.notEqual(await world.status(id), 'undeliverable')
    await attachAndLose()
  }
  await world.attach()
  assert.equal((await world.ended(id)).reason, 'attempts')
})

test('a callback is carried to the end, on every way a command may take', async () => {
  const world = await withLocker()
  const callback = 'https://example.com/done'
  const notBeforeMs = later(world, second)
  const ids = [
    await world.command({ callback, ttlMs: 2 * second }),
    await world.command({ callback, delivery: 'now' }),
    await world.command({ callback, notBeforeMs, ttlMs: second }),
  ]
  await world.pass(2 * second)
  const events = await world.events('command.ended')
  const seen = events.map((event) => event.kind === 'command.ended' && event.ended)
  assert.deepEqual(
    new Set(seen.map((one) => one && `${one.id} ${one.callback}`)),
    new Set(ids.map((id) => `${id} ${callback}`)),
  )
  const answered = await world.submit({ callback, delivery: 'now' })
  assert.equal(answered.kind === 'accepted' && answered.status.command.callback, callback)
})
