import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Overload, overloadLevelMax, wellShare } from '../../src/node/overload.ts'

const times = { upMs: 2_000, downMs: 5_000 }

test('too much for long enough leads up step by step, and well for long enough down again', () => {
  const overload = new Overload(times)
  const levels: number[] = []
  let nowMs = 0
  const go = (worst: number, forMs: number): void => {
    for (const endMs = nowMs + forMs; nowMs < endMs; nowMs += 1_000) overload.look(worst, nowMs)
    levels.push(overload.level)
  }
  go(1.5, 2_000)
  go(1.5, 1_000)
  go(1.5, 60_000)
  go(0.9, 600_000)
  go(0.1, 5_000)
  go(0.1, 1_000)
  go(0.1, 60_000)
  assert.deepEqual(levels, [0, 1, overloadLevelMax, overloadLevelMax, overloadLevelMax, 4, 0])
})

test('a moment of too much changes nothing', () => {
  const overload = new Overload(times)
  for (let nowMs = 0; nowMs < 600_000; nowMs += 1_000)
    assert.equal(overload.look(nowMs % 2_000 === 0 ? 10 : 0.1, nowMs), 0)
})

test('whatever the signals say: one step at a time, never sooner than its time, within its bounds, and well for long enough is level 0', () => {
  const looks = fc.array(
    fc.record({
      worst: fc.oneof(fc.constantFrom(0, wellShare, 1), fc.double({ min: 0, max: 3, noNaN: true })),
      afterMs: fc.integer({ min: 1, max: 3_000 }),
    }),
    { maxLength: 200 },
  )
  fc.assert(
    fc.property(looks, (all) => {
      const overload = new Overload(times)
      let [nowMs, changedMs, before] = [0, Number.NEGATIVE_INFINITY, 0]
      for (const { worst, afterMs } of all) {
        nowMs += afterMs
        const level = overload.look(worst, nowMs)
        assert.ok(Math.abs(level - before) <= 1, 'one step')
        assert.ok(level >= 0 && level <= overloadLevelMax, 'within its bounds')
        if (level > before) assert.ok(worst >= 1, 'up only while it is too much')
        if (level < before) assert.ok(worst < wellShare, 'down only while it is well')
        if (level !== before) {
          const leastMs = level > before ? times.upMs : times.downMs
          assert.ok(
            changedMs === Number.NEGATIVE_INFINITY ||
              nowMs - changedMs >= Math.min(times.upMs, leastMs),
            'not at once',
          )
          changedMs = nowMs
        }
        before = level
      }
      for (const endMs = nowMs + overloadLevelMax * 6_000; nowMs <= endMs; nowMs += 1_000)
        overload.look(0, nowMs)
      assert.equal(overload.level, 0)
    }),
  )
})
