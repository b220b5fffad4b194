import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EndedCommand, EndReason, EndStatus, Explanation } from '../../src/contract/index.ts'
import { endReasons, endStatuses } from '../../src/contract/index.ts'
import { explainEnded } from '../../src/hub/explain-ended.ts'
import { bytes, replyTo, settling, World } from '../support/world.ts'

const second = 1_000

async function withLocker(limits = {}): Promise<World> {
  const world = await World.open({ limits })
  await world.register('locker', 'default', { media: { maxCommands: 1, overflow: 'drop-oldest' } })
  return world
}

/** What every explanation must be, whatever it explains. */
function readable({ code, sentence }: Pick<Explanation, 'code' | 'sentence'>): void {
  assert.match(code, /^(waiting|ended)(\.[a-z]+(-[a-z]+)*)+$/)
  assert.match(sentence, /^[A-Z].*[.?]$/)
  assert.doesNotMatch(sentence, /undefined|null|NaN|\[object|\.\.|: \./)
  assert.ok(sentence.length > 30 && sentence.length < 400, `${sentence.length}: ${sentence}`)
}

async function explained(world: World, id: string): Promise<Explanation> {
  const explanation = await world.hub.explain('default', id)
  assert.ok(explanation !== undefined)
  readable(explanation)
  return explanation
}

const endedWith = (status: EndStatus, reason?: string): EndedCommand => ({
  id: 'locker:main:1:1',
  channel: 'default/locker/main',
  epoch: 1,
  offset: 1,
  name: 'open',
  delivery: 'queue',
  expect: 'ack',
  acceptedAtMs: 0,
  expiresAtMs: 1,
  askedBy: 'first',
  status,
  reason,
  timeline: [
    { status: 'queued', atMs: 0 },
    { status, reason, atMs: 1 },
  ],
})

test('every outcome with every reason has a sentence that says what to do, and a code', () => {
  const reasons = [undefined, ...Object.keys(endReasons), 'jammed', 'constructor', '__proto__']
  for (const status of endStatuses) {
    const codes = new Set<string>()
    for (const reason of reasons) {
      const words = explainEnded(endedWith(status, reason))
      readable(words)
      assert.ok(words.code.startsWith(`ended.${status}`), words.code)
      assert.ok(words.sentence.split('. ').length >= 3, words.sentence)
      codes.add(words.code)
    }
    assert.ok(codes.has(`ended.${status}`))
  }
})

test('reasons that occur have codes of their own; a device’s own word makes none', () => {
  const code = (status: EndStatus, reason?: EndReason | string) =>
    explainEnded(endedWith(status, reason)).code
  assert.equal(code('delivered'), 'ended.delivered')
  assert.equal(code('undeliverable', 'no-link'), 'ended.undeliverable.no-link')
  assert.equal(code('in-doubt', 'restarted'), 'ended.in-doubt.restarted')
  assert.equal(code('rejected', 'late'), 'ended.rejected.late')
  assert.equal(code('failed', 'jammed'), 'ended.failed')
  assert.equal(code('failed', 'no-link'), 'ended.failed') // the device said so, not we
  assert.match(explainEnded(endedWith('failed', 'jammed')).sentence, /"jammed"/)
})

test('what may have been sent is never explained as if it had not been', () => {
  for (const reason of [undefined, ...Object.keys(endReasons)]) {
    for (const status of ['in-doubt', 'unanswered'] as const) {
      assert.match(explainEnded(endedWith(status, reason)).sentence, /Look at the state|look at/i)
    }
  }
  assert.match(explainEnded(endedWith('undeliverable', 'attempts')).sentence, /may have acted/)
})

test('proof that came after the end is in the explanation (rule 8)', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const id = await world.command({ expect: 'reply', ttlMs: second })
  await world.pass(11 * second)
  session.touch()
  assert.equal((await explained(world, id)).code, 'ended.in-doubt.maybe-sent')
  session.reply(replyTo(link.got[0]!, 'failed', { reason: 'jammed' }), settling())
  await world.quiet()
  const { code, sentence } = await explained(world, id)
  assert.equal(code, 'ended.in-doubt.maybe-sent')
  assert.match(sentence, /answered it after all: failed \(jammed\)/)
})

test('a scheduled command says when it gets its place', async () => {
  const world = await withLocker()
  const notBeforeMs = world.clock.nowMs() + 60 * second
  for (const delivery of ['queue', 'now'] as const) {
    const id = await world.command({ notBeforeMs, delivery })
    const { code, nextAtMs, sentence } = await explained(world, id)
    assert.equal(code, 'waiting.not-before')
    assert.equal(nextAtMs, notBeforeMs)
    assert.ok(sentence.includes(new Date(notBeforeMs).toISOString()))
  }
})

test('without a link it says whether the device is there at all', async () => {
  const world = await withLocker()
  const id = await world.command({ ttlMs: 60 * second })
  const never = await explained(world, id)
  assert.equal(never.code, 'waiting.no-link')
  assert.match(never.sentence, /has not been here/)
  assert.equal(never.nextAtMs, world.clock.nowMs() + 60 * second)
  const { session } = await world.attach({ channel: 'urgent' })
  assert.match((await explained(world, id)).sentence, /online, but has nothing attached/)
  session.detach(true)
  assert.match((await explained(world, id)).sentence, /was last heard/)
})

test('from written to answered, each state is explained', async () => {
  const world = await withLocker()
  const first = await world.attach({ keepaliveMs: 600 * second })
  const id = await world.command({ expect: 'reply' })
  assert.equal((await explained(world, id)).code, 'waiting.acknowledgement')
  for (let i = 0; i < 20 && first.link.probes === 0; i++) await world.pass(second)
  assert.equal((await explained(world, id)).code, 'waiting.probe')
  first.session.detach(false)
  assert.equal((await explained(world, id)).code, 'waiting.device-after-sent')
  const again = await world.tryAttach()
  assert.ok(again.attached.kind === 'session')
  assert.equal((await explained(world, id)).code, 'waiting.repeat')
  const next = await world.command()
  assert.equal((await explained(world, next)).code, 'waiting.session')
  again.attached.session.start()
  await world.quiet()
  assert.equal((await explained(world, id)).code, 'waiting.acknowledgement')
  again.attached.session.acknowledge(again.link.got[0]!.command.offset)
  await world.quiet()
  const reply = await explained(world, id)
  assert.equal(reply.code, 'waiting.reply')
  assert.equal(reply.nextAtMs, world.clock.nowMs() + 60 * second)
})

test('a full window, a link that is not read, an intent being kept, and a turn behind others', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ windowMaxCommands: 2 })
  await world.command()
  await world.command()
  const third = await world.command()
  assert.equal((await explained(world, third)).code, 'waiting.window-full')
  link.takes = 'full'
  session.acknowledgeUpTo(link.got[1]!.command.offset)
  await world.quiet()
  const fourth = await world.command()
  assert.equal((await explained(world, fourth)).code, 'waiting.link-full')
})

test('a store that cannot be written is said to be what is waited for', async () => {
  const world = await withLocker()
  const id = await world.command()
  const scheduled = await world.command({ notBeforeMs: world.clock.nowMs() + second })
  world.engine.fail('full')
  await world.pass(second)
  assert.equal((await explained(world, id)).code, 'waiting.store-away')
  assert.equal((await explained(world, scheduled)).code, 'waiting.store-away')
})

test('what should have ended but is held after a jump of the clock says so (rule 34)', async () => {
  const before = await withLocker()
  const id = await before.command({ ttlMs: second })
  before.clock.advance(2 * second)
  const holdUntilMs = before.clock.nowMs() + 60 * second
  const world = await before.crash({}, holdUntilMs)
  const { code, nextAtMs } = await explained(world, id)
  assert.equal(code, 'waiting.expiry-held')
  assert.equal(nextAtMs, holdUntilMs)
})

test('ends as they really come are explained', async () => {
  const world = await withLocker()
  const codes: string[] = []
  const add = async (id: string) => codes.push((await explained(world, id)).code)
  await add(await world.command({ delivery: 'now' }))
  const canceled = await world.command()
  await world.hub.cancel('default', canceled)
  await add(canceled)
  const expired = await world.command({ ttlMs: second })
  await world.pass(second)
  await add(expired)
  const older = await world.command({ collapse: 'a' })
  await world.command({ collapse: 'a' })
  await add(older)
  const dropped = await world.command({ channel: 'media' })
  await world.command({ channel: 'media' })
  await add(dropped)
  const { link } = await world.attach({ channel: 'urgent' })
  link.carriesMaxBytes = 1
  await add(await world.command({ channel: 'urgent', payload: bytes('large') }))
  assert.deepEqual(codes, [
    'ended.undeliverable.no-link',
    'ended.canceled.requested',
    'ended.expired.ttl-passed',
    'ended.superseded.collapsed',
    'ended.dropped.mailbox-full',
    'ended.undeliverable.too-large',
  ])
})
