import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  delayMs,
  dictated,
  fibonacci,
  type Row,
  reconnectPolicy,
  windowMs,
} from '../../devices/reconnect.ts'

const almostOne = 1 - 2 ** -30
const waits = (row: Row, tries: readonly number[]): readonly number[] =>
  tries.map((n) => Math.round(delayMs(n, row, reconnectPolicy)))

test('who was lost tries again within a second, then in windows that grow by Fibonacci up to a minute', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((n) => fibonacci(n)),
    [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89],
  )
  const tries = [1, 2, 3, 4, 5, 6, 10, 11, 12, 50, 1e9]
  assert.deepEqual(
    waits({ place: 0, spreadMs: undefined }, tries),
    [0, 1_000, 1_000, 2_000, 3_000, 5_000, 34_000, 55_000, 60_000, 60_000, 60_000],
  )
  assert.deepEqual(
    waits({ place: almostOne, spreadMs: undefined }, tries),
    [1_000, 1_000, 2_000, 3_000, 5_000, 8_000, 55_000, 60_000, 60_000, 60_000, 60_000],
  )
})

test('who was sent away comes within the spread, and if nobody is there as often as it says, ten times', () => {
  const tries = [1, 2, 10, 11, 12, 13, 14]
  assert.deepEqual(
    waits({ place: 0.5, spreadMs: 4_000 }, tries),
    [2_000, 4_000, 4_000, 4_000, 4_000, 4_000, 4_500],
  )
  // Told less than a second, or all but nothing: no more than once a second.
  assert.deepEqual(
    waits({ place: 0.5, spreadMs: 200 }, tries).slice(0, 4),
    [100, 600, 1_000, 1_000],
  )
  assert.deepEqual(waits({ place: 0.5, spreadMs: 0 }, tries).slice(0, 3), [0, 500, 1_000])
  // Told an hour: that once, then no less often than at any other time.
  assert.deepEqual(
    waits({ place: 0.5, spreadMs: 3_600_000 }, tries).slice(0, 3),
    [1_800_000, 60_000, 60_000],
  )
})

test('whatever the gateway says, windows follow each other: each try lies in its own, at its place', () => {
  const some = { min: 0, max: 1, maxExcluded: true, noNaN: true }
  fc.assert(
    fc.property(
      fc.double(some),
      fc.option(fc.nat(60_000), { nil: undefined }),
      fc.nat(10_000),
      fc.nat(400_000),
      (place, spreadMs, reconnectBaseMs, reconnectMaxMs) => {
        const policy = dictated(reconnectPolicy, reconnectBaseMs, reconnectMaxMs)
        const row = { place, spreadMs }
        let [atMs, fromMs] = [0, 0]
        for (let n = 1; n <= 30; n++) {
          atMs += delayMs(n, row, policy)
          const lengthMs = windowMs(n, row, policy)
          const shrinks = n > 1 && windowMs(n - 1, row, policy) > lengthMs
          if (shrinks) return // its pace is kept from here on
          assert.ok(Math.abs(atMs - (fromMs + place * lengthMs)) < 1, `try ${n} at ${atMs}`)
          fromMs += lengthMs
        }
      },
    ),
  )
})

test('a policy the server dictates holds, within reason', () => {
  assert.deepEqual(dictated(reconnectPolicy, 0, 0), reconnectPolicy)
  assert.deepEqual(dictated(reconnectPolicy, 5_000, 300_000), { baseMs: 5_000, maxMs: 300_000 })
  assert.deepEqual(dictated(reconnectPolicy, 2 ** 50, 2 ** 50), {
    baseMs: 3_600_000,
    maxMs: 3_600_000,
  })
})
