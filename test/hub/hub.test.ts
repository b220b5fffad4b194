import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Credential } from '../../src/contract/index.ts'
import { makeCredential, makeSecret } from '../../src/secrets/secrets.ts'
import { replyTo, settling, uplink, World } from '../support/world.ts'

const second = 1_000

async function withLocker(): Promise<World> {
  const world = await World.open()
  await world.register()
  return world
}

test('a call that waits is answered when its command has ended', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  const id = await world.command()
  const waiting = world.hub.wait('default', id, 10 * second)
  session.acknowledge(link.got[0]!.command.offset)
  const status = await waiting
  assert.equal(status?.kind === 'ended' && status.command.status, 'delivered')
  assert.equal(world.hub.figures().waiters, 0)
})

test('a call that waits in vain is answered with where its command is', async () => {
  const world = await withLocker()
  const id = await world.command()
  const waiting = world.hub.wait('default', id, 10 * second)
  await world.pass(10 * second)
  const status = await waiting
  assert.equal(status?.kind === 'open' && status.status, 'queued')
  assert.equal(world.hub.figures().waiters, 0)
})

test('at the bound of waiting calls a further one is answered at once', async () => {
  const world = await World.open({ limits: { waitersMax: 1 } })
  await world.register()
  const id = await world.command()
  void world.hub.wait('default', id, 10 * second)
  const status = await world.hub.wait('default', id, 10 * second)
  assert.equal(status?.kind, 'open')
})

test('of the waiting calls one app has half, so that another finds room', async () => {
  const world = await World.open({ limits: { waitersMax: 4 } })
  await world.register()
  await world.register('locker', 'other')
  const id = await world.command()
  const others = await world.command({ app: 'other' })
  for (let round = 0; round < 2; round++) {
    const waits = Array.from({ length: 3 }, () => world.hub.wait('default', id, 10 * second))
    const other = world.hub.wait('other', others, 10 * second)
    await world.quiet()
    assert.equal(world.hub.figures().waiters, 3)
    await world.pass(10 * second)
    await Promise.all([...waits, other])
    assert.equal(world.hub.figures().waiters, 0)
  }
  void world.hub.wait('default', id, 10 * second)
  await world.hub.cancel('default', id)
  await world.quiet()
  assert.equal(world.hub.figures().waiters, 0)
  const next = await world.command()
  for (let i = 0; i < 3; i++) void world.hub.wait('default', next, 10 * second)
  await world.quiet()
  assert.equal(world.hub.figures().waiters, 2)
})

test('a lost hint costs time, never a command: the patrol finds it', async () => {
  const world = await withLocker()
  const { link } = await world.attach()
  // Another node would append and its hint be lost: here the store is written behind the hub's back.
  await world.engine.mailbox.append(
    'default/locker/main',
    {
      name: 'unhinted',
      payload: new Uint8Array(),
      contentType: 'application/json',
      delivery: 'queue',
      expect: 'ack',
      acceptedAtMs: world.clock.nowMs(),
      expiresAtMs: world.clock.nowMs() + 3_600 * second,
      replyTimeoutMs: 60 * second,
      askedBy: 'other',
    },
    { maxCommands: 10, maxBytes: 1_000, overflow: 'reject', intendUpTo: 0 },
  )
  await world.quiet()
  assert.deepEqual(link.names, [])
  for (let passed = 0; passed < 45; passed++) await world.pass(1 * second)
  assert.deepEqual(link.names, ['unhinted'])
})

test('a command that comes after a patrol found nothing goes like any other', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach()
  for (let round = 1; round <= 3; round++) {
    for (let passed = 0; passed < 45; passed++) await world.pass(1 * second)
    session.touch()
    await world.command({ name: `round ${round}` })
    assert.equal(link.names.length, round)
    session.acknowledgeUpTo(link.got.at(-1)!.command.offset)
    await world.quiet()
  }
})

test('explain says what a command waits for, in words and in a code', async () => {
  const world = await withLocker()
  const code = async (id: string) => {
    const explanation = await world.hub.explain('default', id)
    assert.ok(explanation?.sentence.endsWith('.'))
    return explanation?.code
  }
  const first = await world.command({ name: 'first' })
  const next = await world.command({ name: 'next', expect: 'reply' })
  assert.equal(await code(first), 'waiting.no-link')
  const { link, session } = await world.attach({ windowMaxCommands: 1 })
  assert.equal(await code(first), 'waiting.acknowledgement')
  assert.equal(await code(next), 'waiting.window-full')
  session.acknowledge(link.got[0]!.command.offset)
  await world.quiet()
  assert.equal(await code(first), 'ended.delivered')
  session.acknowledge(link.got[1]!.command.offset)
  await world.quiet()
  assert.equal(await code(next), 'waiting.reply')
  const last = await world.command({ name: 'last' })
  session.detach(false)
  assert.equal(await code(last), 'waiting.device-after-sent')
  const unknown = await world.hub.explain('default', 'locker:main:1:999')
  assert.equal(unknown, undefined)
})

test('explain shows a full window and a link that is not read', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ windowMaxCommands: 2 })
  link.takes = 'full'
  await world.command()
  const second = await world.command()
  const full = await world.hub.explain('default', second)
  assert.equal(full?.code, 'waiting.link-full')
  link.takes = 'open'
  session.drained()
  await world.quiet()
  const third = await world.command()
  const explained = await world.hub.explain('default', third)
  assert.equal(explained?.code, 'waiting.window-full')
  assert.equal(explained?.session?.inFlight, 2)
  assert.equal(explained?.head, link.got[0]!.command.id)
})

test('a store that fails ends every session, and the same device is served again after', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ uplinkEpoch: 3 })
  const settled = settling()
  world.engine.fail('full')
  session.receive([uplink('lost?', 3, 1)], settled)
  await world.pass(0)
  assert.equal(link.closed?.reason, 'unavailable')
  assert.ok(!settled.outcomes.includes('kept'))
  assert.equal(world.hub.ready().ok, false)
  const refused = await world.submit()
  assert.equal(refused.kind === 'unavailable' && refused.full, true)
  const early = await world.tryAttach()
  assert.equal(early.attached.kind === 'refused' && early.attached.reason, 'unavailable')
  world.engine.recover()
  await world.pass(0)
  const again = await world.attach({ uplinkEpoch: 3 })
  assert.equal(again.session.uplinkKept, 0)
  again.session.receive([uplink('lost?', 3, 1)], settled)
  await world.quiet()
  assert.equal(settled.outcomes.at(-1), 'kept')
  assert.equal((await world.events('event')).length, 1)
})

test('a device disabled or removed while it attaches is turned back', async () => {
  for (const how of ['disable', 'remove'] as const) {
    const world = await withLocker()
    const attaching = world.tryAttach()
    if (how === 'remove') await world.hub.removeDevice('default', 'locker')
    else {
      const record = (await world.engine.names.device('default', 'locker'))!
      await Promise.all([
        world.engine.names.putDevice({ ...record, disabled: true }),
        world.hub.refuseDevice('default', 'locker'),
      ])
    }
    const { attached } = await attaching
    assert.equal(attached.kind, 'refused', how)
    assert.equal(world.hub.figures().sessions, 0)
  }
})

test('a stamped reply whose session ends while its command is looked up is not kept', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ uplinkEpoch: 5 })
  const id = await world.command({ expect: 'reply' })
  session.acknowledge(link.got[0]!.command.offset) // from now on it is looked up in the store
  const settled = settling()
  const reply = replyTo(link.got[0]!, 'done', { stamp: { epoch: 5, sequence: 1 } })
  session.reply(reply, settled)
  session.detach(false)
  await world.quiet()
  const again = await world.attach({ uplinkEpoch: 5 })
  if (settled.outcomes.includes('kept')) assert.equal(again.session.uplinkKept, 1)
  else {
    again.session.reply(reply, settled)
    await world.quiet()
  }
  assert.equal((await world.events('reply')).length, 1)
  assert.equal((await world.events('command.late')).length, 0)
  assert.equal(await world.status(id), 'done')
})

test('nothing of a session is held once it is over', async () => {
  const world = await withLocker()
  for (let i = 0; i < 20; i++) {
    const { session } = await world.attach()
    await world.command()
    session.detach(true)
  }
  assert.equal(world.hub.deadlines.size, 0)
})

test('a call that waits in vain on a failed store leaves nothing behind', async () => {
  const world = await withLocker()
  const id = await world.command()
  world.engine.fail('down')
  const waiting = world.hub.wait('default', id, 10 * second).catch(() => undefined)
  await world.pass(10 * second)
  await waiting
  world.engine.recover()
  await world.quiet()
  assert.equal(world.hub.figures().waiters, 0)
})

test('two attaches at once: the later wins, the slower is told to come back', async () => {
  const world = await withLocker()
  const [a, b] = await Promise.all([world.tryAttach(), world.tryAttach()])
  assert.equal(a.attached.kind === 'refused' && a.attached.reason, 'taken-over')
  assert.equal(b.attached.kind, 'session')
  assert.equal(world.hub.figures().sessions, 1)
})

test('a disabled device and an unknown channel are refused', async () => {
  const world = await withLocker()
  const channel = await world.tryAttach({ channel: 'nowhere' })
  assert.equal(channel.attached.kind === 'refused' && channel.attached.reason, 'unknown-channel')
  assert.equal((await world.submit({ channel: 'nowhere' })).kind, 'unknown-channel')
  assert.equal((await world.submit({ channel: 'constructor' })).kind, 'unknown-channel')
  const record = (await world.engine.names.device('default', 'locker'))!
  await world.engine.names.putDevice({ ...record, disabled: true })
  const disabled = await world.tryAttach()
  assert.equal(disabled.attached.kind === 'refused' && disabled.attached.reason, 'unauthorized')
  assert.equal((await world.submit()).kind, 'device-disabled')
})

test('rule 31: an unknown device is shown made-up keys, the same each time, and admitted never', async () => {
  const world = await withLocker()
  for (const kdf of ['hkdf', 'scrypt'] as const) {
    const once = await world.hub.verifier('default', 'nobody', kdf, '10.0.0.1')
    const twice = await world.hub.verifier('default', 'nobody', kdf, '10.0.0.1')
    assert.equal(once.admits, false)
    assert.deepEqual(
      once.credentials.map((credential) => credential.kdf),
      [kdf],
    )
    assert.deepEqual(once.credentials, twice.credentials)
  }
})

test('rule 31: keys are of the kdf asked for; a device without a secret of it is like an unknown one', async () => {
  const world = await withLocker()
  const record = (await world.engine.names.device('default', 'locker'))!
  const weak = await makeCredential('correct horse', 'default', 'locker')
  const strong = await makeCredential(makeSecret(), 'default', 'locker')
  const shown = async (kdf: 'hkdf' | 'scrypt', ...credentials: Credential[]) => {
    await world.engine.names.putDevice({ ...record, credentials })
    return world.hub.verifier('default', 'locker', kdf, '10.0.0.1')
  }
  // A rotation: each of the two can be proved.
  assert.deepEqual(await shown('hkdf', strong, weak), {
    admits: true,
    limited: false,
    credentials: [strong],
  })
  assert.deepEqual((await shown('scrypt', strong, weak)).credentials, [weak])
  const none = await shown('scrypt', strong)
  assert.equal(none.admits, false)
  assert.deepEqual(
    none.credentials.map(({ kdf }) => kdf),
    ['scrypt'],
  )
  assert.deepEqual((await shown('scrypt')).credentials, none.credentials)
})

test('a device that comes and goes without end is let in only so often a minute', async () => {
  const world = await World.open({ limits: { arrivalsPerMinute: 3 } })
  await world.register()
  const isLimited = async () =>
    (await world.hub.verifier('default', 'locker', 'hkdf', '10.1.1.1')).limited
  for (let i = 0; i < 3; i++) {
    assert.equal(await isLimited(), false)
    const main = await world.attach()
    // A second channel of a device that is there is no arrival.
    const urgent = await world.attach({ channel: 'urgent' })
    main.session.detach(true)
    urgent.session.detach(true)
  }
  assert.equal(await isLimited(), true)
  assert.equal(
    (await world.hub.verifier('default', 'fresh', 'hkdf', '10.1.1.1')).limited,
    false,
    'and nobody else at its address',
  )
  await world.pass(60_000)
  assert.equal(await isLimited(), false)
})

test('wrong secrets are limited, by device and by address, for a minute', async () => {
  const world = await withLocker()
  for (let i = 0; i < 10; i++) world.hub.wrongSecret('default', 'locker', `10.0.0.${i}`)
  for (let i = 0; i < 10; i++) world.hub.wrongSecret('default', `other-${i}`, '10.9.9.9')
  assert.equal((await world.hub.verifier('default', 'locker', 'hkdf', '10.1.1.1')).limited, true)
  assert.equal((await world.hub.verifier('default', 'fresh', 'hkdf', '10.9.9.9')).limited, true)
  assert.equal((await world.hub.verifier('default', 'fresh', 'hkdf', '10.1.1.1')).limited, false)
  await world.pass(60 * second)
  assert.equal((await world.hub.verifier('default', 'locker', 'hkdf', '10.1.1.1')).limited, false)
})

test('wrong secrets from elsewhere do not keep a device out where it has proved itself', async () => {
  const world = await withLocker()
  const { link } = await world.attach({})
  const isLimited = async (peer: string) =>
    (await world.hub.verifier('default', 'locker', 'hkdf', peer)).limited
  for (let i = 0; i < 10; i++) world.hub.wrongSecret('default', 'locker', `10.0.0.${i}`)
  assert.equal(await isLimited('10.1.1.1'), true)
  assert.equal(await isLimited(link.peer), false)
  for (let i = 0; i < 10; i++) world.hub.wrongSecret('default', `other-${i}`, link.peer)
  assert.equal(await isLimited(link.peer), true, 'guesses from its own address count')
})

test('uplinks that follow a reply whose command must be looked up do not overtake it', async () => {
  const world = await withLocker()
  const { link, session } = await world.attach({ uplinkEpoch: 5 })
  await world.command({ expect: 'reply' })
  const { epoch, offset } = link.got[0]!.command
  session.acknowledge(offset)
  await world.quiet()
  const settled = settling()
  const empty = new Uint8Array()
  session.reply(
    {
      epoch,
      offset,
      status: 'done',
      payload: empty,
      contentType: 'application/json',
      stamp: { epoch: 5, sequence: 1 },
    },
    settled,
  )
  session.receive([uplink('after', 5, 2)], settled)
  await world.quiet()
  const kinds = (await world.events()).map(({ kind }) => kind).filter((kind) => kind !== 'presence')
  assert.deepEqual(kinds, ['reply', 'command.ended', 'event'])
  assert.deepEqual(settled.outcomes, ['kept', 'kept'])
})
