import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { isHeavy } from '../../../src/engine/level/bytes.ts'
import { Channel } from '../../../src/engine/level/channel.ts'
import type { Entry } from '../../../src/engine/level/command-record.ts'
import { Deadlines } from '../../../src/engine/level/deadlines.ts'
import { decodeEvent, encodeEvent } from '../../../src/engine/level/event-record.ts'
import { OpenList } from '../../../src/engine/level/open-list.ts'
import { RecentEvents } from '../../../src/engine/level/recent.ts'
import { Seen } from '../../../src/engine/level/seen.ts'

test('the list of open commands holds what a sorted map holds', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('push', 'first', 'any'), fc.nat()), {
    maxLength: 3_000,
    size: 'max',
  })
  fc.assert(
    fc.property(steps, (all) => {
      const list = new OpenList()
      const model: number[] = []
      let top = 0
      for (const [step, at] of all) {
        if (step === 'push' || model.length === 0) {
          top += 1 + (at % 3)
          model.push(top)
          list.push({ offset: top } as Entry)
        } else {
          const [gone] = model.splice(step === 'first' ? 0 : at % model.length, 1)
          list.remove(gone!)
          list.remove(gone!)
        }
        assert.equal(list.size, model.length)
        assert.equal(list.first?.offset, model[0])
      }
      const after = Math.trunc(top / 2)
      const found: number[] = []
      list.scan(after, ({ offset }) => found.push(offset) > 0)
      assert.deepEqual(
        found,
        model.filter((offset) => offset > after),
      )
      for (const offset of model) assert.equal(list.get(offset)?.offset, offset)
      assert.equal(list.get(top + 1), undefined)
    }),
    { numRuns: 50 },
  )
})

test('the next deadline is the earliest of all, whatever moves', () => {
  const moves = fc.array(fc.tuple(fc.nat(30), fc.option(fc.nat(1_000))), { maxLength: 200 })
  fc.assert(
    fc.property(moves, (all) => {
      const deadlines = new Deadlines()
      const channels = Array.from({ length: 31 }, (_, i) => new Channel(`shop/locker-${i}/main`))
      for (const [index, atMs] of all) {
        deadlines.move(channels[index]!, atMs ?? Number.POSITIVE_INFINITY)
        const earliest = Math.min(...channels.map((channel) => channel.dueAtMs))
        assert.equal(deadlines.first?.dueAtMs ?? Number.POSITIVE_INFINITY, earliest)
        const finite = channels.filter(({ dueAtMs }) => Number.isFinite(dueAtMs))
        assert.equal(deadlines.size, finite.length)
      }
    }),
  )
})

const event = (app: string, sequence: number, payload = new Uint8Array(2)) => ({
  ...{ app, device: 'locker', atMs: sequence },
  ...{ kind: 'event' as const, name: 'x', payload, contentType: 'text/plain' },
})

const recentEvents = (max: number): RecentEvents =>
  new RecentEvents(max, (app, sequence, record) => decodeEvent(app, `z-${sequence}`, record))

const push = (
  recent: RecentEvents,
  app: string,
  sequence: number,
  payload?: Uint8Array<ArrayBuffer>,
): void => recent.push(app, sequence, encodeEvent(event(app, sequence, payload)))

test('recent events are bounded over all apps together, the oldest going first', () => {
  const recent = recentEvents(100)
  for (let sequence = 1; sequence <= 5_000; sequence++) {
    push(recent, 'a', sequence)
    if (sequence % 10 === 0) push(recent, 'b', sequence / 10)
    if (sequence % 7 === 0) assert.equal(recent.get('a', sequence - 50)?.atMs, at(sequence - 50))
  }
  assert.equal(recent.size, 100)
  assert.equal(recent.get('a', 5_000)?.atMs, 5_000)
  assert.equal(recent.get('a', 5_000), recent.get('a', 5_000), 'decoded once')
  assert.equal(recent.get('a', 4_950)?.atMs, 4_950)
  assert.equal(recent.get('a', 4_800), undefined)
  assert.equal(recent.get('a', 5_001), undefined)
  assert.equal(recent.get('b', 500)?.atMs, 500)
  assert.equal(recent.get('b', 480), undefined)
  assert.equal(recent.get('__proto__', 1), undefined)
})

const at = (sequence: number): number | undefined => (sequence > 0 ? sequence : undefined)

test('recent events do not hold on to the buffers their payloads are views of', () => {
  const recent = recentEvents(10)
  const chunk = new Uint8Array(65_536).fill(7)
  push(recent, 'a', 1, chunk.subarray(100, 120))
  chunk.fill(8)
  const held = recent.get('a', 1)
  assert.ok(held?.kind === 'event')
  assert.deepEqual([...held.payload], new Array(20).fill(7))
  assert.ok(!isHeavy(held.payload))
})

test('recent events weigh no more than their bound, however long each is', () => {
  for (const bytes of [48 * 1024, 200_000]) {
    const recent = recentEvents(10_000)
    for (let sequence = 1; sequence <= 2_000; sequence++) {
      push(recent, 'a', sequence, new Uint8Array(bytes).fill(sequence))
    }
    assert.ok(recent.size * bytes <= 16 * 1_048_576)
    assert.ok(recent.size > 50)
    const newest = recent.get('a', 2_000)
    assert.ok(newest?.kind === 'event')
    assert.deepEqual(Buffer.alloc(bytes, newest.payload[0]), newest.payload)
    assert.equal(newest.payload[0], 2_000 & 0xff)
  }
})

test('a key that was added is never taken for new, and few new ones for added', () => {
  const seen = new Seen()
  const key = (number: number) => `i/day/shop/=order-${number}`
  for (let number = 0; number < 100_000; number++) seen.add(key(number))
  for (let number = 0; number < 100_000; number++) assert.ok(seen.has(key(number)))
  let wrong = 0
  for (let number = 100_000; number < 200_000; number++) if (seen.has(key(number))) wrong += 1
  assert.ok(wrong < 100, `${wrong} of 100,000`)
})
