import assert from 'node:assert/strict'
import test, { describe } from 'node:test'
import type { EventKind, KeptEvent, NewEvent } from '../../src/contract/index.ts'
import { eventKinds } from '../../src/contract/index.ts'
import type { EngineSubject } from '../support/engine-subject.ts'
import { Rig } from '../support/engine-subject.ts'
import { allEvents, keep, logEvents, same, settle } from '../support/engine-words.ts'
import { eventsCursorExam } from './events-cursor.exam.ts'
import { eventsPurgeExam } from './events-purge.exam.ts'

/** What every event log must do: src/contract/events.ts. */
export function eventsExam(name: string, subject: EngineSubject): void {
  describe(`${name}: events`, () => {
    describe('keeping', () => keepingExam(subject))
    describe('cursors', () => eventsCursorExam(subject))
    describe('by id and by size', () => eventsPurgeExam(subject))
  })
}

function keepingExam(subject: EngineSubject): void {
  test('events are read in the order they were kept, each with an id of its own', async (t) => {
    const rig = await Rig.make(t, subject)
    const names = Array.from({ length: 40 }, (_, i) => `beat-${i}`)
    const appends = names.map((name) => logEvents(rig, [uplink(rig, { name })]))
    assert.ok(
      (await Promise.all(appends)).every((outcome) => outcome === 'kept'),
      'all are kept',
    )
    const events = await allEvents(rig, 'shop')
    assert.deepEqual(namesOf(events), names)
    const ids = events.map(({ id }) => id)
    assert.equal(new Set(ids).size, ids.length)
    assert.deepEqual([...ids].sort(), ids, 'ids of one epoch sort as text')
    for (const id of ids) assert.match(id, /^[0-9a-z]{1,7}-[0-9a-z]{10}$/)
  })

  test('every kind of event is kept as it was given', async (t) => {
    const rig = await Rig.make(t, subject)
    const given = oneOfEach(rig)
    assert.deepEqual(new Set(given.map(({ kind }) => kind)), new Set(eventKinds))
    await logEvents(rig, given)
    const withoutId = async () => (await allEvents(rig, 'shop')).map(({ id: _, ...event }) => event)
    same(await withoutId(), given)
    await rig.restart()
    same(await withoutId(), given)
  })

  test('events of several apps in one call go each to its own log', async (t) => {
    const rig = await Rig.make(t, subject)
    const apps = ['shop', 'sho', 'shop2', 'shop-', 'constructor']
    await logEvents(
      rig,
      apps.flatMap((app) => [
        uplink(rig, { app, name: `${app} 1` }),
        uplink(rig, { app, name: `${app} 2` }),
      ]),
    )
    for (const app of apps) {
      assert.deepEqual(namesOf(await allEvents(rig, app)), [`${app} 1`, `${app} 2`])
    }
    assert.deepEqual(await allEvents(rig, 'nobody'), [])
  })

  test('an append of nothing is kept at once, and one without an ear is kept too', async (t) => {
    const rig = await Rig.make(t, subject)
    assert.equal(await logEvents(rig, []), 'kept')
    rig.engine.events.append([uplink(rig, { name: 'unheard' })])
    await rig.engine.flushed()
    assert.deepEqual(namesOf(await allEvents(rig, 'shop')), ['unheard'])
  })

  test('settled is called once, never within the call', async (t) => {
    const rig = await Rig.make(t, subject)
    let said = 0
    rig.engine.events.append([uplink(rig, {})], () => said++)
    assert.equal(said, 0)
    await logEvents(rig, [uplink(rig, {})])
    assert.equal(said, 1)
  })

  test('what was settled is there after a crash, in order', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const name of ['a', 'b']) await logEvents(rig, [uplink(rig, { name })])
    const before = await allEvents(rig, 'shop')
    await rig.crash()
    same(await allEvents(rig, 'shop'), before)
    await logEvents(rig, [uplink(rig, { name: 'c' })])
    await rig.crash()
    await logEvents(rig, [uplink(rig, { name: 'd' })])
    const after = await allEvents(rig, 'shop')
    assert.deepEqual(namesOf(after), ['a', 'b', 'c', 'd'])
    same(after.slice(0, 2), before)
    assert.equal(new Set(after.map(({ id }) => id)).size, 4)
  })

  test('who listens hears everything kept, once, in order, over all apps', async (t) => {
    const rig = await Rig.make(t, subject)
    const heard: KeptEvent[] = []
    const stop = rig.engine.events.listen((events) => heard.push(...events))
    const others: KeptEvent[] = []
    let syncs = 0
    rig.engine.events.listen((events) => {
      syncs++
      others.push(...events)
    }, 'reports')
    await Promise.all([
      logEvents(rig, [uplink(rig, { name: 'a' }), uplink(rig, { name: 'b', app: 'other' })]),
      logEvents(rig, [uplink(rig, { name: 'c' })]),
    ])
    const { offset } = await keep(rig, 'shop/locker/main')
    await settle(rig, 'shop/locker/main', {
      events: [uplink(rig, { name: 'd' })],
      changes: [{ kind: 'ended', offset, status: 'done', atMs: rig.clock.nowMs() }],
    })
    await rig.engine.flushed()
    assert.deepEqual(namesOf(heard), ['a', 'b', 'c', 'd', 'ended'])
    // Who wants no reports is called after each sync all the same.
    assert.deepEqual(namesOf(others), ['ended'])
    assert.ok(syncs >= 2, `called ${syncs} times`)
    const shop = await allEvents(rig, 'shop')
    same(
      heard.filter(({ app }) => app === 'shop'),
      shop,
    )
    stop()
    stop()
    await logEvents(rig, [uplink(rig, { name: 'e' })])
    await rig.engine.flushed()
    assert.equal(heard.length, 5)
  })

  test('two who listen hear the same, and one that stops does not stop the other', async (t) => {
    const rig = await Rig.make(t, subject)
    const counts = [0, 0]
    const stops = counts.map((_, i) =>
      rig.engine.events.listen((events) => {
        counts[i]! += events.length
      }),
    )
    await logEvents(rig, [uplink(rig, {})])
    stops[0]?.()
    await logEvents(rig, [uplink(rig, {})])
    await rig.engine.flushed()
    assert.deepEqual(counts, [1, 2])
  })

  test('what is heard can be read at that moment', async (t) => {
    const rig = await Rig.make(t, subject)
    const reads: Promise<readonly KeptEvent[]>[] = []
    rig.engine.events.listen(() => reads.push(allEvents(rig, 'shop')))
    await logEvents(rig, [uplink(rig, { name: 'a' })])
    await rig.engine.flushed()
    assert.deepEqual(namesOf((await reads[0]) ?? []), ['a'])
  })

  test('purge forgets what is older, says how much, and leaves the rest', async (t) => {
    const rig = await Rig.make(t, subject)
    for (const name of ['a', 'b', 'c', 'd']) {
      const app = name === 'b' ? 'other' : 'shop'
      await logEvents(rig, [uplink(rig, { name, app })])
      rig.clock.advance(1_000)
    }
    const cutMs = rig.clock.nowMs() - 2_000
    assert.equal(await rig.engine.events.purge(cutMs), 2)
    assert.equal(await rig.engine.events.purge(cutMs), 0)
    assert.deepEqual(namesOf(await allEvents(rig, 'shop')), ['c', 'd'])
    assert.deepEqual(await allEvents(rig, 'other'), [])
    await logEvents(rig, [uplink(rig, { name: 'e' })])
    await rig.restart()
    assert.deepEqual(namesOf(await allEvents(rig, 'shop')), ['c', 'd', 'e'])
  })
}

const namesOf = (events: readonly KeptEvent[]): readonly string[] =>
  events.map((event) => (event.kind === 'event' ? event.name : 'ended'))

const about = (rig: Rig) =>
  ({ app: 'shop', device: 'locker', channel: 'main', atMs: rig.clock.nowMs() }) as const

const uplink = (rig: Rig, parts: Partial<Extract<NewEvent, { kind: 'event' }>>): NewEvent => ({
  kind: 'event',
  ...about(rig),
  name: 'door-opened',
  payload: Buffer.from('{"door":7}'),
  contentType: 'application/json',
  ...parts,
})

function oneOfEach(rig: Rig): readonly NewEvent[] {
  const reply = {
    status: 'rejected',
    reason: 'late',
    payload: Uint8Array.of(0, 255, 7),
    contentType: 'application/cbor',
  } as const
  const command = 'locker:main:2s:1'
  const byKind: Record<EventKind, readonly NewEvent[]> = {
    event: [
      uplink(rig, { name: '__proto__', payload: new Uint8Array(0) }),
      uplink(rig, { name: 'constructor', stamp: { epoch: 2 ** 32 - 1, sequence: 2 ** 40 } }),
      uplink(rig, { maybeRepeat: true, payload: Uint8Array.of(0, 127, 128, 255) }),
      uplink(rig, { maybeRepeat: false, contentType: 'text/plain; charset="ü"' }),
    ],
    reply: [
      { kind: 'reply', ...about(rig), command, reply, stamp: { epoch: 1, sequence: 1 } },
      { kind: 'reply', ...about(rig), command, reply: { ...reply, payload: new Uint8Array(0) } },
    ],
    presence: [
      { kind: 'presence', app: 'shop', device: 'locker', atMs: 5, state: 'offline' },
      { kind: 'presence', ...about(rig), state: 'online', protocol: 'pike', reason: 'normal' },
    ],
    'command.ended': [
      {
        kind: 'command.ended',
        ...about(rig),
        ended: {
          ...{ id: command, channel: 'shop/locker/main', epoch: 100, offset: 1, name: 'open' },
          ...{ delivery: 'now', expect: 'reply', acceptedAtMs: 1, expiresAtMs: 2, askedBy: 'k' },
          ...{ status: 'rejected', reason: 'late', reply },
          timeline: [
            { status: 'queued', atMs: 1 },
            { status: 'rejected', atMs: 2, reason: 'late' },
          ],
        },
      },
    ],
    'command.late': [
      { kind: 'command.late', ...about(rig), command, proof: 'acknowledged' },
      { kind: 'command.late', ...about(rig), command, proof: 'reply', reply },
    ],
    'session.conflict': [{ kind: 'session.conflict', ...about(rig), holdMs: 60_000 }],
    'position.unknown': [
      { kind: 'position.unknown', ...about(rig), claimed: { epoch: 9, offset: 4 } },
    ],
  }
  return Object.values(byKind).flat()
}
