import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reasons } from '../../src/contract/index.ts'
import { replyTo, settling, uplink, World } from '../support/world.ts'

const second = 1_000

/** A world with one registered locker. */
async function withLocker(): Promise<World> {
  const world = await World.open()
  await world.register()
  return world
}

test('rule 1: ttl bounds handing over, replyTimeout bounds the answer', async () => {
  const world = await withLocker()
  const waiting = await world.command({ ttlMs: 30 * second })
  await world.pass(29 * second)
  assert.equal(await world.status(waiting), 'queued')
  await world.pass(1 * second)
  assert.equal(await world.status(waiting), 'expired')

  const { link, session } = await world.attach()
  const asked = await world.command({
    expect: 'reply',
    ttlMs: 5 * second,
    replyTimeoutMs: 20 * second,
  })
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  assert.equal(await world.status(asked), 'delivered')
  await world.pass(19 * second) // long past its ttl: it was handed over in time
  assert.equal(await world.status(asked), 'delivered')
  await world.pass(1 * second)
  assert.equal(await world.status(asked), 'unanswered')
})

test('rule 1: a reply is due sooner than the command was, and nobody has to ask', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const asked = await world.command({ expect: 'reply', replyTimeoutMs: 10 })
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  await world.pass(10) // less than it takes until the next patrol
  assert.equal(await world.status(asked), 'unanswered')
})

test('rule 1: without a ttl a queued command waits seven days, a now thirty seconds', async () => {
  const world = await withLocker()
  const nowMs = world.clock.nowMs()
  await world.attach()
  const queued = await world.accepted()
  const now = await world.accepted({ delivery: 'now', channel: 'main' })
  assert.equal(queued.command.expiresAtMs - nowMs, 7 * 24 * 3_600 * second)
  assert.equal(now.command.expiresAtMs - nowMs, 30 * second)
})

test('rule 2: nothing is first written after its expiry', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ windowMaxCommands: 1 })
  await world.command({ name: 'first' })
  const late = await world.command({ name: 'late', ttlMs: 2 * second })
  world.clock.advance(2 * second)
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  assert.deepEqual(link.names, ['first'])
  assert.equal(await world.status(late), 'expired')
})

test('rule 3: what may have been sent never ends as if it had not been', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const id = await world.command({ ttlMs: 5 * second })
  assert.equal(link.got.length, 1)
  session.detach(false)
  assert.equal((await world.hub.cancel('default', id)).kind, 'too-late')
  await world.pass(5 * second)
  assert.equal(await world.status(id), 'sent')
  await world.pass(10 * second)
  const ended = await world.ended(id)
  assert.equal(ended.status, 'in-doubt')
  assert.equal(ended.reason, 'maybe-sent')
})

test('rule 3: drop-oldest passes over what may be sent; if nothing can go, it is full', async () => {
  const world = await World.open()
  await world.register('locker', 'default', { media: { maxCommands: 2, overflow: 'drop-oldest' } })
  const { link } = await world.attach({ channel: 'media', windowMaxCommands: 1 })
  const sent = await world.command({ channel: 'media', name: 'sent' })
  const oldest = await world.command({ channel: 'media', name: 'oldest' })
  const newest = await world.command({ channel: 'media', name: 'newest' })
  assert.deepEqual(link.names, ['sent'])
  assert.equal(await world.status(sent), 'sent')
  assert.equal(await world.status(oldest), 'dropped')
  assert.equal(await world.status(newest), 'queued')
})

test('rule 4: after a crash a now with an intent is in doubt at once', async () => {
  const before = await withLocker()
  const { link } = await before.attach()
  const id = await before.command({ delivery: 'now', ttlMs: 30 * second })
  assert.equal(link.got.length, 1)
  const after = await before.crash()
  await after.pass(1)
  const ended = await after.ended(id)
  assert.equal(ended.status, 'in-doubt')
  assert.equal(ended.reason, 'restarted')
})

test('rule 4: after a crash what was out on a link counts as maybe sent', async () => {
  const before = await withLocker()
  const { link } = await before.attach()
  const sent = await before.command({ ttlMs: 5 * second })
  assert.equal(link.got.length, 1)
  const after = await before.crash()
  assert.equal(await after.status(sent), 'sent')
  const waiting = await after.command({ ttlMs: 5 * second })
  await after.pass(5 * second)
  assert.equal(await after.status(sent), 'sent')
  assert.equal(await after.status(waiting), 'expired')
  await after.pass(10 * second)
  assert.equal(await after.status(sent), 'in-doubt')
})

test('rule 5: a now without a link is undeliverable at once, as an outcome', async () => {
  const world = await withLocker()
  const status = await world.accepted({ delivery: 'now' })
  assert.equal(status.kind, 'ended')
  const ended = await world.ended(status.command.id)
  assert.equal(ended.status, 'undeliverable')
  assert.equal(ended.reason, 'no-link')
  const { link } = await world.attach()
  assert.equal(link.got.length, 0)
})

test('rule 5: a now with a link waits its turn until its deadline, then expires', async () => {
  const world = await withLocker()
  const { link } = await world.attach({ windowMaxCommands: 1 })
  await world.command({ name: 'slow' })
  const now = await world.command({ name: 'door', delivery: 'now', ttlMs: 3 * second })
  await world.pass(3 * second)
  assert.deepEqual(link.names, ['slow'])
  assert.equal(await world.status(now), 'expired')
})

test('rule 5: a now is never written twice; a position at or past it delivers it', async () => {
  const world = await withLocker()
  const first = await world.attach()
  const reached = await world.command({ name: 'reached', delivery: 'now' })
  const lost = await world.command({ name: 'lost', delivery: 'now' })
  assert.deepEqual(first.link.names, ['reached', 'lost'])
  first.session.detach(false)
  const { epoch, offset } = first.link.got[0]!.command
  const again = await world.attach({ resumeFrom: { epoch, offset } })
  assert.deepEqual(again.link.names, [])
  assert.equal(await world.status(reached), 'delivered')
  const ended = await world.ended(lost)
  assert.equal(ended.status, 'in-doubt')
  assert.equal(ended.reason, 'not-received')
})

test('rule 6: order in a channel is absolute, for now too; urgent overtakes by being another', async () => {
  const world = await withLocker()
  const main = await world.attach({ windowMaxCommands: 1 })
  const urgent = await world.attach({ channel: 'urgent' })
  await world.command({ name: 'one' })
  await world.command({ name: 'two' })
  await world.command({ name: 'three', delivery: 'now' })
  await world.command({ name: 'fire', channel: 'urgent', delivery: 'now' })
  assert.deepEqual(main.link.names, ['one'])
  assert.deepEqual(urgent.link.names, ['fire'])
  main.session.acknowledgeUpTo(main.link.got[0]!.command.offset)
  await world.quiet()
  main.session.acknowledgeUpTo(main.link.got[1]!.command.offset)
  await world.quiet()
  assert.deepEqual(main.link.names, ['one', 'two', 'three'])
})

test('rule 7: one poisonous command cannot block a channel', async () => {
  const world = await withLocker()
  const poison = await world.command({ name: 'poison' })
  const next = await world.command({ name: 'next' })
  for (let session = 0; session < 10; session++) {
    const { link, session: one } = await world.attach({ windowMaxCommands: 1 })
    assert.deepEqual(link.names, ['poison'])
    one.detach(false)
    await world.pass(60 * second)
  }
  const { link } = await world.attach({ windowMaxCommands: 1 })
  assert.deepEqual(link.names, ['next'])
  const ended = await world.ended(poison)
  assert.equal(ended.status, 'undeliverable')
  assert.equal(ended.reason, 'attempts')
  assert.equal(await world.status(next), 'sent')
})

test('rule 7: too large for the link is undeliverable, unsent, and the next one goes', async () => {
  const world = await withLocker()
  const { link } = await world.attach()
  link.carriesMaxBytes = 100
  const large = await world.command({ name: 'large', payload: new Uint8Array(101) })
  await world.command({ name: 'small' })
  const ended = await world.ended(large)
  assert.equal(ended.status, 'undeliverable')
  assert.equal(ended.reason, 'too-large')
  assert.deepEqual(link.names, ['small'])
})

test('rule 7: removing a device ends the unsent undeliverable, the maybe sent in doubt', async () => {
  const world = await withLocker()
  const { link } = await world.attach({ windowMaxCommands: 1 })
  const sent = await world.command()
  const unsent = await world.command()
  assert.equal(await world.hub.removeDevice('default', 'locker'), true)
  assert.equal(link.closed?.reason, 'device-removed')
  assert.equal((await world.ended(sent)).status, 'in-doubt')
  assert.equal((await world.ended(unsent)).status, 'undeliverable')
  assert.equal((await world.ended(unsent)).reason, 'device-removed')
  assert.equal((await world.submit()).kind, 'unknown-device')
})

test('rule 8: an outcome never changes; later proof is told', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const id = await world.command({ expect: 'reply', ttlMs: 1 * second })
  await world.pass(11 * second)
  session.touch()
  assert.equal(await world.status(id), 'in-doubt')
  const settled = settling()
  session.reply(replyTo(link.got[0]!), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept'])
  assert.equal(await world.status(id), 'in-doubt')
  const [late] = await world.events('command.late')
  assert.equal(late?.kind === 'command.late' && late.command, id)
  assert.deepEqual(await lateSteps(world, id), ['done()'])
  const [outcome, ...others] = await world.events('command.ended')
  assert.deepEqual(others, [])
  assert.equal(
    outcome?.kind === 'command.ended' && outcome.ended.timeline.at(-1)?.status,
    'in-doubt',
  )
})

test('rule 8: a late acknowledgement is told too, and then a late reply', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const ids = [
    await world.command({ expect: 'reply', ttlMs: 1 * second }),
    await world.command({ ttlMs: 1 * second }),
  ]
  await world.pass(11 * second)
  assert.deepEqual(await statuses(world, ids), ['in-doubt', 'in-doubt'])
  assert.equal(session.acknowledgeUpTo(link.got[1]!.command.offset), 'ok')
  await world.quiet()
  session.reply(replyTo(link.got[0]!, 'failed', { reason: 'jammed' }), settling())
  await world.quiet()
  const after = await world.restart()
  assert.deepEqual(await lateSteps(after, ids[0]!), ['delivered()', 'failed(jammed)'])
  assert.deepEqual(await lateSteps(after, ids[1]!), ['delivered()'])
  assert.deepEqual(await statuses(after, ids), ['in-doubt', 'in-doubt'])
  assert.equal((await after.events('command.late')).length, 3)
  assert.equal((await after.events('command.ended')).length, 2)
})

test('rule 9: every command records who asked', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const id = await world.command({ askedBy: 'night-shift' })
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  assert.equal((await world.ended(id)).askedBy, 'night-shift')
  const [event] = await world.events('command.ended')
  assert.equal(event?.kind === 'command.ended' && event.ended.askedBy, 'night-shift')
})

test('rule 11: accepted = ended + open, through a crash', async () => {
  const before = await withLocker()
  const { link, session } = await before.attach()
  for (let i = 0; i < 5; i++) await before.command()
  session.acknowledge(link.got[0]!.command.offset)
  await before.quiet()
  await before.command({ channel: 'urgent', delivery: 'now' })
  const after = await before.crash()
  const counts = await after.engine.mailbox.counts('default')
  const ended = Object.values(counts.ended).reduce((sum, count) => sum + count, 0)
  assert.equal(counts.accepted, 6)
  assert.equal(ended, 2)
  assert.equal(counts.open, 4)
})

test('rule 12: one acknowledgement is for one command, the other for all before it too', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const ids = [await world.command(), await world.command(), await world.command()]
  session.acknowledge(link.got[1]!.command.offset)
  await world.quiet()
  assert.deepEqual(await statuses(world, ids), ['sent', 'delivered', 'sent'])
  session.acknowledgeUpTo(link.got[2]!.command.offset)
  await world.quiet()
  assert.deepEqual(await statuses(world, ids), ['delivered', 'delivered', 'delivered'])
})

test('rule 12: what was acknowledged out of order is not sent again, through a crash', async () => {
  const before = await withLocker()
  const { link, session } = await before.attach()
  for (const name of ['one', 'two', 'three']) await before.command({ name })
  session.acknowledge(link.got[1]!.command.offset)
  await before.quiet()
  const after = await before.crash()
  const again = await after.attach()
  assert.deepEqual(again.link.names, ['one', 'three'])
  assert.ok(again.link.got.every(({ repeated }) => repeated))
})

test('rule 12: acknowledging what was neither sent nor resumed past is a protocol error', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  assert.equal(session.acknowledge(1), 'unknown')
  assert.equal(session.acknowledgeUpTo(7), 'unknown')
})

test('rule 13: a position of an epoch that is listed is known after a crash', async () => {
  const before = await withLocker()
  const { link } = await before.attach()
  await before.command({ name: 'one' })
  await before.command({ name: 'two' })
  const { epoch, offset } = link.got[0]!.command
  const after = await before.crash()
  await after.command({ name: 'three' })
  const again = await after.attach({ resumeFrom: { epoch, offset } })
  assert.equal(again.session.resumed, 'resumed')
  assert.notEqual(again.session.position.epoch, epoch)
  assert.deepEqual(again.link.names, ['two', 'three'])
})

test('rule 13: an unknown position replays from the stored cursor, and both sides are told', async () => {
  const world = await withLocker()
  const first = await world.attach()
  await world.command({ name: 'one' })
  const { epoch } = first.link.got[0]!.command
  for (const resumeFrom of [
    { epoch: 12_345, offset: 1 },
    { epoch, offset: 99 },
  ]) {
    const { link, session } = await world.attach({ resumeFrom })
    assert.equal(session.resumed, 'tail-lost')
    assert.deepEqual(link.names, ['one'])
    session.detach(true)
    await world.pass(60 * second)
  }
  const told = await world.events('position.unknown')
  assert.equal(told.length, 2)
})

test('rule 13: a device beyond the end of the current epoch begins a new one', async () => {
  const world = await withLocker()
  const first = await world.attach()
  await world.command({ name: 'one' })
  const { epoch } = first.link.got[0]!.command
  first.session.detach(true)
  const { session } = await world.attach({ resumeFrom: { epoch, offset: 50 } })
  assert.equal(session.resumed, 'tail-lost')
  assert.notEqual(session.position.epoch, epoch)
  session.detach(true)
  await world.pass(60 * second)
  // Offset 50 of the old epoch will never be given again: what the device had stays unmistakable.
  await world.command({ name: 'two' })
  const again = await world.attach()
  assert.equal(again.link.got.at(-1)!.command.epoch, session.position.epoch)
})

test('rule 14: replay starts at the larger of stored cursor and device position', async () => {
  const world = await withLocker()
  const first = await world.attach()
  const ids = []
  for (const name of ['one', 'two', 'three']) ids.push(await world.command({ name }))
  const { epoch } = first.link.got[0]!.command
  first.session.detach(false)
  // Ahead of the cursor: it has thereby acknowledged.
  const ahead = await world.attach({
    resumeFrom: { epoch, offset: first.link.got[1]!.command.offset },
  })
  assert.deepEqual(ahead.link.names, ['three'])
  assert.deepEqual(await statuses(world, ids), ['delivered', 'delivered', 'sent'])
  ahead.session.detach(false)
  // Behind it: what has ended does not come again.
  const behind = await world.attach({ resumeFrom: { epoch, offset: 0 } })
  assert.deepEqual(behind.link.names, ['three'])
})

test('rule 15: the last sequence kept waits for what the older session still has on its way', async () => {
  const world = await withLocker()
  const first = await world.attach({ uplinkEpoch: 7 })
  const settled = settling()
  first.session.receive([uplink('a', 7, 1), uplink('b', 7, 2)], settled)
  const { attached } = await world.tryAttach({ uplinkEpoch: 7 })
  assert.deepEqual(settled.outcomes, ['kept'])
  assert.equal(attached.kind === 'session' && attached.session.uplinkKept, 2)
})

test('rule 16: end, reply event and stamp are one batch, and a repeated reply changes nothing', async () => {
  const before = await withLocker()
  const { link, session } = await before.attach({ uplinkEpoch: 7 })
  const id = await before.command({ expect: 'reply' })
  const reply = replyTo(link.got[0]!, 'failed', {
    reason: 'jammed',
    stamp: { epoch: 7, sequence: 1 },
  })
  const settled = settling()
  session.reply(reply, settled)
  await before.quiet()
  const after = await before.crash()
  const again = await after.attach({ uplinkEpoch: 7 })
  assert.equal(again.session.uplinkKept, 1)
  again.session.reply(reply, settled)
  await after.quiet()
  assert.deepEqual(settled.outcomes, ['kept', 'kept'])
  const ended = await after.ended(id)
  assert.equal(ended.status, 'failed')
  assert.equal(ended.reason, 'jammed')
  const events = await after.events()
  const kinds = events.map(({ kind }) => kind).filter((kind) => kind !== 'presence')
  assert.deepEqual(kinds, ['reply', 'command.ended'])
})

test('rule 18: one receiver a channel, the newest wins, the older is told to come back later', async () => {
  const world = await withLocker()
  const older = await world.attach()
  const newer = await world.attach()
  assert.equal(older.link.closed?.reason, 'taken-over')
  assert.notEqual(reasons[older.link.closed!.reason].retry, 'never')
  await world.command()
  assert.equal(older.link.got.length, 0)
  assert.equal(newer.link.got.length, 1)
})

test('rule 18: three take-overs a minute hold both off for a minute and raise an event', async () => {
  const world = await withLocker()
  await world.attach()
  await world.attach()
  const holder = await world.attach()
  const fourth = await world.tryAttach()
  assert.equal(fourth.attached.kind === 'refused' && fourth.attached.reason, 'conflict')
  assert.equal(holder.link.closed?.reason, 'conflict')
  const held = await world.tryAttach()
  assert.equal(held.attached.kind === 'refused' && held.attached.reason, 'conflict')
  assert.equal((await world.events('session.conflict')).length, 1)
  await world.pass(60 * second)
  await world.attach()
})

test('rule 18: a device whose dead links nobody noticed fights with nobody', async () => {
  const world = await withLocker()
  const one = { client: 'one' }
  await world.attach({}, one)
  for (let came = 0; came < 5; came++) {
    await world.pass(10 * second)
    const { attached } = await world.tryAttach({}, one)
    assert.equal(attached.kind, 'session', 'the same client, and silent before')
  }
  // Another client, or alive a moment ago: that is somebody else.
  await world.pass(10 * second)
  const other = { client: 'other' }
  await world.attach({}, other)
  await world.attach({}, other)
  const third = await world.tryAttach({}, other)
  assert.equal(third.attached.kind === 'refused' && third.attached.reason, 'conflict')
})

test('rule 19: a fenced session neither delivers nor moves a cursor; its replies are facts', async () => {
  const world = await withLocker()
  const older = await world.attach()
  const id = await world.command({ expect: 'reply' })
  const newer = await world.attach()
  assert.equal(newer.link.got[0]?.repeated, true)
  older.session.acknowledge(older.link.got[0]!.command.offset)
  await world.quiet()
  assert.equal(await world.status(id), 'sent')
  const settled = settling()
  older.session.reply(replyTo(older.link.got[0]!), settled)
  await world.quiet()
  assert.deepEqual(settled.outcomes, ['kept'])
  assert.equal(await world.status(id), 'done')
})

test('rule 20: a dead link is reset, so that nothing in its buffers arrives later', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ keepaliveMs: 60 * second })
  await world.pass(session.keepaliveMs * 1.25 + 10 * second)
  assert.equal(link.closed?.reason, 'keepalive-expired')
  assert.equal(reasons[link.closed!.reason].reset, true)
  assert.equal(reasons.unresponsive.reset, true)
})

test('rule 21: where its adapter watches, a device may be silent for ever; what it does not answer kills it', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ keepaliveMs: 60 * second, adapterWatches: true })
  assert.equal(session.keepaliveMs, Number.POSITIVE_INFINITY)
  await world.pass(24 * 3_600 * second)
  assert.equal(link.isClosed, false)
  assert.equal(world.hub.presence('default', 'locker').state, 'online')
  link.answersProbes = false
  await world.command({ ttlMs: 60 * second })
  await world.pass(3_600 * second)
  assert.deepEqual([link.isClosed, link.probes > 0], [false, true], 'it cannot be asked')
  link.answersProbes = true
  await world.command()
  await world.pass(30 * second)
  assert.equal(link.closed?.reason, 'unresponsive')
})

test('rule 21: a late acknowledgement is probed; an answered probe proves life', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ keepaliveMs: 600 * second })
  const id = await world.command({ expect: 'reply' })
  for (let i = 0, answered = 0; i < 300; i++) {
    await world.pass(1 * second)
    if (link.probes === answered) continue
    answered = link.probes
    session.touch() // the door is slow, the device behind it is not
  }
  assert.ok(link.probes > 0)
  assert.equal(link.closed, undefined)
  assert.equal(world.hub.presence('default', 'locker').state, 'online')
  session.reply(replyTo(link.got[0]!), settling())
  await world.quiet()
  assert.equal(await world.status(id), 'done')
})

test('rule 21: only an unanswered probe kills', async () => {
  const world = await withLocker()
  const { link } = await world.attach({ keepaliveMs: 600 * second })
  await world.command()
  for (let i = 0; i < 20 && link.probes === 0; i++) await world.pass(1 * second)
  assert.equal(link.probes, 1)
  assert.equal(world.hub.presence('default', 'locker').state, 'suspect')
  assert.ok(!link.isClosed)
  await world.pass(10 * second)
  assert.equal(link.closed?.reason, 'unresponsive')
})

test('rule 28: one idempotency key is one command, also while the first is being kept', async () => {
  const world = await withLocker()
  const idempotency = { key: 'default/first/k1', hash: 'h1' }
  const [a, b] = await Promise.all([world.submit({ idempotency }), world.submit({ idempotency })])
  assert.equal(a.kind === 'accepted' && b.kind === 'accepted', true)
  if (a.kind === 'accepted' && b.kind === 'accepted') {
    assert.equal(a.status.command.id, b.status.command.id)
  }
  const other = await world.submit({ idempotency: { ...idempotency, hash: 'h2' } })
  assert.equal(other.kind, 'conflict')
  assert.equal((await world.engine.mailbox.counts('default')).accepted, 1)
})

test('rule 28: a repeated call whose command is forgotten is told so, not that the store is away', async () => {
  const world = await withLocker()
  const idempotency = { key: 'k1', hash: 'h1' }
  const id = await world.command({ idempotency, delivery: 'now' })
  await world.engine.events.purge(Number.POSITIVE_INFINITY)
  assert.equal(await world.hub.status('default', id), undefined)
  assert.deepEqual(await world.submit({ idempotency }), { kind: 'forgotten', id })
  await world.hub.removeDevice('default', 'locker')
  assert.deepEqual(await world.submit({ idempotency }), { kind: 'forgotten', id })
  assert.equal((await world.engine.mailbox.counts('default')).accepted, 1)
})

test('rule 30: an id reaches only into the app of whoever asks', async () => {
  const world = await withLocker()
  await world.register('locker', 'other')
  const id = await world.command()
  assert.equal(await world.hub.status('other', id), undefined)
  assert.equal((await world.hub.cancel('other', id)).kind, 'unknown')
  assert.equal(await world.hub.explain('other', id), undefined)
})

test('rule 33: with no space for anything new an event is refused before its stamp is judged; replies still end commands', async () => {
  const world = await withLocker()
  const epoch = 7
  const { link, session } = await world.attach({ uplinkEpoch: epoch })
  await world.command({ expect: 'reply', name: 'first' })
  await world.command({ expect: 'reply', name: 'second' })
  const [first, second] = link.got
  const outcomes: string[] = []
  const told = (what: string) => (outcome: string) => outcomes.push(`${what} ${outcome}`)
  const said = (sequence: number) => uplink('opened', epoch, sequence)
  world.engine.mailbox.full = true
  session.reply(replyTo(first!, 'done', { stamp: { epoch, sequence: 1 } }), told('reply 1'))
  await world.quiet()
  session.receive([said(2)], told('event 2'))
  // In order behind it: taken, it would make the event look kept.
  session.reply(replyTo(second!, 'done', { stamp: { epoch, sequence: 3 } }), told('reply 3'))
  session.receive([said(4)], told('event 4'))
  await world.quiet()
  world.engine.mailbox.full = false
  session.receive([said(4)], told('event 4'))
  await world.quiet()
  assert.deepEqual(outcomes, [
    ...['reply 1 kept', 'event 2 unavailable', 'reply 3 unavailable', 'event 4 unavailable'],
    'event 4 unavailable',
  ])
  assert.equal((await world.engine.mailbox.counts('default')).ended.done, 1)
  session.detach(false)
  const { session: next } = await world.attach({ uplinkEpoch: epoch })
  assert.equal(next.uplinkKept, 1)
  outcomes.length = 0
  next.receive([said(2)], told('event 2'))
  next.reply(replyTo(second!, 'done', { stamp: { epoch, sequence: 3 } }), told('reply 3'))
  await world.quiet()
  assert.deepEqual(outcomes, ['event 2 kept', 'reply 3 kept'])
  assert.equal((await world.engine.mailbox.counts('default')).ended.done, 2)
})

test('rule 33: with no space for anything new an event out of order is refused for itself, and taken later', async () => {
  const world = await withLocker()
  const { session } = await world.attach()
  const outcomes: string[] = []
  const say = async (sequence: number) => {
    session.receive([uplink('opened', 7, sequence)], (outcome) => {
      outcomes.push(`${sequence} ${outcome}`)
    })
    await world.quiet()
  }
  world.engine.mailbox.full = true
  assert.deepEqual(await world.submit(), { kind: 'unavailable', full: true })
  await say(1)
  world.engine.mailbox.full = false
  await say(2)
  await say(1)
  assert.deepEqual(outcomes, ['1 unavailable', '2 kept', '1 kept'])
  const page = await world.engine.events.read('default', { limit: 9, kinds: ['event'] })
  assert.equal(page.kind === 'page' && page.items.length, 2)
})

/** What follows the end in a command's timeline. */
async function lateSteps(world: World, id: string): Promise<readonly string[]> {
  const { timeline, status } = await world.ended(id)
  const end = timeline.findIndex((step) => step.status === status)
  const after = timeline.slice(end + 1)
  assert.ok(after.every((step) => step.late === true) && !timeline[end]!.late)
  return after.map(({ status, reason = '' }) => `${status}(${reason})`)
}

const statuses = (world: World, ids: readonly string[]) =>
  Promise.all(ids.map((id) => world.status(id)))
