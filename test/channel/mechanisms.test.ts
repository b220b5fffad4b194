import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Dedupe, dedupeWindow, Keepalive, Roundtrip, Window } from '../../src/channel/index.ts'
import type { OpenCommand } from '../../src/contract/index.ts'

const command = (offset: number, size = 1): OpenCommand => ({
  id: `d:main:1:${offset}`,
  channel: 'default/d/main',
  epoch: 1,
  offset,
  name: 'open',
  payload: new Uint8Array(size),
  contentType: 'application/json',
  delivery: 'queue',
  expect: 'ack',
  acceptedAtMs: 0,
  expiresAtMs: 1e9,
  replyTimeoutMs: 60_000,
  askedBy: 'first',
  maybeSent: false,
})

test('in order, a sequence is fresh once and only beyond the highest', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 50 })), (sequences) => {
      const dedupe = new Dedupe()
      let high = 0
      for (const sequence of sequences) {
        const judged = dedupe.judge({ epoch: 1, sequence }, true)
        assert.equal(judged, sequence > high ? 'fresh' : 'duplicate')
        high = Math.max(high, sequence)
        assert.equal(dedupe.keptUpTo(1), high)
      }
    }),
  )
})

test('rule 17: out of order, each is fresh once; below the window it is stale, never a duplicate', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 400, size: 'max' }),
      (sequences) => {
        const dedupe = new Dedupe()
        const seen = new Set<number>()
        let high = 0
        for (const sequence of sequences) {
          const judged = dedupe.judge({ epoch: 9, sequence }, false)
          if (high !== 0 && high - sequence >= dedupeWindow) assert.equal(judged, 'stale')
          else assert.equal(judged, seen.has(sequence) ? 'duplicate' : 'fresh')
          if (judged === 'fresh') seen.add(sequence)
          high = Math.max(high, sequence)
        }
      },
    ),
  )
})

test('rule 15: a device that changes protocol loses nothing to what is called kept, and nothing is kept twice', () => {
  const session = fc.record({
    inOrder: fc.boolean(),
    made: fc.integer({ min: 0, max: 12 }),
    /** Of what it sends, which arrive, and of those which it hears of; in order: how many. */
    arrive: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
    hear: fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
  })
  fc.assert(
    fc.property(fc.array(session, { maxLength: 25 }), (sessions) => {
      let dedupe = new Dedupe()
      const kept = new Set<number>()
      let last = 0
      let outbox: number[] = []
      const send = (sequence: number, inOrder: boolean): void => {
        const judged = dedupe.judge({ epoch: 3, sequence }, inOrder)
        assert.notEqual(judged, 'stale')
        assert.equal(judged === 'fresh', !kept.has(sequence), `${sequence} was called ${judged}`)
        kept.add(sequence)
      }
      for (const { inOrder, made, arrive, hear } of sessions) {
        for (let left = made; left > 0 && outbox.length < 40; left--) outbox.push(++last)
        if (inOrder) {
          const upTo = dedupe.keptUpTo(3)
          for (const sequence of outbox.filter((one) => one <= upTo)) {
            assert.ok(kept.has(sequence), `${sequence} was named as kept and is not`)
          }
          outbox = outbox.filter((one) => one > upTo)
          const arriving = outbox.slice(0, arrive.indexOf(false))
          for (const sequence of arriving) send(sequence, true)
          outbox = outbox.slice(Math.min(arriving.length, hear.indexOf(false) >>> 0))
        } else {
          // Not further ahead of the oldest than a repeat can be told.
          const window = outbox.filter((one) => one < outbox[0]! + dedupeWindow).slice(0, 12)
          for (const [at, sequence] of window.entries()) {
            if (arrive[at] === true) send(sequence, false)
          }
          outbox = outbox.filter((one) => {
            const at = window.indexOf(one)
            return at < 0 || arrive[at] !== true || hear[at] !== true
          })
        }
        dedupe = new Dedupe(dedupe.encode())
      }
    }),
  )
})

test('what dedupe gives to keep is what it knows: a crash between any two changes nothing', () => {
  const stamps = fc.array(
    fc.record({ epoch: fc.integer({ min: 1, max: 6 }), sequence: fc.integer({ min: 1, max: 90 }) }),
  )
  fc.assert(
    fc.property(stamps, fc.boolean(), (list, inOrder) => {
      const steady = new Dedupe()
      let crashing = new Dedupe()
      for (const stamp of list) {
        assert.equal(crashing.judge(stamp, inOrder), steady.judge(stamp, inOrder))
        crashing = new Dedupe(crashing.encode())
      }
    }),
  )
})

test('any sequence a peer may claim is taken without harm', () => {
  const dedupe = new Dedupe()
  assert.equal(dedupe.judge({ epoch: 1, sequence: 1 }, false), 'fresh')
  assert.equal(dedupe.judge({ epoch: 1, sequence: Number.MAX_SAFE_INTEGER }, false), 'fresh')
  assert.equal(dedupe.judge({ epoch: 1, sequence: 1 }, false), 'stale')
  for (let epoch = 2; epoch < 100; epoch++) dedupe.judge({ epoch, sequence: 1 }, false)
  assert.ok(dedupe.encode().length < 200)
})

test('a window never holds more than it may, and gives every place back', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 8 }), (list, max) => {
      const window = new Window(max, 100)
      const out: number[] = []
      let bytes = 0
      list.forEach((size, i) => {
        while (!window.room(size)) {
          const oldest = out.shift()!
          window.acknowledge(oldest)
          assert.equal(window.acknowledge(oldest), undefined, 'acknowledged once')
          window.retire(oldest)
          bytes -= list[oldest]!
        }
        window.admit(command(i, size), false, i)
        out.push(i)
        bytes += size
        assert.ok(window.size <= max)
        assert.ok(bytes <= 100 || window.size === 1)
      })
      assert.equal(window.acknowledgeUpTo(list.length).length, out.length)
      for (const offset of out) window.retire(offset)
      assert.equal(window.size, 0)
      assert.ok(window.room(100))
    }),
  )
})

test('any sign of life puts off the dead-line; silence past it kills', () => {
  const keepalive = new Keepalive(60_000, 0)
  assert.equal(keepalive.expired(84_999), undefined)
  keepalive.heard(80_000)
  assert.equal(keepalive.expired(85_000), undefined)
  assert.equal(keepalive.expired(165_000), 'keepalive-expired')
})

test('a probe that is answered is forgotten, one that is not kills early', () => {
  const keepalive = new Keepalive(600_000, 0)
  keepalive.probe(1_000, 10_000)
  keepalive.heard(5_000)
  assert.equal(keepalive.expired(11_000), undefined)
  keepalive.probe(20_000, 10_000)
  keepalive.probe(29_000, 10_000) // asking again does not put off the verdict
  assert.equal(keepalive.expired(30_000), 'unresponsive')
})

test('an acknowledgement is overdue between two and ten seconds, sooner on a quick link', () => {
  const roundtrip = new Roundtrip()
  assert.equal(roundtrip.overdueMs(200, 2_000, 10_000), 10_000)
  for (let i = 0; i < 20; i++) roundtrip.sample(50)
  assert.equal(roundtrip.overdueMs(200, 2_000, 10_000), 2_000)
  for (let i = 0; i < 20; i++) roundtrip.sample(8_000)
  assert.equal(roundtrip.overdueMs(200, 2_000, 10_000), 10_000)
})
