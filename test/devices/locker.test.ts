import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { Locker, type LockerEffect, rememberedMax } from '../../devices/locker/locker.ts'

const later = 1e15
let ids = 0
const open = (door: unknown, id = `c${++ids}`, expiresAtMs = later) => ({
  id,
  name: 'open',
  payload: { door },
  expiresAtMs,
})
const words = (effects: readonly LockerEffect[]): string[] =>
  effects.map((effect) =>
    effect.kind === 'event'
      ? `${effect.name} ${effect.payload.door}`
      : `${effect.reply.status}${effect.reply.status === 'done' ? '' : ` ${effect.reply.reason}`}`,
  )

test('a door unlocks, the sensor sees it move, and only then is it done', () => {
  const locker = new Locker({ doors: 12, moveMs: 120 })
  assert.deepEqual(locker.command(open(7, 'a'), 1_000), [])
  assert.equal(locker.door(7), 'unlocking')
  assert.equal(locker.dueMs, 1_120)
  assert.deepEqual(locker.tick(1_119), [])
  assert.deepEqual(locker.tick(1_120), [
    {
      kind: 'event',
      name: 'door-opened',
      payload: { door: 7, at: '1970-01-01T00:00:01.120Z', command: 'a' },
    },
    {
      kind: 'reply',
      id: 'a',
      reply: { status: 'done', payload: { door: 7, openedAt: '1970-01-01T00:00:01.120Z' } },
    },
  ])
  assert.deepEqual(locker.close(7, 5_000), [
    {
      kind: 'event',
      name: 'door-closed',
      payload: { door: 7, at: '1970-01-01T00:00:05.000Z', openMs: 3_880 },
    },
  ])
  assert.equal(locker.door(7), 'closed')
})

test('rule 7: a jammed door failed, since it was tried; one out of service is rejected untried', () => {
  const settings = { 3: { jammed: true }, 4: { outOfService: true } }
  const locker = new Locker({ doors: 4, jamMs: 1_500, settings })
  assert.deepEqual(words(locker.command(open(3), 0)), [])
  assert.deepEqual(words(locker.tick(1_500)), ['failed jammed'])
  assert.equal(locker.door(3), 'closed')
  assert.deepEqual(words(locker.command(open(4), 0)), ['rejected out-of-service'])
  locker.set(3, {})
  locker.command(open(3), 2_000)
  assert.deepEqual(words(locker.tick(3_000)), ['door-opened 3', 'done'])
})

test('rule 2: at or after its deadline a command moves nothing', () => {
  const locker = new Locker({ doors: 1, moveMs: 0 })
  assert.deepEqual(words(locker.command(open(1, 'x', 500), 500)), ['rejected late'])
  assert.equal(locker.door(1), 'closed')
  assert.deepEqual(words(locker.command(open(1, 'y', 500), 499)), ['door-opened 1', 'done'])
})

test('what cannot be meant is rejected by name', () => {
  const locker = new Locker({ doors: 3, moveMs: 0 })
  const say = (payload: unknown, name = 'open') =>
    words(locker.command({ id: `s${++ids}`, name, payload, expiresAtMs: later }, 0))
  for (const payload of [undefined, null, 7, 'door', [], {}, { door: '1' }, { door: 1.5 }])
    assert.deepEqual(say(payload), ['rejected bad-payload'])
  for (const door of [0, 4, -1, 1e9]) assert.deepEqual(say({ door }), ['rejected unknown-door'])
  for (const name of ['close', '__proto__', 'constructor'])
    assert.deepEqual(say({ door: 1 }, name), ['rejected unknown-command'])
})

test('a repeat moves nothing and gets the old answer, also while the door still moves', () => {
  const locker = new Locker({ doors: 2, moveMs: 100, closeAfterMs: 1_000 })
  assert.deepEqual(words(locker.command(open(1, 'a'), 0)), [])
  assert.deepEqual(words(locker.command(open(1, 'a'), 50)), [])
  assert.deepEqual(words(locker.tick(100)), ['door-opened 1', 'done'])
  assert.deepEqual(words(locker.tick(1_100)), ['door-closed 1'])
  assert.deepEqual(words(locker.command(open(1, 'a'), 2_000)), ['done'])
  assert.equal(locker.door(1), 'closed')
})

test('two commands for one moving door share its movement; an open door is said to be open', () => {
  const locker = new Locker({ doors: 1, moveMs: 100 })
  locker.command(open(1), 0)
  locker.command(open(1), 60)
  assert.deepEqual(words(locker.tick(100)), ['door-opened 1', 'done', 'done'])
  const [effect] = locker.command(open(1), 200)
  assert.ok(effect?.kind === 'reply' && effect.reply.status === 'done')
  assert.equal(effect.reply.payload.wasOpen, true)
})

test('doors are pushed shut and events come in the order of their time, however late time is told', () => {
  const locker = new Locker({ doors: 2, moveMs: 100, closeAfterMs: 1_000 })
  locker.command(open(1), 0)
  locker.command(open(2), 50)
  assert.deepEqual(words(locker.tick(9_999)), [
    'door-opened 1',
    'done',
    'door-opened 2',
    'done',
    'door-closed 1',
    'door-closed 2',
  ])
  assert.equal(locker.dueMs, Number.POSITIVE_INFINITY)
})

test('any commands at any time, with repeats: one answer each, as many openings as first ones', () => {
  const command = fc.record({
    id: fc.nat(40),
    door: fc.integer({ min: 1, max: 5 }),
    waitMs: fc.nat(400),
    ttlMs: fc.nat(500),
  })
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
      const settings = { 4: { jammed: true }, 5: { outOfService: true } }
      const locker = new Locker({ doors: 5, moveMs: 100, jamMs: 300, closeAfterMs: 500, settings })
      const answers = new Map<string, string>()
      const openings = new Map<string, number>()
      let nowMs = 0
      const see = (effects: readonly LockerEffect[]): void => {
        for (const effect of effects) {
          if (effect.kind === 'reply') {
            const text = JSON.stringify(effect.reply)
            assert.equal(answers.get(effect.id) ?? text, text, 'two answers to one command')
            answers.set(effect.id, text)
          } else if (effect.name === 'door-opened') {
            const { command } = effect.payload
            openings.set(command, (openings.get(command) ?? 0) + 1)
          }
        }
      }
      for (const { id, door, waitMs, ttlMs } of commands) {
        nowMs += waitMs
        see(locker.command(open(door, `p${id}`, nowMs + ttlMs), nowMs))
      }
      see(locker.tick(nowMs + 10_000))
      for (const { id } of commands) assert.ok(answers.has(`p${id}`), 'unanswered')
      for (const [id, count] of openings) {
        assert.equal(count, 1, 'opened twice')
        assert.match(answers.get(id) ?? '', /"done"/)
      }
    }),
  )
})

test('what a locker remembers has a bound', () => {
  const locker = new Locker({ doors: 1, moveMs: 0 })
  for (let n = 0; n < 3 * rememberedMax; n++) locker.command(open(9, `many${n}`), 0)
  // The oldest are forgotten, the newest are not: those answer as before although the door exists.
  assert.deepEqual(words(locker.command(open(1, 'many0'), 0)), ['door-opened 1', 'done'])
  assert.deepEqual(words(locker.command(open(1, `many${3 * rememberedMax - 1}`), 0)), [
    'rejected unknown-door',
  ])
})
