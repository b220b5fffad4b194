import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Intake, StampedReply, Uplink } from '../../src/contract/index.ts'
import { locateCommand, scheduledEpoch } from '../../src/contract/index.ts'
import { replyTo, settling, uplink, World } from '../support/world.ts'

const second = 1_000

async function withLocker(): Promise<World> {
  const world = await World.open()
  await world.register()
  return world
}

const done = (more: Partial<StampedReply> = {}): StampedReply => ({
  status: 'done',
  payload: Buffer.from('{}'),
  contentType: 'application/json',
  ...more,
})

/** What became of each uplink, one after the other. */
async function said(world: World, intake: Intake, ...uplinks: Uplink[]): Promise<string[]> {
  const settled = settling()
  for (const one of uplinks) intake.receive('main', [one], settled)
  await world.quiet()
  return settled.outcomes
}

const once = (name: string, id = name): Uplink => ({ ...uplink(name), once: id })

const namesKept = async (world: World): Promise<string[]> =>
  (await world.events('event')).map((event) => (event.kind === 'event' ? event.name : ''))

test('rule 18: publishing claims no channel: who is attached stays so, and gets what comes', async () => {
  const world = await withLocker()
  const { link } = await world.attach()
  const { intake } = await world.admit({ stays: true })
  assert.deepEqual(await said(world, intake, uplink('a'), uplink('b', 7, 1)), ['kept', 'kept'])
  assert.equal(link.isClosed, false)
  await world.command()
  assert.equal(link.got.length, 1)
  assert.deepEqual(await namesKept(world), ['a', 'b'])
})

test('rule 18: an event is kept though nothing is attached to its channel, and the device may be none', async () => {
  const world = await withLocker()
  const { intake } = await world.admit()
  assert.deepEqual(await said(world, intake, uplink('a')), ['kept'])
  const settled = settling()
  intake.receive('media', [uplink('b')], settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['unknown-channel'])
  await world.register('locker', 'default', { media: {} })
  intake.receive('media', [uplink('c')], settled)
  intake.receive('main', [uplink('d')], settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['unknown-channel', 'kept', 'kept'])
  assert.deepEqual(await namesKept(world), ['a', 'c', 'd'])
})

test('rule 17: stamps may come out of order: kept once each, and what lies too far back is stale', async () => {
  const world = await withLocker()
  const { intake } = await world.admit()
  const outcomes = await said(
    ...([world, intake] as const),
    ...[uplink('c', 7, 103), uplink('a', 7, 101), uplink('b', 7, 102), uplink('a', 7, 101)],
    ...[uplink('old', 7, 39), uplink('edge', 7, 40), uplink('other epoch', 8, 39)],
  )
  assert.deepEqual(outcomes, ['kept', 'kept', 'kept', 'kept', 'stale', 'kept', 'kept'])
  assert.deepEqual(await namesKept(world), ['c', 'a', 'b', 'edge', 'other epoch'])
  const settled = settling()
  intake.receive('main', [uplink('old', 7, 38), uplink('new', 7, 104)], settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['stale'], 'never called a repeat')
  assert.equal((await namesKept(world)).at(-1), 'new', 'and the fresh one is kept')
})

test('rule 17: the stamps of a channel are known to all that bring some, and after a crash', async () => {
  const before = await withLocker()
  const pike = await before.attach({ uplinkEpoch: 7 })
  const { intake } = await before.admit()
  const settled = settling()
  pike.session.receive([uplink('p1', 7, 1), uplink('p2', 7, 2)], settled)
  intake.receive('main', [uplink('h5', 9, 5)], settled)
  pike.session.receive([uplink('p3', 7, 3), uplink('h5 again', 9, 5)], settled)
  intake.receive('main', [uplink('h4', 9, 4), uplink('p3 again', 7, 3)], settled)
  await before.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept', 'kept', 'kept'])
  const all = ['p1', 'p2', 'h5', 'p3', 'h4']
  assert.deepEqual(await namesKept(before), all)
  const after = await before.crash()
  const next = await after.admit()
  const again = all.map((name) => uplink(name, name[0] === 'p' ? 7 : 9, Number(name[1])))
  assert.deepEqual(await said(after, next.intake, ...again), Array(5).fill('kept'))
  assert.deepEqual(await namesKept(after), all)
  const { session } = await after.attach({ uplinkEpoch: 7 })
  assert.equal(session.uplinkKept, 3)
})

test('rule 17: without a stamp it is kept once per arrival, and a repeat that says so is marked', async () => {
  const world = await withLocker()
  const { intake } = await world.admit()
  await said(world, intake, uplink('a'), { ...uplink('a'), maybeRepeat: true })
  const events = await world.events('event')
  assert.deepEqual(
    events.map((event) => event.kind === 'event' && event.maybeRepeat),
    [undefined, true],
  )
})

test('rule 17: QoS 2: what comes again under its name is the same until the device lets go of it, over crashes', async () => {
  const before = await withLocker()
  const { intake } = await before.admit()
  assert.deepEqual(await said(before, intake, once('a', 'c;1'), once('a', 'c;1')), ['kept', 'kept'])
  assert.deepEqual(await namesKept(before), ['a'])
  const world = await before.crash()
  const { intake: next } = await world.admit()
  assert.deepEqual(await said(world, next, once('a', 'c;1')), ['kept'])
  assert.deepEqual(await namesKept(world), ['a'])
  const settled = settling()
  next.forget('main', 'c;1', settled)
  next.receive('main', [once('b', 'c;1')], settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept'])
  assert.deepEqual(await namesKept(world), ['a', 'b'])
  const last = await world.crash()
  assert.deepEqual(await said(last, (await last.admit()).intake, once('b', 'c;1')), ['kept'])
  assert.deepEqual(await namesKept(last), ['a', 'b'])
})

test('rule 17: QoS 2: a client that begins anew has no names outstanding, others keep theirs', async () => {
  const world = await withLocker()
  const { intake } = await world.admit()
  await said(world, intake, once('a', 'one/1'), once('b', 'one/2'), once('c', 'two/1'))
  const settled = settling()
  intake.forgetAll('main', 'one/', settled)
  intake.forgetAll('urgent', 'one/', settled)
  intake.forgetAll('nowhere', 'one/', settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept', 'kept'])
  await said(world, intake, once('d', 'one/1'), once('e', 'two/1'))
  assert.deepEqual(await namesKept(world), ['a', 'b', 'c', 'd'])
})

test('rule 17: QoS 2: names are bounded: the one not heard of for longest goes, and its repeat is told as perhaps one', async () => {
  const world = await World.open({ limits: { onceMaxPending: 2 } })
  await world.register()
  const { intake } = await world.admit()
  const again = (name: string): Uplink => ({ ...once(name), maybeRepeat: true })
  assert.deepEqual(
    await said(world, intake, once('a'), again('b'), again('a')),
    Array(3).fill('kept'),
  )
  assert.deepEqual(
    await said(world, intake, once('c'), again('a'), again('c')),
    Array(3).fill('kept'),
  )
  const told = async () =>
    (await world.events('event')).map((event) =>
      event.kind === 'event' ? `${event.name}${event.maybeRepeat === true ? '?' : ''}` : '',
    )
  assert.deepEqual(await told(), ['a', 'b', 'c'], 'nobody had to go before c came: b is no repeat')
  assert.equal(world.hub.figures().uplink_names_lost_total, 1)
  const next = await world.crash({ onceMaxPending: 2 })
  const { intake: later } = await next.admit()
  assert.deepEqual(await said(next, later, again('a'), again('b')), ['kept', 'kept'])
  const events = (await next.events('event')).map((event) => event.kind === 'event' && event)
  const last = events.at(-1)
  assert.ok(last !== false && last?.name === 'b' && last.maybeRepeat === true, 'b had to go')
  assert.equal(events.length, 4)
  assert.deepEqual(await said(next, later, once('d', 'x'.repeat(65))), ['unavailable'])
})

test('rule 19: a reply is a fact whoever brings it: by id, from no session, and the window is free', async () => {
  const world = await withLocker()
  const { link } = await world.attach({ windowMaxCommands: 1 })
  const id = await world.command({ expect: 'reply', name: 'first' })
  await world.command({ name: 'second' })
  assert.deepEqual(link.names, ['first'])
  const { intake } = await world.admit()
  const settled = settling()
  intake.reply(id, done(), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept'])
  assert.equal(await world.status(id), 'done')
  assert.deepEqual(link.names, ['first', 'second'])
  assert.deepEqual(
    (await world.ended(id)).timeline.map(({ status }) => status),
    ['queued', 'sent', 'delivered', 'done'],
  )
})

test('rule 19: a reply by id ends a command whose link is gone', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  const id = await world.command({ expect: 'reply' })
  session.detach(false)
  const { intake } = await world.admit()
  const settled = settling()
  intake.leave(true)
  intake.reply(id, done({ status: 'failed', reason: 'jammed' }), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept'])
  assert.equal(await world.status(id), 'failed')
  const { link } = await world.attach()
  assert.equal(link.got.length, 0)
})

test("rule 30: a device replies to its own commands only; another's is unknown, and so is what has no place yet", async () => {
  const world = await withLocker()
  await world.register('other')
  await world.attach()
  const id = await world.command({ expect: 'reply' })
  const notBeforeMs = world.clock.nowMs() + 60 * second
  const later = await world.command({ expect: 'reply', notBeforeMs })
  const { intake } = await world.admit({ device: 'other' })
  const own = await world.admit()
  const settled = settling()
  intake.reply(id, done(), settled)
  intake.reply('nonsense', done(), settled)
  own.intake.reply(later, done(), settled)
  own.intake.reply(id.replace(/\d+$/, '99'), done(), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['unknown', 'unknown', 'unknown', 'unknown'])
  assert.equal(await world.status(id), 'sent')
  assert.equal(await world.status(later), 'queued')
})

test('rule 8: a reply by id that comes late is told and changes nothing', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  const id = await world.command({ expect: 'reply', ttlMs: second })
  session.detach(false)
  await world.pass(12 * second)
  assert.equal(await world.status(id), 'in-doubt')
  const { intake } = await world.admit()
  const settled = settling()
  intake.reply(id, done({ stamp: { epoch: 3, sequence: 1 } }), settled)
  intake.reply(id, done({ stamp: { epoch: 3, sequence: 1 } }), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept'])
  assert.equal(await world.status(id), 'in-doubt')
  assert.equal((await world.events('command.late')).length, 1)
  assert.equal((await world.ended(id)).timeline.at(-1)?.late, true)
})

test('rule 6: a reply names a scheduled command by its first id, by a session and by none', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  await world.command({ name: 'before' })
  await world.command({ name: 'too' })
  const notBeforeMs = world.clock.nowMs() + 10 * second
  const one = await world.command({ name: 'one', expect: 'reply', notBeforeMs })
  const two = await world.command({ name: 'two', expect: 'reply', notBeforeMs })
  await world.pass(10 * second)
  assert.deepEqual(link.names, ['before', 'too', 'one', 'two'])
  const settled = settling()
  // Its number among the scheduled is not its offset.
  const { epoch, offset } = locateCommand('default', one)!
  assert.equal(epoch, scheduledEpoch)
  assert.notEqual(offset, link.got[2]!.command.offset)
  session.reply(replyTo(link.got[2]!, 'done', { epoch, offset }), settled)
  const { intake } = await world.admit()
  intake.reply(two, done(), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept'])
  assert.equal(await world.status(one), 'done')
  assert.equal(await world.status(two), 'done')
  assert.equal(link.got[0]!.command.offset, 1)
  assert.equal(await world.status(link.got[0]!.command.id), 'sent')
})

test('rule 17: a stamped reply is kept once, whoever brings it again; one too old is stale', async () => {
  const world = await withLocker()
  const { session, link } = await world.attach({ uplinkEpoch: 7 })
  const id = await world.command({ expect: 'reply' })
  const stamp = { epoch: 5, sequence: 100 }
  const { intake } = await world.admit()
  const settled = settling()
  intake.reply(id, done({ stamp }), settled)
  session.reply(replyTo(link.got[0]!, 'done', { stamp }), settled)
  await world.quiet()
  intake.reply(id, done({ stamp: { epoch: 5, sequence: 36 } }), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept', 'stale'])
  assert.equal((await world.events('reply')).length, 1)
  assert.equal((await world.events('command.late')).length, 0)
})

test('what tells repeats is held for those only who number what they send', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  assert.equal(world.hub.dedupes.size, 0)
  session.detach(true)
  const numbering = await world.attach({ uplinkEpoch: 7 })
  assert.equal(world.hub.dedupes.size, 1)
  numbering.session.detach(true)
  assert.equal(world.hub.dedupes.size, 0)
})

test('rule 16: a reply whose session ends while its command is looked up is not taken for a repeat on the next', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ uplinkEpoch: 7 })
  await world.command({ expect: 'reply', ttlMs: second })
  const [out] = link.got
  await world.pass(12 * second)
  const { intake } = await world.admit()
  const reply = replyTo(out!, 'done', { stamp: { epoch: 7, sequence: 1 } })
  const settled = settling()
  // Held by somebody else, so that what the session has judged would outlive it.
  intake.receive('main', [uplink('a', 9, 1)], () => {})
  session.reply(reply, settled)
  session.detach(false)
  const next = world.attach({ uplinkEpoch: 7 })
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['unavailable'])
  ;(await next).session.reply(reply, settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['unavailable', 'kept'])
  assert.equal((await world.events('command.late')).length, 1)
})

test('rule 33: with no space for anything new an event is refused before it is judged; a reply is taken', async () => {
  const world = await withLocker()
  await world.attach()
  const id = await world.command({ expect: 'reply' })
  const { intake } = await world.admit()
  world.engine.mailbox.full = true
  const outcomes = await said(world, intake, uplink('a', 7, 1), uplink('b'), once('c'))
  assert.deepEqual(outcomes, ['unavailable', 'unavailable', 'unavailable'])
  const settled = settling()
  intake.reply(id, done(), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept'])
  world.engine.mailbox.full = false
  assert.deepEqual(await said(world, intake, uplink('a', 7, 1), once('c')), ['kept', 'kept'])
  assert.deepEqual(await namesKept(world), ['a', 'c'])
})

test('rule 22: a source that stays makes its device online; one that does not is a sign of life', async () => {
  const world = await withLocker()
  const posts = await world.admit()
  const { nowMs } = { nowMs: world.clock.nowMs() }
  assert.equal(world.hub.presence('default', 'locker').state, 'offline')
  assert.equal(world.hub.presence('default', 'locker').heardAtMs, nowMs)
  await world.pass(second)
  posts.intake.touch()
  assert.equal(world.hub.presence('default', 'locker').heardAtMs, nowMs + second)
  const { intake } = await world.admit({ stays: true, protocol: 'mqtt' })
  const presence = world.hub.presence('default', 'locker')
  assert.equal(presence.state, 'online')
  assert.equal(presence.protocol, 'mqtt')
  assert.equal((await world.submit({ delivery: 'now' })).kind, 'accepted')
  const { session } = await world.attach()
  intake.leave(true)
  assert.equal(world.hub.presence('default', 'locker').state, 'online')
  session.detach(true)
  await world.quiet()
  assert.equal(world.hub.presence('default', 'locker').state, 'offline')
  const states = (await world.events('presence')).map((event) =>
    event.kind === 'presence' ? `${event.state} ${event.protocol}` : '',
  )
  assert.deepEqual(states, ['online mqtt', 'offline memory'])
})

test('rule 22: a device with a connection that stays is not suspect for a link that is being probed', async () => {
  const world = await withLocker()
  await world.attach()
  await world.command()
  const { intake } = await world.admit({ stays: true })
  await world.pass(15 * second)
  assert.equal(world.hub.presence('default', 'locker').state, 'online')
  intake.leave(false)
  await world.pass(15 * second)
  assert.notEqual(world.hub.presence('default', 'locker').state, 'online')
})

test('rule 22: devices that only post are remembered up to a bound', async () => {
  const world = await World.open({ limits: { connectionsMax: 2 } })
  for (const device of ['a', 'b', 'c']) {
    await world.register(device)
    const { intake } = await world.admit({ device })
    intake.leave(true)
  }
  const heard = ['a', 'b', 'c'].map((device) => world.hub.presence('default', device).heardAtMs)
  assert.deepEqual(
    heard.map((atMs) => atMs !== undefined),
    [false, true, true],
  )
  assert.equal(world.hub.figures().sources, 0)
})

test('rule 22: a device that said when it comes back is asleep until then, then offline', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  const backAtMs = world.clock.nowMs() + 60 * second
  session.detach(true, backAtMs)
  await world.quiet()
  const asleep = world.hub.presence('default', 'locker')
  assert.equal(asleep.state, 'asleep')
  assert.equal(asleep.backAtMs, backAtMs)
  const id = await world.command()
  const explained = await world.hub.explain('default', id)
  assert.equal(explained?.code, 'waiting.asleep')
  assert.match(explained?.sentence ?? '', new RegExp(new Date(backAtMs).toISOString()))
  assert.equal(await world.status(await world.command({ delivery: 'now' })), 'undeliverable')
  await world.pass(60 * second)
  const offline = world.hub.presence('default', 'locker')
  assert.equal(offline.state, 'offline')
  assert.equal(offline.reason, 'keepalive-expired')
  assert.equal((await world.hub.explain('default', id))?.code, 'waiting.no-link')

  const again = await world.attach()
  again.session.acknowledge(again.link.got[0]!.command.offset)
  again.session.detach(true, world.clock.nowMs() + 60 * second)
  const third = await world.attach()
  await world.pass(61 * second)
  assert.equal(world.hub.presence('default', 'locker').state, 'online')
  third.session.detach(true, Number.MAX_SAFE_INTEGER)
  const { backAtMs: longest } = world.hub.presence('default', 'locker')
  assert.equal(longest, world.clock.nowMs() + world.hub.limits.queueTtlMs)
  world.hub.refuseDevice('default', 'locker')
  assert.equal(world.hub.presence('default', 'locker').state, 'offline')
  await world.quiet()
  const states = (await world.events('presence')).map((event) =>
    event.kind === 'presence' ? event.state : '',
  )
  const slept = ['online', 'asleep', 'offline']
  assert.deepEqual(states, [...slept, 'online', 'asleep', 'online', 'asleep', 'offline'])
})

test('rule 23: a link that cannot acknowledge gets a command once; nobody knows, and nothing waits for it', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ windowMaxCommands: 1 }, { acknowledges: false })
  const ids: string[] = []
  for (const name of ['a', 'b', 'c']) ids.push(await world.command({ name }))
  const asked = await world.command({ name: 'd', expect: 'reply', ttlMs: 60 * second })
  const now = await world.command({ name: 'e', delivery: 'now' })
  assert.deepEqual(link.names, ['a', 'b', 'c', 'd', 'e'])
  for (const id of [...ids, now]) {
    const { status, reason } = await world.ended(id)
    assert.equal(`${status} ${reason}`, 'in-doubt no-acknowledgement')
  }
  assert.equal(await world.status(asked), 'sent')
  assert.equal((await world.hub.explain('default', asked))?.code, 'waiting.unacknowledged')
  session.detach(false)
  const again = await world.attach({}, { acknowledges: false })
  const lost = await world.command({ name: 'f', expect: 'reply', ttlMs: 60 * second })
  assert.deepEqual(again.link.names, ['f'], 'what may have been sent is not written again')
  const { intake } = await world.admit()
  intake.reply(asked, done(), () => {})
  await world.quiet()
  assert.equal(await world.status(asked), 'done')
  await world.pass(70 * second)
  assert.equal(await world.status(lost), 'in-doubt')
})

test('rule 23: what may have been sent goes again, marked, on a link that acknowledges, and attempts are not counted before', async () => {
  const world = await withLocker()
  await world.attach({}, { acknowledges: false })
  const id = await world.command({ name: 'a', expect: 'reply' })
  for (let i = 0; i < 12; i++) {
    const { session } = await world.attach({}, { acknowledges: false })
    session.detach(false)
    await world.pass(61 * second)
  }
  assert.equal(await world.status(id), 'sent')
  const { link } = await world.attach()
  assert.deepEqual(link.names, ['a'])
  assert.equal(link.got[0]!.repeated, true)
})

test('rule 4: a command for a link that cannot acknowledge is kept with its intent before it is written', async () => {
  const before = await withLocker()
  await before.attach({}, { acknowledges: false })
  const id = await before.command({ name: 'a', expect: 'reply', ttlMs: 5 * second })
  const after = await before.crash()
  assert.equal(await after.status(id), 'sent')
})

test('who may not attach is not admitted, and sources end with their device, the store and the gateway', async () => {
  const world = await withLocker()
  const refused = async (device: string) => {
    const { admitted } = await world.tryAdmit({ device })
    return admitted.kind === 'refused' ? admitted.reason : admitted.kind
  }
  assert.equal(await refused('nobody'), 'unauthorized')
  await world.register('off', 'default', {}, { disabled: true })
  assert.equal(await refused('off'), 'unauthorized')
  const { source, intake } = await world.admit({ stays: true })
  const posts = await world.admit()
  await world.hub.removeDevice('default', 'locker')
  assert.equal(source.closed?.reason, 'device-removed')
  assert.equal(posts.source.closed?.reason, 'device-removed')
  assert.deepEqual(await said(world, intake, uplink('a')), ['unavailable'])
  await world.register()
  const next = await world.admit({ stays: true })
  world.engine.fail('down')
  await world.quiet()
  assert.equal(next.source.closed?.reason, 'unavailable')
  assert.equal(await refused('locker'), 'unavailable')
  world.engine.recover()
  const last = await world.admit()
  await world.hub.stop()
  assert.equal(last.source.closed?.reason, 'going-away')
  assert.equal(await refused('locker'), 'going-away')
})

test('an app has as many sources that stay and links as it may', async () => {
  const world = await withLocker()
  await world.register('other')
  await world.quota({ sessions: 1 })
  const { intake } = await world.admit({ stays: true })
  const { admitted } = await world.tryAdmit({ device: 'other', stays: true })
  assert.equal(admitted.kind === 'refused' && admitted.reason, 'overloaded')
  await world.admit({ device: 'other' })
  intake.leave(true)
  await world.attach()
})

test('a device that comes and goes too often is limited, however it comes', async () => {
  const world = await World.open({ limits: { arrivalsPerMinute: 2 } })
  await world.register()
  for (let i = 0; i < 2; i++) (await world.admit({ stays: true })).intake.leave(true)
  for (let i = 0; i < 3; i++) (await world.admit()).intake.leave(true)
  assert.equal((await world.hub.verifier('default', 'locker', 'hkdf', 'x')).limited, true)
})

test('it wants no more while too much is not settled, or answers are held back for its app', async () => {
  const world = await World.open({ limits: { uplinkMaxPending: 4 } })
  await world.register()
  const { intake } = await world.admit()
  const settled = settling()
  let asked = 0
  const more = () => void asked++
  assert.equal(intake.wants(more), true)
  for (let i = 0; i < 5; i++) intake.receive('main', [uplink(`e${i}`)], settled)
  assert.equal(intake.wants(more), false)
  assert.equal(intake.wants(more), false)
  await world.quiet()
  assert.equal(settled.outcomes.length, 5)
  assert.equal(asked, 1)
  assert.equal(intake.wants(more), true)

  await world.quota({ eventsPerSecond: 1 })
  for (let i = 0; i < 3; i++) intake.receive('main', [uplink(`slow${i}`)], settled)
  await world.quiet()
  assert.ok(settled.outcomes.length < 8, 'some answer is held back')
  assert.equal((await namesKept(world)).length, 8, 'though all are kept')
  assert.equal(intake.wants(more), false)
  await world.pass(10 * second)
  assert.equal(settled.outcomes.length, 8)
  assert.equal(asked, 2)
  for (let i = 0; i < 3; i++) intake.receive('main', [uplink(`last${i}`)], settled)
  await world.quiet()
  intake.leave(true)
  await world.quiet()
  assert.equal(settled.outcomes.length, 11, 'who leaves gets what is held back')
})

test("adapters' shelf: what lies under adapters/ is theirs, and nothing else", async () => {
  const world = await withLocker()
  const { shelf } = world.hub
  await shelf.write([{ path: 'adapters/mqtt/one', value: '1' }])
  assert.equal(await shelf.read('adapters/mqtt/one'), '1')
  assert.equal((await shelf.list('adapters/mqtt', { limit: 9 })).items.length, 1)
  assert.throws(() => shelf.read('webhooks/default'), /adapter's shelf/)
  assert.throws(() => shelf.write([{ path: 'adapters', value: '' }]), /adapter's shelf/)
  assert.throws(() => shelf.list('webhooks', { limit: 1 }), /adapter's shelf/)
})

test('rule 17: a session says of what is too old what an intake says: stale, never kept', async () => {
  const world = await withLocker()
  const { session, link } = await world.attach({ uplinkEpoch: 9 })
  const settled = settling()
  const say = (sequence: number) => session.receive([uplink(`e${sequence}`, 7, sequence)], settled)
  for (const sequence of [100, 100, 37, 36]) say(sequence)
  session.receive([uplink('e30', 7, 30), uplink('e101', 7, 101)], settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept', 'kept', 'stale', 'stale'])
  assert.deepEqual(await namesKept(world), ['e100', 'e37', 'e101'])
  const id = await world.command({ expect: 'reply' })
  const answers = settling()
  const reply = (sequence: number) =>
    session.reply(replyTo(link.got[0]!, 'done', { stamp: { epoch: 7, sequence } }), answers)
  reply(20)
  await world.quiet()
  assert.equal(await world.status(id), 'sent', 'it is not taken')
  reply(102)
  await world.quiet()
  assert.deepEqual(answers.outcomes, ['stale', 'kept'])
  assert.equal(await world.status(id), 'done')
  const { uplinks_stale_total, uplinks_duplicate_total } = world.hub.figures()
  assert.deepEqual([uplinks_stale_total, uplinks_duplicate_total], [3, 1])
})

test('what waits for a device is told for a hint: over all its channels or of one, not what it has got', async () => {
  const world = await World.open()
  await world.register('locker', 'default', { media: {} })
  const { hub } = world
  const waiting = (channel?: string) => hub.waiting('default', 'locker', channel)
  assert.equal(await waiting(), 0)
  await world.command({ expect: 'reply' })
  await world.command({ channel: 'media' })
  await world.command({ channel: 'media' })
  assert.deepEqual([await waiting(), await waiting('main'), await waiting('media')], [3, 1, 2])
  assert.equal(await waiting('urgent'), 0)
  assert.equal(await hub.waiting('default', 'nobody'), 0)
  assert.equal(await hub.waiting('other', 'locker'), 0)
  const { link, session } = await world.attach()
  assert.equal(await waiting('main'), 1, 'sent, and not acknowledged')
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  assert.equal((await hub.depth('default', 'locker')).commands, 3, 'its reply is awaited')
  assert.deepEqual([await waiting(), await waiting('main')], [2, 0])
  world.engine.fail('down')
  assert.equal(await waiting(), 0, 'while the store is away nobody can tell')
})
