import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Clock, Timer } from '../../src/contract/index.ts'
import { Deadlines, type Sleeper } from '../../src/hub/deadlines.ts'
import { ManualClock } from '../support/manual-clock.ts'

/** Counts the timers that stand at once. */
class CountingClock implements Clock {
  readonly inner = new ManualClock(0)
  standing = 0
  most = 0

  nowMs(): number {
    return this.inner.nowMs()
  }

  at(atMs: number, name: string, run: () => void): Timer {
    this.most = Math.max(this.most, ++this.standing)
    let over = false
    const end = () => {
      if (!over) this.standing--
      over = true
    }
    const timer = this.inner.at(atMs, name, () => {
      end()
      run()
    })
    return {
      cancel: () => {
        end()
        timer.cancel()
      },
    }
  }
}

class Nap implements Sleeper {
  heapIndex = -1
  armedAtMs = 0
  deadlineMs: number
  readonly wokenAtMs: number[] = []

  constructor(deadlineMs: number) {
    this.deadlineMs = deadlineMs
  }

  wake(nowMs: number): void {
    this.wokenAtMs.push(nowMs)
    this.deadlineMs = Number.POSITIVE_INFINITY
  }
}

test('ten thousand deadlines stand on one timer, and each is met at its time', () => {
  const clock = new CountingClock()
  const deadlines = new Deadlines(clock)
  const naps = Array.from({ length: 10_000 }, (_, i) => new Nap(((i * 7_919) % 10_000) + 1))
  for (const nap of naps) deadlines.arm(nap)
  const wanted = naps.map((nap) => nap.deadlineMs)
  clock.inner.advance(10_000)
  assert.deepEqual(
    naps.map((nap) => nap.wokenAtMs),
    wanted.map((atMs) => [atMs]),
  )
  assert.equal(clock.most, 1)
  assert.equal(deadlines.size, 0)
})

test('a deadline put off a thousand times keeps one place, and is met once', () => {
  const clock = new CountingClock()
  const deadlines = new Deadlines(clock)
  const nap = new Nap(100)
  for (let i = 0; i < 1_000; i++) {
    nap.deadlineMs = clock.nowMs() + 100
    deadlines.arm(nap)
    assert.equal(deadlines.size, 1)
    clock.inner.advance(1)
  }
  clock.inner.advance(200)
  assert.deepEqual(nap.wokenAtMs, [1_099])
})

test('who is not to be woken any more is not held', () => {
  const clock = new CountingClock()
  const deadlines = new Deadlines(clock)
  const naps = Array.from({ length: 1_000 }, (_, i) => new Nap(((i * 7_919) % 1_000) + 1))
  for (const nap of naps) deadlines.arm(nap)
  const left = naps.filter((_, i) => i % 3 === 0)
  for (const nap of naps) if (!left.includes(nap)) deadlines.remove(nap)
  assert.equal(deadlines.size, left.length)
  const wanted = left.map((nap) => [nap.deadlineMs])
  clock.inner.advance(1_000)
  assert.deepEqual(
    left.map((nap) => nap.wokenAtMs),
    wanted,
  )
  assert.ok(naps.every((nap) => left.includes(nap) || nap.wokenAtMs.length === 0))
})

test('however deadlines move, nobody is woken early, twice or never', () => {
  const move = fc.record({
    who: fc.nat(9),
    inMs: fc.integer({ min: 1, max: 50 }),
    pass: fc.nat(20),
  })
  fc.assert(
    fc.property(fc.array(move, { maxLength: 100, size: 'max' }), (moves) => {
      const clock = new CountingClock()
      const deadlines = new Deadlines(clock)
      const naps = Array.from({ length: 10 }, () => new Nap(Number.POSITIVE_INFINITY))
      const due = new Map<Nap, number>()
      for (const { who, inMs, pass } of moves) {
        const nap = naps[who]!
        nap.deadlineMs = clock.nowMs() + inMs
        due.set(nap, nap.deadlineMs)
        deadlines.arm(nap)
        clock.inner.advance(pass)
        for (const [one, atMs] of due) {
          if (atMs > clock.nowMs()) continue
          assert.equal(one.wokenAtMs.at(-1), atMs)
          due.delete(one)
        }
        assert.ok(clock.most <= 1)
      }
      for (const nap of due.keys()) assert.notEqual(nap.deadlineMs, Number.POSITIVE_INFINITY)
    }),
  )
})
