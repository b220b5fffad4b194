import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settling, uplink, World } from '../support/world.ts'

const second = 1_000

async function withLocker(limits = {}): Promise<World> {
  const world = await World.open({ limits })
  await world.register()
  return world
}

test('an app over its rate of commands is refused, told when to come again, and then accepted', async () => {
  const world = await withLocker()
  await world.quota({ commandsPerSecond: 4 })
  for (let i = 0; i < 4; i++) assert.equal((await world.submit()).kind, 'accepted')
  const limited = await world.submit()
  assert.deepEqual(limited, { kind: 'limited', retryAfterMs: 250 })
  assert.equal((await world.counts()).accepted, 4)
  await world.pass(250)
  assert.equal((await world.submit()).kind, 'accepted')
  assert.equal(world.hub.figures().quota_limited_total, 1)
})

test('scheduled commands take from the same rate', async () => {
  const world = await withLocker()
  await world.quota({ commandsPerSecond: 1 })
  const notBeforeMs = world.clock.nowMs() + 60 * second
  assert.equal((await world.submit({ notBeforeMs })).kind, 'accepted')
  assert.equal((await world.submit({ notBeforeMs })).kind, 'limited')
})

test('a call for many takes from it like a call for one', async () => {
  const world = await withLocker()
  await world.registerTagged('berlin', 2)
  await world.quota({ commandsPerSecond: 1 })
  assert.equal((await world.submit()).kind, 'accepted')
  assert.deepEqual(await world.broadcast(), { kind: 'limited', retryAfterMs: second })
  await world.pass(second)
  assert.equal((await world.broadcast()).kind, 'accepted')
})

test('one app’s quota is nobody else’s, and what is refused for another reason takes nothing', async () => {
  const world = await withLocker()
  await world.register('locker', 'other')
  await world.quota({ commandsPerSecond: 1 })
  for (let i = 0; i < 5; i++) await world.submit({ to: { device: 'nobody' } })
  assert.equal((await world.submit()).kind, 'accepted')
  for (let i = 0; i < 5; i++) assert.equal((await world.submit({ app: 'other' })).kind, 'accepted')
})

test('a quota is in force from the start, changes within a second, and can be lifted', async () => {
  const before = await withLocker()
  await before.quota({ commandsPerSecond: 1 })
  const world = await before.crash()
  assert.equal((await world.submit()).kind, 'accepted')
  assert.equal((await world.submit()).kind, 'limited')
  const { names } = world.engine
  await names.putApp({ app: 'default', createdAtMs: 0, quota: { commandsPerSecond: 3 } })
  await world.pass(second)
  assert.equal((await world.submit()).kind, 'accepted') // and with this call it is read
  await world.pass(second)
  for (let i = 0; i < 3; i++) assert.equal((await world.submit()).kind, 'accepted')
  await names.putApp({ app: 'default', createdAtMs: 0 })
  await world.pass(second)
  await world.submit()
  await world.quiet()
  for (let i = 0; i < 50; i++) assert.equal((await world.submit()).kind, 'accepted')
})

test('events over the rate are kept at once and answered later, none is dropped', async () => {
  const world = await withLocker()
  await world.quota({ eventsPerSecond: 2 })
  const { session } = await world.attach({ uplinkEpoch: 7 })
  const settled = settling()
  for (let sequence = 1; sequence <= 6; sequence++) {
    session.receive([uplink(`e${sequence}`, 7, sequence)], settled)
  }
  await world.quiet()
  assert.equal((await world.events('event')).length, 6)
  assert.equal(settled.outcomes.length, 2)
  for (const answered of [3, 4, 5, 6]) {
    await world.pass(499)
    assert.equal(settled.outcomes.length, answered - 1)
    await world.pass(1)
    assert.equal(settled.outcomes.length, answered)
  }
  assert.deepEqual(new Set(settled.outcomes), new Set(['kept']))
  await world.pass(second)
  session.receive([uplink('later', 7, 7)], settled)
  await world.quiet()
  assert.equal(settled.outcomes.length, 7)
})

test('a device that is not read is not taken for dead: its silence is ours', async () => {
  const world = await withLocker()
  await world.quota({ eventsPerSecond: 1 })
  const { link, session } = await world.attach({ keepaliveMs: 5 * second })
  await world.command()
  const settled = settling()
  for (let i = 0; i < 60; i++) session.receive([uplink(`e${i}`)], settled)
  link.reading = false // as an adapter does that has as many uplinks unanswered as may be
  for (let i = 0; i < 58; i++) await world.pass(second)
  assert.equal(link.closed, undefined)
  assert.equal(link.probes, 0)
  assert.equal(world.hub.presence('default', 'locker').state, 'online')
  assert.equal(world.hub.presence('default', 'locker').heardAtMs, world.clock.nowMs() - 58 * second)
  link.reading = true
  for (let i = 0; i < 30; i++) await world.pass(second)
  assert.equal(settled.outcomes.length, 60)
  assert.equal(link.isClosed, true) // now it is
})

test('a device that is read is asked for a sign of life, whatever answers are held back for it', async () => {
  const world = await withLocker()
  await world.quota({ eventsPerSecond: 1 })
  const { link, session } = await world.attach({ keepaliveMs: 60 * second })
  for (let i = 0; i < 60; i++) session.receive([uplink(`e${i}`)], settling())
  await world.command()
  for (let i = 0; i < 21; i++) await world.pass(second)
  assert.equal(link.probes, 1)
  assert.equal(link.closed?.reason, 'unresponsive')

  const quiet = await world.attach({ keepaliveMs: 5 * second })
  for (let i = 0; i < 60; i++) quiet.session.receive([uplink(`e${i}`)], settling())
  quiet.link.answersProbes = false
  for (let i = 0; i < 17; i++) await world.pass(second)
  assert.equal(quiet.link.closed?.reason, 'keepalive-expired')
})

test('a raised rate lets go sooner what is held back, a lower one later, none at once', async () => {
  const world = await withLocker()
  await world.quota({ eventsPerSecond: 1 })
  const { link, session } = await world.attach()
  const settled = settling()
  for (let i = 0; i < 41; i++) session.receive([uplink(`e${i}`)], settled)
  await world.quiet()
  assert.equal(settled.outcomes.length, 1)
  const { names } = world.engine
  const change = (eventsPerSecond?: number) =>
    names.putApp({
      app: 'default',
      createdAtMs: 0,
      ...(eventsPerSecond && { quota: { eventsPerSecond } }),
    })
  // Nobody calls: it is read all the same, within a second, while answers are held back.
  await change(10)
  await world.pass(second)
  assert.equal(settled.outcomes.length, 2)
  await world.pass(second)
  assert.equal(settled.outcomes.length, 12)
  await change(2)
  await world.pass(second)
  const before = settled.outcomes.length
  await world.pass(second)
  assert.equal(settled.outcomes.length, before + 2)
  await change()
  await world.pass(second)
  assert.equal(settled.outcomes.length, 41)
  assert.equal(link.closed, undefined)
})

test('with nothing held back nobody looks at the quota of an app that does not call', async () => {
  const world = await withLocker()
  await world.quota({ eventsPerSecond: 1 })
  const { session } = await world.attach()
  for (let i = 0; i < 3; i++) session.receive([uplink(`e${i}`)], settling())
  await world.pass(5 * second)
  // A link may go with its last answer.
  session.receive([uplink('first'), uplink('second')], () => session.detach(true))
  await world.pass(5 * second)
  const { names } = world.engine
  const app = names.app.bind(names)
  let looks = 0
  names.app = (name) => {
    looks++
    return app(name)
  }
  for (let i = 0; i < 5; i++) await world.pass(second)
  assert.equal(looks, 0)
})

test('what is held back is answered once when its link goes, and holds nothing up', async () => {
  const world = await withLocker()
  await world.quota({ eventsPerSecond: 1 })
  const { session } = await world.attach()
  const settled = settling()
  for (let i = 0; i < 10; i++) session.receive([uplink(`e${i}`)], settled)
  await world.quiet()
  session.detach(false)
  await world.quiet()
  assert.equal(settled.outcomes.length, 10)
  await world.pass(60 * second)
  assert.equal(settled.outcomes.length, 10)
})

test('an app has so many sessions; a further one is overloaded, one that takes over is not', async () => {
  const world = await withLocker()
  await world.register('second')
  await world.register('locker', 'other')
  await world.quota({ sessions: 1 })
  const { session } = await world.attach()
  const { attached } = await world.tryAttach({ device: 'second' })
  assert.deepEqual(attached, { kind: 'refused', reason: 'overloaded' })
  assert.equal((await world.tryAttach({ app: 'other' })).attached.kind, 'session')
  const newer = await world.attach()
  session.detach(false)
  newer.session.detach(false)
  await world.attach({ device: 'second' })
})

test('sessions that come at the same moment do not slip past the bound together', async () => {
  const world = await withLocker()
  const devices = Array.from({ length: 8 }, (_, i) => `d${i}`)
  for (const device of devices) await world.register(device)
  await world.quota({ sessions: 3 })
  const tried = await Promise.all(devices.map((device) => world.tryAttach({ device })))
  const sessions = tried.filter(({ attached }) => attached.kind === 'session')
  assert.equal(sessions.length, 3)
})

/**
 * Ten seconds of an app that does all it can: lines as fast as they are taken, a broadcast that
 * has long to go, and a single call so often, again when it is told to. @returns what each of them got
 */
async function crowd(perSecond: number, singleEveryMs: number, tenths = 100) {
  const world = await withLocker()
  await world.registerTagged('berlin', 90)
  await world.pass(10 * second)
  await world.quota({ commandsPerSecond: perSecond })
  const id = await world.broadcastId({})
  const got = { lines: 0, singles: 0, tried: 0, placed: 0, accepted: 0 }
  let nextLineMs = 0
  let nextSingleMs = world.clock.nowMs() + singleEveryMs
  for (let i = 0; i < tenths * 10; i++) {
    world.clock.advance(10)
    const nowMs = world.clock.nowMs()
    while (nowMs >= nextLineMs) {
      const said = await world.submit({ patient: true, delivery: 'now' })
      if (said.kind === 'accepted') got.lines++
      else nextLineMs = nowMs + (said.kind === 'limited' ? said.retryAfterMs : 0)
    }
    if (nowMs < nextSingleMs) continue
    got.tried++
    const said = await world.submit({ delivery: 'now' })
    if (said.kind === 'accepted') got.singles++
    nextSingleMs = nowMs + (said.kind === 'limited' ? said.retryAfterMs : singleEveryMs)
  }
  await world.quiet()
  got.placed = 90 - world.report(id).waiting
  got.accepted = (await world.counts()).accepted
  return got
}

test('many lines at the quota leave some to single calls: none is refused below the rate', async () => {
  const { singles, tried } = await crowd(20, 200)
  assert.equal(tried, 50)
  assert.equal(singles, 50)
})

test('a broadcast is sure of a quarter of the rate, whatever lines and single calls do', async () => {
  const { placed, lines, accepted } = await crowd(20, 30)
  assert.ok(placed >= 50, `${placed} placed`)
  assert.ok(lines + placed < accepted, 'single calls got some')
  // All of them together stay within the quota: a burst and ten seconds' worth.
  assert.ok(accepted <= 20 + 200 + 1, `${accepted} accepted`)
})

test('even of one command a second nobody takes all', async () => {
  const { singles, lines, placed } = await crowd(1, 2 * second, 300)
  assert.ok(singles >= 5, `${singles} single calls`)
  assert.ok(lines >= 5, `${lines} lines`)
  assert.ok(placed >= 5, `${placed} placed`)
})

test('a call of lines alone has the whole rate', async () => {
  const world = await withLocker()
  await world.quota({ commandsPerSecond: 10 })
  let taken = 0
  for (let i = 0; i < 1_000; i++) {
    world.clock.advance(10)
    if ((await world.submit({ patient: true, delivery: 'now' })).kind === 'accepted') taken++
  }
  assert.ok(taken >= 100, `${taken}`)
})
